"""A layer as ONNX's ConvInteger or MatMulInteger: uint8 times uint8, int32 sums.

Both operands are uint8 with a zero point, because products of uint8 and int8 saturate in some processors' instructions. Binary codes are 0
and 2 around 1, weights w are w + 128. Odd weights of 8 bits reach from -255 to 255: these are three weights of 8 bits, whose sum they are,
on three copies of the input.
"""

from __future__ import annotations

import numpy as np

from qlight.interop.model import ModelWriter
from qlight.intgraph import Conv2d, Linear, TensorType, weight_integers
from qlight.intgraph.nodes import BIPOLAR, Array

_ZERO = 128


def integer_conv(writer: ModelWriter, node: Conv2d, source: TensorType, pads: list[int], data: str, output: str) -> str:
    """Add a convolution of ``data`` (uint8 N x C x H x W, padded except for ``pads`` with the zero point); the name of its int32 sums.

    Args:
        pads: top, left, bottom, right.
    """
    parts = _parts(weight_integers(node).transpose(0, 3, 1, 2))
    data = _copies(writer, node, data, len(parts))
    inputs = _operands(writer, node, source, data, np.concatenate(parts, axis=1))
    return writer.node("ConvInteger", inputs, output, kernel_shape=node.kernel, strides=node.stride, pads=pads)


def integer_linear(writer: ModelWriter, node: Linear, source: TensorType, order: Array | None, data: str, output: str) -> str:
    """Add a product of ``data`` (uint8 N x F) with a matrix; the name of its int32 sums.

    Args:
        order: of the features in ``data``, as indices of the graph's; None where they are the same.
    """
    integers = weight_integers(node)
    parts = _parts(integers if order is None else integers[:, order])
    data = _copies(writer, node, data, len(parts))
    return writer.node("MatMulInteger", _operands(writer, node, source, data, np.concatenate(parts, axis=1).T), output)


def _parts(integers: Array) -> list[Array]:
    """Weights of -128 to 127 whose sum is ``integers``."""
    parts = []
    while True:
        parts.append(np.clip(integers, -_ZERO, _ZERO - 1))
        integers = integers - parts[-1]
        if not integers.any():
            return parts


def _operands(writer: ModelWriter, node: Conv2d | Linear, source: TensorType, data: str, integers: Array) -> list[str]:
    weight = writer.constant(f"{node.name}.weight", (integers + _ZERO).astype(np.uint8))
    zero = writer.constant(f"{node.name}.input_zero", np.uint8(source.encoding == BIPOLAR))
    return [data, weight, zero, writer.constant(f"{node.name}.weight_zero", np.uint8(_ZERO))]


def _copies(writer: ModelWriter, node: Conv2d | Linear, data: str, count: int) -> str:
    if count == 1:
        return data
    name = writer.node("Concat", [data] * count, f"{node.name}.copies", axis=1)
    batch, channels, *places = writer.shape_of(data)
    return writer.value(name, np.uint8, (batch, count * int(channels), *places))
