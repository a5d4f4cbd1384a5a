"""Quantizers: the part of a walk that makes Threshold."""

from __future__ import annotations

import numpy as np

from qlight.interop.arithmetic import CountQuantizer, Quantizer
from qlight.interop.hints import scale_of
from qlight.interop.meaning import Meaning
from qlight.interop.read import FileNode
from qlight.interop.refusal import refuse
from qlight.interop.walking import Walking
from qlight.intgraph.infer import LARGEST_SCALE, SMALLEST_SCALE
from qlight.intgraph.nodes import BIPOLAR, SIGNED, UNSIGNED, Array
from qlight.intgraph.thresholds import find_thresholds

#: features of a vector of codes that a second quantizer may follow: it takes a matrix of this size squared
_MOST_FEATURES = 4096


class Quantizing(Walking):
    """Quant, BipolarQuant and MultiThreshold of activations."""

    def quantize(self, node: FileNode, quantizer: Quantizer) -> None:
        """Turn the steps and ``quantizer`` into thresholds, or into nothing where codes only get another worth."""
        if not SMALLEST_SCALE <= quantizer.scale <= LARGEST_SCALE or quantizer.shift != np.rint(quantizer.shift * 2) / 2:
            refuse(node, "a positive scale and an integer zero point", f"{quantizer.scale:g} and an offset of {quantizer.shift:g}")
        if quantizer.largest < 1:
            refuse(node, "at least two codes", "one")
        self.no_pad_waits(node)
        if not self.builder.operand.type.signed:
            if not self.pools and self._renamed(node, quantizer):
                return
            self._select(node)
        operand = self.builder.operand
        binary = quantizer.largest == 1 and quantizer.shift == -0.5
        doubled = binary and self._zero_padded()
        bits = 2 if doubled else quantizer.largest.bit_length()

        def codes(accumulators: Array) -> Array:
            return self._codes(node, quantizer, accumulators) * (2 if doubled else 1)

        thresholds, direction = find_thresholds(codes, operand.low, operand.high, operand.type.channels, 2**bits - 1)
        before = self.rising(self.steps_before_pools)
        if self.pools and (before * self.rising() < 0).any():
            refuse(node, "operations that keep the order of numbers after MaxPool", "a negative factor between")
        self._threshold(thresholds, direction, bits, BIPOLAR if binary and not doubled else UNSIGNED, quantizer, 2 if doubled else 1)

    def thresholds_as_they_are(self, quantizer: CountQuantizer) -> bool:
        """Take integer thresholds on the accumulators, or on those times directions, over; False where there is more to it."""
        operand = self.builder.operand
        if not operand.type.signed or not self.meaning.plain or self.pools:
            return False
        factors = [step.value for step in self.meaning.steps if step.value.size]
        if any(step.op in ("Add", "Div", "Relu", "float32") for step in self.meaning.steps) or len(factors) > 1:
            return False
        direction = np.sign(factors[0]) if factors else np.ones(operand.type.channels)
        given = quantizer.thresholds
        levels = given.shape[1]
        if (
            (factors and (np.abs(factors[0]) != 1).any())
            or (given != np.rint(given)).any()
            or (np.diff(given) < 0).any()
            or levels & (levels + 1)
        ):
            return False
        lowest = np.where(direction > 0, operand.low, operand.low - 1)[:, None]
        thresholds = direction[:, None] * given
        if (thresholds < lowest).any() or (thresholds > lowest + (operand.high + 1 - operand.low)).any():
            return False
        binary = levels == 1 and quantizer.shift == -0.5
        if binary and self._zero_padded():
            return False
        encoding = BIPOLAR if binary else UNSIGNED
        self._threshold(thresholds.astype(np.int32), direction.astype(np.int8), levels.bit_length(), encoding, quantizer, 1)
        return True

    def _threshold(self, thresholds: Array, direction: Array, bits: int, encoding: str, quantizer: Quantizer, doubled: int) -> None:
        hint = self.hints.take("Threshold")
        worth = quantizer.scale / (2 if encoding == BIPOLAR else doubled)
        scale = scale_of(hint, 1) if hint else np.array([worth])
        self.append(
            "act", "Threshold", self.builder.threshold, thresholds, direction, bits=bits, encoding=encoding, output_scale=scale, hint=hint
        )
        offset = 0.0 if encoding == BIPOLAR else quantizer.shift * doubled
        self.meaning = Meaning.of(len(direction), worth, offset)
        pools, self.pools, self.steps_before_pools = self.pools, [], 0
        for pool in pools:
            self.pool(pool)

    def _codes(self, node: FileNode, quantizer: Quantizer, integers: Array) -> Array:
        real = self.meaning.real(integers)
        if np.isnan(real).any():
            refuse(node, "numbers to quantize", "NaN before it")
        return quantizer.codes(real)

    def _renamed(self, node: FileNode, quantizer: Quantizer) -> bool:
        """Where every code becomes itself plus a constant, only its worth changes."""
        operand = self.builder.operand
        bipolar = operand.type.encoding == BIPOLAR
        step = 2 if bipolar else 1
        integers = np.arange(operand.low, operand.high + 1, step)
        codes = self._codes(node, quantizer, integers[:, None].repeat(operand.type.channels, 1))
        moved = codes - np.arange(len(integers))[:, None]
        if (moved != moved[0, 0]).any():
            return False
        # code a = (i - low) / step is worth (a + moved + shift) * scale
        offset = step * (float(moved[0, 0]) + quantizer.shift) - operand.low
        self.meaning = Meaning.of(operand.type.channels, quantizer.scale / step, offset)
        return True

    def _select(self, node: FileNode) -> None:
        """A layer that gives codes as accumulators, since only these can be compared with thresholds."""
        operand = self.builder.operand.type
        if len(operand.shape) == 1 and operand.channels > _MOST_FEATURES:
            refuse(node, f"a second quantizer on at most {_MOST_FEATURES} features", f"{operand.channels}")
        ones = np.eye(operand.channels, dtype=np.int8)
        if len(operand.shape) == 3:
            self.append("select", "Conv2d", self.builder.conv2d, ones[:, None, None, :], bits=2, encoding=SIGNED)
        else:
            self.append("select", "Linear", self.builder.linear, ones, bits=2, encoding=SIGNED)

    def _zero_padded(self) -> bool:
        """Whether the next layer pads with zeros, which binary codes do not have."""
        for node in self.file.nodes[self.position + 1 :]:
            if node.output in self.constants or node.op not in ("Conv", "ConvInteger", "Pad", "Gemm", "MatMul", "MatMulInteger", "Flatten"):
                continue
            if node.op == "Pad":
                value = node.inputs[2] if len(node.inputs) > 2 else ""
                return not value or not np.any(self.constants.array(node, 2))
            return node.op == "Conv" and any(node.attributes.get("pads", []))
        return False
