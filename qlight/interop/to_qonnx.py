"""An integer graph in the QONNX dialect: floating-point tensors that hold integers, and MultiThreshold.

* Input ``pixels``: float32 N x C x H x W, the integers 0 to 255. Output ``accumulators``: N x classes, float32, or float64 where a sum
  could pass 2^24. N is fixed, since the qonnx package runs only models whose shapes are all known.
* Tensors hold the integers that codes stand for (binary codes are -1 and +1), and are annotated with their type (UINT2, BIPOLAR, ...).
* Threshold: where its direction is -1, a Mul by the direction; then MultiThreshold on direction * thresholds.
* Padding with the integer 0 is Conv's own, any other (-1 of binary codes) a Pad.
* Flatten: ONNX has channels first, so the columns of the next Linear and the rows of thresholds between are permuted.
* Float32 is exact below 2^24. A layer whose partial sums could pass that, with its weights and any input, is ConvInteger or MatMulInteger
  instead (uint8 codes and weights, int32 sums), and what follows up to the next codes float64.
"""

from __future__ import annotations

import numpy as np

from qlight.interop.bounds import exact_in_float32
from qlight.interop.integer_layers import integer_conv, integer_linear
from qlight.interop.model import (
    ACCUMULATORS,
    INPUT,
    QONNX_DOMAIN,
    ModelWriter,
    channel_first,
    flat_orders,
    tensor_name,
)
from qlight.intgraph import Conv2d, Flatten, Graph, Linear, MaxPool, Operand, TensorType, Threshold, operands, weight_integers
from qlight.intgraph.encodings import activation_integers
from qlight.intgraph.nodes import BIPOLAR, ODD, Array


def qonnx_bytes(graph: Graph, batch: int) -> bytes:
    """The file's content; see `export_qonnx`."""
    writer = _Writer(graph, batch)
    return writer.build(graph, [ACCUMULATORS], qonnx=True)


