"""Layers, their padding and max-pools: the part of a walk that makes Conv2d, Linear and MaxPool."""

from __future__ import annotations

from typing import Any

import numpy as np

from qlight.interop.arithmetic import Step
from qlight.interop.hints import scale_of
from qlight.interop.meaning import Meaning
from qlight.interop.read import FileNode
from qlight.interop.refusal import refuse
from qlight.interop.walking import Walking
from qlight.interop.weights import Constant, Weights, encoded, per_output, rounded
from qlight.intgraph.nodes import BIPOLAR, ODD, SIGNED, Array


class Layers(Walking):
    """Operations with weights, Pad and MaxPool."""

    def conv(self, node: FileNode) -> None:
        """Conv or ConvInteger: a Conv2d."""
        operand = self.builder.operand.type
        constant = self._weight(node)
        given = node.attributes
        if constant.values.ndim != 4 or len(operand.shape) != 3 or constant.values.shape[1] != operand.shape[2] * self.copies:
            wanted = f"weights O x {operand.channels * self.copies} x kh x kw of images"
            refuse(node, wanted, f"weights {constant.values.shape} of {operand.shape}")
        dilated = any(size != 1 for size in given.get("dilations", [1]))
        if given.get("group", 1) != 1 or dilated or given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            refuse(node, "one group, no dilation and explicit `pads`", "another setting")
        pads = [int(size) for size in given.get("pads", [0] * 4)]
        strides = tuple(int(size) for size in given.get("strides", [1, 1]))
        if len(pads) != 4 or len(strides) != 2:
            refuse(node, "two-dimensional `pads` and `strides`", f"{pads[:8]} and {strides[:8]}")
        meaning = self._input(node)
        pads, code = self._padding(node, pads, meaning)
        channels_last = constant.transposed([0, 2, 3, 1])
        if self.copies > 1:
            channels_last = _summed(channels_last, self.copies)
        hint = self.hints.take("Conv2d")
        said = hint.get("pad_code")
        if not any(pads) and type(said) is int and 0 <= said < 2**operand.bits:
            code = said  # without a use, but part of the graph
        weights = self._encoded(node, channels_last, hint)
        top, left, bottom, right = pads
        self.append(
            "conv",
            "Conv2d",
            self.builder.conv2d,
            weights.codes,
            bits=weights.bits,
            encoding=weights.encoding,
            stride=strides,
            padding=(top, bottom, left, right),
            pad_code=code,
            weight_scale=scale_of(hint, len(weights.codes)) if hint else weights.scale,
            hint=hint,
        )
        self._after(node, meaning, weights, "ConvInteger")

    def gemm(self, node: FileNode) -> None:
        """Gemm: a Linear."""
        given = node.attributes
        if given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1 or given.get("transA", 0):
            refuse(node, "`alpha` and `beta` 1 and no `transA`", "another setting")
        self._linear(node, transposed=bool(given.get("transB", 0)))

    def matmul(self, node: FileNode) -> None:
        """MatMul or MatMulInteger: a Linear."""
        self._linear(node, transposed=False)

    def max_pool(self, node: FileNode) -> None:
        """MaxPool: at once where a larger integer is worth more in every channel, else after the next quantizer."""
        given = node.attributes
        kernel, strides = given.get("kernel_shape", []), given.get("strides", [1, 1])
        plain = not any(given.get("pads", [])) and not given.get("ceil_mode", 0) and all(size == 1 for size in given.get("dilations", []))
        if len(kernel) != 2 or len(strides) != 2 or not plain or given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            refuse(node, "a two-dimensional pool without padding, dilation or `ceil_mode`", "another setting")
        self.no_pad_waits(node)
        if not self.pools and (self.rising() >= 0).all():
            self.pool(node)
            return
        if not self.pools:
            self.steps_before_pools = len(self.meaning.steps)
        self.pools.append(node)

    def pool(self, node: FileNode) -> None:
        """Make the MaxPool."""
        sizes = (node.attributes["kernel_shape"], node.attributes.get("strides", [1, 1]))
        self.append("pool", "MaxPool", self.builder.max_pool, *(tuple(int(size) for size in pair) for pair in sizes))

    def pad(self, node: FileNode) -> None:
        """Pad of height and width: waits for its convolution."""
        amounts = [int(size) for size in self.constants.array(node, 1).ravel()]
        value = self.constants.scalar(node, 2, "value") if len(node.inputs) > 2 and node.inputs[2] else 0.0
        axes = amounts[:2] + amounts[4:6] if len(amounts) == 8 else [1]
        if node.attributes.get("mode", "constant") != "constant" or any(axes) or self.waiting_pad is not None or len(node.inputs) > 3:
            refuse(node, "one Pad of height and width with a constant", "another setting")
        if self.builder.operand.type.signed:
            refuse(node, "Pad behind a quantizer", "accumulators before it")
        # the code now: operations between the Pad and its convolution change the padding like all else
        code = self._code_worth(node, value, self._one_scale(node))
        self.waiting_pad = [amounts[2], amounts[3], amounts[6], amounts[7]], code

    def _linear(self, node: FileNode, transposed: bool) -> None:
        operand = self.builder.operand.type
        constant = self._weight(node)
        features = operand.channels * self.copies
        if constant.values.ndim != 2 or len(operand.shape) != 1 or constant.values.shape[1 if transposed else 0] != features:
            refuse(node, f"a matrix for vectors of {features}", f"{constant.values.shape} for {operand.shape}")
        if not transposed:
            constant = constant.transposed(None)
        if self.copies > 1:
            constant = _summed(constant, self.copies)
        if self.order is not None:
            back = np.argsort(self.order)
            constant = Constant(constant.values[:, back], None if constant.scale is None else constant.scale[:, back], constant.bits)
            self.order = None
        meaning = self._input(node)
        hint = self.hints.take("Linear")
        weights = self._encoded(node, constant, hint)
        scale = scale_of(hint, len(weights.codes)) if hint else weights.scale
        settings: dict[str, Any] = {"bits": weights.bits, "encoding": weights.encoding, "weight_scale": scale}
        self.append("dense", "Linear", self.builder.linear, weights.codes, hint=hint, **settings)
        self._after(node, meaning, weights, "MatMulInteger")

    def _weight(self, node: FileNode) -> Constant:
        constant = self.constants.get(node, 1)
        if constant is None or not constant.values.size or not np.isfinite(constant.values).all():
            refuse(node, "finite weights", "none, or others")
        if node.op in ("ConvInteger", "MatMulInteger"):
            zero = int(self.constants.scalar(node, 3, "zero point")) if len(node.inputs) > 3 and node.inputs[3] else 0
            integers = constant.values.astype(np.int64) - zero
            return Constant(integers, np.ones(integers.shape))
        return constant

    def _one_scale(self, node: FileNode) -> Meaning:
        """What codes are worth: one scale and offset for all channels, no steps."""
        operand = self.builder.operand
        if operand.type.signed or self.pools:
            refuse(node, "a quantizer between two layers", "none before it")
        meaning = self.meaning
        if meaning.steps:
            folded = meaning.folded(operand.low)
            if folded is None or (folded[0] == 0).any():
                refuse(node, "a quantizer between two layers", "none behind operations that no scale and offset stand for")
            factor, addend = folded
            meaning = Meaning(factor, addend / factor)
        if (meaning.numerator != meaning.numerator[0]).any() or (meaning.offset != meaning.offset[0]).any():
            refuse(node, "an input with one scale and offset for all channels (a Quant after a normalization gives one)", "several")
        return meaning

    def _input(self, node: FileNode) -> Meaning:
        """What the codes that a layer reads are worth to it."""
        meaning = self._one_scale(node)
        if node.op in ("ConvInteger", "MatMulInteger"):
            zero = int(self.constants.scalar(node, 2, "zero point")) if len(node.inputs) > 2 and node.inputs[2] else 0
            if meaning.denominator != 1 or meaning.numerator[0] != 1:
                refuse(node, "integers", "real numbers before it")
            return Meaning.of(len(meaning.offset), 1.0, meaning.offset[0] - zero)
        return meaning

    def _padding(self, node: FileNode, pads: list[int], meaning: Meaning) -> tuple[list[int], int]:
        """Amounts (top, left, bottom, right) and the code of the padding."""
        waiting, self.waiting_pad = self.waiting_pad, None
        own = self._code_worth(node, 0.0, meaning) if any(pads) else None
        if waiting is None:
            return pads, own or 0
        amounts, code = waiting
        if own not in (None, code):
            refuse(node, "one value of padding", "another than the Pad before it")
        return [one + other for one, other in zip(pads, amounts, strict=True)], code

    def _code_worth(self, node: FileNode, value: float, meaning: Meaning) -> int:
        operand = self.builder.operand
        bipolar = operand.type.encoding == BIPOLAR
        place = value * meaning.denominator / meaning.numerator[0] - meaning.offset[0]
        integer = round(place) if np.isfinite(place) else 0
        whole = abs(place - integer) < 1e-6 and operand.low <= integer <= operand.high
        if not whole or (bipolar and integer == 0):
            refuse(node, "padding with the value of a code", f"{value:g}")
        return (integer + 1) // 2 if bipolar else integer

    def _encoded(self, node: FileNode, constant: Constant, hint: dict[str, Any]) -> Weights:
        found = per_output(constant)
        if found is None and constant.scale is None:
            if self.real_bits is None:
                expected = "weights behind a Quant or BipolarQuant (or give `real_weight_bit_width`, 8 for instance, to round them)"
                refuse(node, expected, "real weights")
            found = rounded(constant.values, self.real_bits)
        if found is None:
            refuse(node, "weights with one positive scale per output channel", "others")
        integers, scale = found
        encoding, bits = hint.get("encoding"), hint.get("bits")
        codes = None
        if isinstance(encoding, str) and type(bits) is int and encoding in (ODD, SIGNED):
            codes = encoded(integers, bits, encoding)
        codes = codes or encoded(integers, constant.bits)
        if codes is None:
            refuse(node, "weights of at most 8 bits", f"integers from {integers.min()} to {integers.max()}")
        return Weights(*codes, scale)

    def _after(self, node: FileNode, meaning: Meaning, weights: Weights, integer_op: str) -> None:
        """The meaning of a layer's sums; its bias is the first step."""
        integers = _integers(weights).reshape(len(weights.codes), -1)
        offset = meaning.offset[0] * integers.sum(1)
        dtype = "float64" if node.op == integer_op else "float32"
        self.meaning = Meaning(meaning.numerator[0] * weights.scale, offset, meaning.denominator, dtype=dtype)
        self.copies = 1
        if node.op != integer_op and len(node.inputs) > 2 and node.inputs[2]:
            bias = self.constants.array(node, 2)
            wanted = (len(offset),)
            if bias.size != 1 and bias.reshape(-1).shape != wanted:
                refuse(node, f"a bias of shape {wanted}", f"{bias.shape}")
            if bias.any():
                self.meaning.steps.append(Step("Add", np.broadcast_to(bias.ravel(), wanted)))


def _summed(constant: Constant, copies: int) -> Constant:
    """Weights of ``copies`` copies of the channels (last axis) as weights of one."""
    shape = (*constant.values.shape[:-1], copies, -1)
    integers = constant.values.reshape(shape).sum(-2)
    return Constant(integers, np.ones(integers.shape))


def _integers(weights: Weights) -> Array:
    codes = weights.codes.astype(np.int64)
    return 2 * codes - (2**weights.bits - 1) if weights.encoding == ODD else codes
