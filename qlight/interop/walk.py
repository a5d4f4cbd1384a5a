"""One pass over the operations of a QONNX file, from the pixels to the logits, that makes the nodes of an integer graph.

At any time there is a tensor of the graph (`GraphBuilder.operand`: codes or accumulators) and a `Meaning`: what it is worth in the file.
Layers and quantizers make nodes; elementwise operations wait in the meaning until a quantizer turns all of them into thresholds, or until
the end, where they become the scale and bias of the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.interop.arithmetic import BinaryQuantizer, CountQuantizer, IntQuantizer, Quantizer, Step, batch_norm
from qlight.interop.constants import Constants, integer_range, rounding
from qlight.interop.hints import Hints
from qlight.interop.layers import Layers
from qlight.interop.meaning import Meaning
from qlight.interop.model import channel_first_order
from qlight.interop.quantize import Quantizing
from qlight.interop.read import FileGraph, FileNode
from qlight.interop.refusal import refuse, refuse_operation
from qlight.intgraph import GraphBuilder
from qlight.intgraph.nodes import Array


class Walk(Layers, Quantizing):
    """Reads ``file`` into ``builder``.

    Args:
        hints: what the file says of a graph that it came from.
        step: what a step of a pixel is worth, as numerator and denominator.
        real_bits: of weights that are not quantized; None refuses them.
    """

    def __init__(self, file: FileGraph, hints: Hints, step: tuple[float, int], real_bits: int | None) -> None:
        self.file, self.hints, self.real_bits = file, hints, real_bits
        self.constants = Constants(file)
        shape = file.shape
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise InputError(
                f"Expected `path` to have an input N x C x H x W or N x F of known sizes, but got N x {shape}; export it with them."
            )
        self.builder = GraphBuilder((1, 1, shape[0]) if len(shape) == 1 else (shape[1], shape[2], shape[0]))
        self.meaning = Meaning.of(self.builder.operand.type.channels, step[0], 0.0, step[1])
        self.pools: list[FileNode] = []
        self.steps_before_pools = 0
        self.copies = 1
        self.order: Array | None = None
        self.counts: dict[str, int] = {}
        self.names: set[str] = set()
        if len(shape) == 1:
            self.append("flat", "Flatten", self.builder.flatten)

    def run(self) -> None:
        """Make all nodes.

        Raises:
            InputError: the file has something that no integer graph has.
        """
        current = self.file.input
        for position, node in enumerate(self.file.nodes):
            self.position = position
            if self.constants.makes(node) or not any(node.inputs):
                continue
            if node.output in self.constants:
                refuse(node, "an output with a name of its own", f"that of the constant {node.output[:40]!a}")
            operation = _OPERATIONS.get(node.op)
            if operation is None:
                refuse_operation(node)
            data = [name for name in node.inputs if name and name not in self.constants]
            if not data:
                refuse(node, "an operation on the image (qonnx.util.cleanup folds those on constants)", "constants only")
            if any(name != current for name in data) or (len(data) > 1 and node.op != "Concat"):
                refuse(node, "one operation after the other", f"another input than the result of the one before ({current[:40]!a})")
            if self.copies > 1 and node.op not in ("ConvInteger", "MatMulInteger"):
                refuse(node, "ConvInteger or MatMulInteger after a Concat", "another operation")
            operation(self, node)
            current = node.output
        if current != self.file.output:
            raise InputError(f"Expected `path` to have operations up to its output, but they end at {current[:40]!a}; export it again.")

    def logits(self) -> tuple[Array, Array]:
        """Scale and bias of the logits, after `run`.

        Raises:
            InputError: the file does not end with a dense layer and a positive scale.
        """
        operand = self.builder.operand
        last = self.file.nodes[-1]
        if not operand.type.signed or len(operand.type.shape) != 1 or self.pools or self.ended_with != "Linear":
            refuse(last, "a dense layer (Gemm or MatMul) at the end, without a quantizer behind it", "something else before the output")
        if self.meaning.plain and not self.meaning.steps:
            said = self.hints.logits(operand.type.channels)
            if said is not None:
                return said
        folded = None if any(step.op == "Relu" for step in self.meaning.steps) else self.meaning.folded(0)
        if folded is None or (folded[0] <= 0).any():
            refuse(last, "logits that are accumulators times a positive scale plus a bias", "another function at the end")
        return folded

    def append(
        self, default: str, op: str, make: Callable[..., None], *arguments: Any, hint: dict[str, Any] | None = None, **named: Any
    ) -> None:
        """Make a node through a method of the builder; its name is that of the hint, else ``default`` and a number."""
        hint = self.hints.take(op) if hint is None else hint
        self.counts[default] = self.counts.get(default, 0) + 1
        name = hint.get("name", f"{default}{self.counts[default]}")
        while name in self.names:  # of a file that was edited
            name += "_"
        self.names.add(name)
        make(name, *arguments, **named)
        self.ended_with = op

    def per_channel(self, node: FileNode, values: Array) -> Array:
        """A constant of an elementwise operation as one number per channel, in the graph's order.

        Raises:
            InputError: it differs within a channel.
        """
        operand = self.builder.operand.type
        rank = len(operand.shape) + 1
        shape = (1,) * (rank - values.ndim) + values.shape
        wanted = [1, operand.channels] + [1] * (rank - 2)
        if len(shape) != rank or any(size not in (1, most) for size, most in zip(shape, wanted, strict=True)):
            refuse(node, f"a constant with one number, or one for each of {operand.channels} channels", f"shape {values.shape}")
        flat = np.broadcast_to(values.ravel(), operand.channels) if values.size == 1 else values.ravel()
        return flat if self.order is None or values.size == 1 else flat[np.argsort(self.order)]

    def rising(self, steps: int | None = None) -> Array:
        """Whether what the first ``steps`` steps give grows (+1), falls (-1) or stays (0), for each channel."""
        operand = self.builder.operand
        ends = self.meaning.real(np.array([[operand.low], [operand.high]]).repeat(operand.type.channels, 1), steps)
        return np.sign(ends[1] - ends[0])

    def _add_step(self, op: str, value: Array | None = None) -> None:
        self.meaning.steps.append(Step(op, np.zeros(0) if value is None else value))

    def _arithmetic(self, node: FileNode) -> None:
        first = node.inputs[0] in self.constants
        value = self.per_channel(node, self.constants.array(node, 0 if first else 1))
        if node.op == "Div" and (first or (value == 0).any()):
            refuse(node, "a division by a constant that is not 0", "another")
        if node.op == "Sub":
            if first:
                self._add_step("Mul", np.array(-1.0).repeat(len(value)))
            self._add_step("Add", value if first else -value)
        else:
            self._add_step(node.op, value)

    def _batch_norm(self, node: FileNode) -> None:
        if node.attributes.get("training_mode", 0):
            refuse(node, "batch norm in evaluation mode", "training mode")
        found = [self.constants.array(node, position).astype(np.float32) for position in range(1, 5)]
        channels = self.builder.operand.type.channels
        if any(values.shape != (channels,) for values in found):
            refuse(node, f"constants for {channels} channels", "other shapes")
        shape = (channels,) + (1,) * (len(self.builder.operand.type.shape) - 1)
        weight, bias, mean, variance = (self.per_channel(node, values.reshape(shape)) for values in found)
        self.meaning.steps += batch_norm(weight, bias, mean, variance, float(node.attributes.get("epsilon", 1e-5)))

    def _relu(self, node: FileNode) -> None:
        self._add_step("Relu")

    def _nothing(self, node: FileNode) -> None:
        """Identity; Dropout, which does nothing after training."""

    def _cast(self, node: FileNode) -> None:
        to = int(node.attributes.get("to", 0))
        if to in (1, 11):
            if (to == 11) != (self.meaning.dtype == "float64") or self.meaning.steps:
                self._add_step("float64" if to == 11 else "float32")
            return
        operand = self.builder.operand
        folded = self.meaning.folded(operand.low)
        limits = {2: (0, 255), 3: (-128, 127), 6: (-(2**31), 2**31 - 1)}.get(to)
        whole = folded is not None and (folded[0] == 1).all() and (folded[1] == np.rint(folded[1])).all()
        fits = False
        if limits is not None and folded is not None and whole:
            fits = operand.low + folded[1].min() >= limits[0] and operand.high + folded[1].max() <= limits[1]
        if not fits:
            refuse(node, "a Cast to real numbers, or of integers to a type that holds them", f"type {to}")

    def _concat(self, node: FileNode) -> None:
        if node.attributes.get("axis") != 1:
            refuse(node, "copies of channels (axis 1)", f"axis {node.attributes.get('axis')}")
        self.copies = len(node.inputs)

    def _flatten(self, node: FileNode) -> None:
        shape = self.builder.operand.type.shape
        if node.op == "Flatten" and node.attributes.get("axis", 1) not in (1, -len(shape)):
            refuse(node, "`axis` 1", str(node.attributes["axis"]))
        if node.op == "Reshape":
            wanted = [int(size) for size in self.constants.array(node, 1).ravel()]
            if len(wanted) != 2 or wanted[1] not in (-1, int(np.prod(shape))) or wanted == [-1, -1]:
                refuse(node, f"a Reshape to N x {int(np.prod(shape))}", str(wanted[:8]))
        self.no_pad_waits(node)
        if len(shape) == 1:
            return
        if self.pools:
            refuse(node, "a quantizer between a MaxPool of numbers that fall where sums grow and Flatten", "none before it")
        height, width, channels = shape
        self.append("flat", "Flatten", self.builder.flatten)
        self.meaning.taken(np.tile(np.arange(channels), height * width))
        self.order = channel_first_order((height, width, channels))

    def _quant(self, node: FileNode) -> None:
        bits = self.constants.bit_width(node)
        scale, zero = self.constants.scalar(node, 1, "scale"), self.constants.scalar(node, 2, "zero point")
        quantizer: Quantizer
        if bits == 1 and node.attributes.get("signed", 1):
            if zero != 0:
                refuse(node, "the zero point 0 of one signed bit", f"{zero:g}")
            quantizer = BinaryQuantizer(2 * scale)
        else:
            quantizer = IntQuantizer(scale, zero, *integer_range(node, bits), rounding(node))
        self.quantize(node, quantizer)

    def _binary(self, node: FileNode) -> None:
        self.quantize(node, BinaryQuantizer(2 * self.constants.scalar(node, 1, "scale")))

    def _multi_threshold(self, node: FileNode) -> None:
        thresholds = self.constants.array(node, 1)
        channels = self.builder.operand.type.channels
        scale, bias = float(node.attributes.get("out_scale", 1.0)), float(node.attributes.get("out_bias", 0.0))
        if thresholds.ndim != 2 or len(thresholds) not in (1, channels) or not 1 <= thresholds.shape[1] <= 255:
            refuse(node, f"1 to 255 thresholds for each of {channels} channels", f"shape {thresholds.shape}")
        if node.attributes.get("data_layout", "") not in ("", "NCHW", "NC"):
            refuse(node, "`data_layout` to be NCHW or NC", repr(str(node.attributes["data_layout"])[:20]))
        if not scale > 0:
            refuse(node, "`out_scale` to be positive", f"{scale:g}")
        thresholds = np.broadcast_to(thresholds, (channels, thresholds.shape[1]))
        if self.order is not None:
            thresholds = thresholds[np.argsort(self.order)]
        quantizer = CountQuantizer(thresholds, scale, bias / scale)
        if not self.thresholds_as_they_are(quantizer):
            self.quantize(node, quantizer)


_OPERATIONS: dict[str, Callable[[Walk, FileNode], None]] = {
    "Conv": Walk.conv,
    "ConvInteger": Walk.conv,
    "Gemm": Walk.gemm,
    "MatMul": Walk.matmul,
    "MatMulInteger": Walk.matmul,
    "Quant": Walk._quant,
    "IntQuant": Walk._quant,
    "BipolarQuant": Walk._binary,
    "MultiThreshold": Walk._multi_threshold,
    "BatchNormalization": Walk._batch_norm,
    "Relu": Walk._relu,
    "Mul": Walk._arithmetic,
    "Div": Walk._arithmetic,
    "Add": Walk._arithmetic,
    "Sub": Walk._arithmetic,
    "MaxPool": Walk.max_pool,
    "Pad": Walk.pad,
    "Concat": Walk._concat,
    "Flatten": Walk._flatten,
    "Reshape": Walk._flatten,
    "Identity": Walk._nothing,
    "Dropout": Walk._nothing,
    "Cast": Walk._cast,
}