class _Writer(ModelWriter):
    def __init__(self, graph: Graph, batch: int) -> None:
        super().__init__()
        self.batch = batch
        found = operands(graph)
        self.dtype = np.dtype(np.float32)
        self.value(INPUT, np.float32, (batch, *channel_first(graph.input.shape)), "UINT8")
        for node, order, source, target in zip(graph.nodes, flat_orders(graph), graph.tensors, graph.tensors[1:], strict=False):
            data, output = tensor_name(source, graph), tensor_name(target, graph)
            if isinstance(node, Conv2d):
                self._conv2d(node, found[source.name], target, data, output)
            elif isinstance(node, Linear):
                self._linear(node, found[source.name], order, data, output)
            elif isinstance(node, MaxPool):
                self.node("MaxPool", [data], output, kernel_shape=node.kernel, strides=node.stride)
            elif isinstance(node, Threshold):
                self._threshold(node, found[source.name].type, order, data, output)
            else:
                assert isinstance(node, Flatten)
                self.node("Flatten", [data], output, axis=1)
            self._out(output, target)

    def _out(self, name: str, tensor: TensorType) -> None:
        self.value(name, self.dtype, (self.batch, *channel_first(tensor.shape)), _annotation(tensor))

    def _conv2d(self, node: Conv2d, source: Operand, target: TensorType, data: str, output: str) -> None:
        top, bottom, left, right = node.padding
        pads = [top, left, bottom, right]
        value = int(activation_integers(np.array(node.pad_code), source.type.encoding))
        if any(pads) and value != 0:
            height, width, channels = source.type.shape
            data = self.node("Pad", [data, *self._pad_inputs(node.name, pads, np.float32(value))], f"{node.name}.padded")
            shape = (self.batch, channels, height + top + bottom, width + left + right)
            self.value(data, np.float32, shape, _annotation(source.type))
            pads = [0, 0, 0, 0]
        if not exact_in_float32(node, source):
            self._wide(node, source, target, data, output, pads)
            return
        integers = weight_integers(node).transpose(0, 3, 1, 2)
        weight = self.constant(f"{node.name}.weight", integers.astype(np.float32), _weight_annotation(node))
        self.node("Conv", [data, weight], output, kernel_shape=node.kernel, strides=node.stride, pads=pads)

    def _pad_inputs(self, name: str, pads: list[int], value: np.generic) -> list[str]:
        top, left, bottom, right = pads
        amounts = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return [self.constant(f"{name}.pads", amounts), self.constant(f"{name}.pad_value", value)]

    def _linear(self, node: Linear, source: Operand, order: Array | None, data: str, output: str) -> None:
        if not exact_in_float32(node, source):
            bytes_ = self._bytes(node, source.type, data)
            sums = integer_linear(self, node, source.type, order, bytes_, f"{node.name}.sums")
            self._to_double(sums, output, node.weight.shape[:1])
            return
        columns = weight_integers(node) if order is None else weight_integers(node)[:, order]
        weight = self.constant(f"{node.name}.weight", columns.T.astype(np.float32), _weight_annotation(node))
        self.node("MatMul", [data, weight], output)

    def _wide(self, node: Conv2d, source: Operand, target: TensorType, data: str, output: str, pads: list[int]) -> None:
        bytes_ = self._bytes(node, source.type, data)
        sums = integer_conv(self, node, source.type, pads, bytes_, f"{node.name}.sums")
        self._to_double(sums, output, channel_first(target.shape))

    def _bytes(self, node: Conv2d | Linear, source: TensorType, data: str) -> str:
        """``data`` as uint8; binary codes as 0 and 2, around the zero point 1."""
        sizes = self.shape_of(data)
        if source.encoding == BIPOLAR:
            one = self.constant(f"{node.name}.one", np.float32(1))
            data = self.value(self.node("Add", [data, one], f"{node.name}.raised"), np.float32, sizes, "UINT2")
        return self.value(self.cast(data, f"{node.name}.bytes", np.uint8), np.uint8, sizes)

    def _to_double(self, sums: str, output: str, shape: tuple[int, ...]) -> None:
        self.value(sums, np.int32, (self.batch, *shape))
        self.cast(sums, output, np.float64)
        self.dtype = np.dtype(np.float64)

    def _threshold(self, node: Threshold, source: TensorType, order: Array | None, data: str, output: str) -> None:
        direction, thresholds = node.direction, node.thresholds.astype(np.int64)
        if order is not None:
            direction, thresholds = direction[order], thresholds[order]
        shape = (self.batch, *channel_first(source.shape))
        if (direction < 0).any():
            factor = direction.astype(self.dtype).reshape(-1, *[1] * (len(source.shape) - 1))
            data = self.node("Mul", [data, self.constant(f"{node.name}.direction", factor)], f"{node.name}.directed")
            self.value(data, self.dtype, shape, f"INT{source.bits}")
            thresholds = direction.astype(np.int64)[:, None] * thresholds
        # those that never fire are beyond the range of sums; float32 cannot hold all of them
        exact = (thresholds == thresholds.astype(np.float32)).all()
        held = thresholds.astype(np.float32 if exact and self.dtype == np.float32 else np.float64)
        constant = self.constant(f"{node.name}.thresholds", held, f"INT{source.bits + 1}")
        bipolar = node.encoding == BIPOLAR
        wide = self.dtype == np.float64
        self.node(
            "MultiThreshold",
            [data, constant],
            f"{node.name}.codes" if wide else output,
            QONNX_DOMAIN,
            out_dtype=_codes_annotation(node.encoding, node.bits),
            out_scale=2.0 if bipolar else 1.0,
            out_bias=-1.0 if bipolar else 0.0,
            data_layout="NCHW" if len(source.shape) == 3 else "NC",
        )
        if wide:
            self.value(f"{node.name}.codes", np.float64, shape, _codes_annotation(node.encoding, node.bits))
            self.cast(f"{node.name}.codes", output, np.float32)
            self.dtype = np.dtype(np.float32)


def _annotation(tensor: TensorType) -> str:
    return f"INT{tensor.bits}" if tensor.signed else _codes_annotation(tensor.encoding, tensor.bits)


def _codes_annotation(encoding: str, bits: int) -> str:
    if encoding == BIPOLAR:
        return "BIPOLAR"
    return "BINARY" if bits == 1 else f"UINT{bits}"


def _weight_annotation(node: Conv2d | Linear) -> str:
    if node.weight_encoding == ODD:
        return "BIPOLAR" if node.weight_bits == 1 else f"INT{node.weight_bits + 1}"
    return f"INT{node.weight_bits}"
