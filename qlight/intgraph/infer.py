"""What each operation needs of its input and its fields (rules N1 to N11, T1), and the tensor that follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qlight.intgraph.encodings import (
    MAX_ACCUMULATOR_BITS,
    Operand,
    accumulator_bits,
    accumulator_range,
    code_range,
    weight_codes,
    weight_range,
)
from qlight.intgraph.nodes import (
    ACCUMULATOR,
    BIPOLAR,
    ODD,
    SIGNED,
    UNSIGNED,
    Array,
    Conv2d,
    Flatten,
    Linear,
    MaxPool,
    Node,
    TensorType,
    Threshold,
)
from qlight.intgraph.rules import Words, broken

MAX_CODE_BITS = 8
#: scales are normal float32 numbers, so that no product with an int32 overflows or becomes subnormal
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-126, 2.0**127


def output_operand(node: Node, operand: Operand) -> Operand:
    """The tensor that ``node`` makes of ``operand``, and its range.

    The fields must have the types of rule G1; all other rules of a node are checked here.

    Raises:
        GraphError: the node breaks a rule, which the error names.
    """
    where = f"node `{node.name}`"
    if isinstance(node, Conv2d):
        return _conv2d(node, operand, where)
    if isinstance(node, Linear):
        return _linear(node, operand, where)
    if isinstance(node, MaxPool):
        return _max_pool(node, operand, where)
    if isinstance(node, Threshold):
        return _threshold(node, operand, where)
    assert isinstance(node, Flatten), "validation lets no other operation in"
    _demand_rank(operand, 3, where)
    height, width, channels = operand.type.shape
    return _like(operand, node, (height * width * channels,))


def check_scale(rule: str, where: str, name: str, scale: Array | None, shape: tuple[int, ...]) -> None:
    """Scales are float64 of the right shape, finite, positive and of float32's range.

    Raises:
        GraphError: otherwise.
    """
    if scale is None:
        return
    _demand_array(rule, where, name, scale, np.float64, shape)
    good = (scale >= SMALLEST_SCALE) & (scale <= LARGEST_SCALE)  # false for NaN
    if not good.all():
        broken(rule, where, f"`{name}` from 2^-126 to 2^127", float(scale[~good][0]))


def _conv2d(node: Conv2d, operand: Operand, where: str) -> Operand:
    _demand_codes(operand, where)
    _demand_rank(operand, 3, where)
    height, width, channels = operand.type.shape
    top, bottom, left, right = node.padding
    (down, across), (tall, wide) = node.stride, node.kernel
    if min(*node.stride, *node.kernel) < 1:
        broken("N5", where, "a `kernel` and `stride` of at least 1", (node.kernel, node.stride))
    if min(node.padding) < 0 or max(top, bottom) >= tall or max(left, right) >= wide:
        broken("N5", where, f"`padding` from 0 to less than the `kernel` {shown_shape(node.kernel)}", node.padding)
    padded = (height + top + bottom, width + left + right)
    if tall > padded[0] or wide > padded[1]:
        broken("N5", where, f"a `kernel` within the padded input of {shown_shape(padded)}", node.kernel)
    last_code = 2**operand.type.bits - 1
    if not 0 <= node.pad_code <= last_code:
        broken("N6", where, f"`pad_code` from 0 to {last_code}", node.pad_code)
    low, high = _weighted(node, operand, (tall, wide, channels), where)
    shape = ((padded[0] - tall) // down + 1, (padded[1] - wide) // across + 1, node.weight.shape[0])
    return _accumulator(node, shape, low, high, where)


def _linear(node: Linear, operand: Operand, where: str) -> Operand:
    _demand_codes(operand, where)
    _demand_rank(operand, 1, where)
    low, high = _weighted(node, operand, operand.type.shape, where)
    return _accumulator(node, (node.weight.shape[0],), low, high, where)


def _weighted(node: Conv2d | Linear, operand: Operand, per_output: tuple[int, ...], where: str) -> tuple[int, int]:
    """Check the weights of a layer whose outputs see ``per_output`` inputs; the range of its accumulators."""
    encoding, bits = node.weight_encoding, node.weight_bits
    fewest = {ODD: 1, SIGNED: 2}.get(encoding)
    if fewest is None:
        broken("N3", where, "`weight_encoding` to be 'odd' or 'signed'", encoding)
    if not fewest <= bits <= MAX_CODE_BITS:
        broken("N3", where, f"`weight_bits` from {fewest} to {MAX_CODE_BITS} of {encoding} weights", bits)
    outputs = node.weight.shape[0] if node.weight.ndim else 0
    _demand_array("N3", where, "weight", node.weight, np.uint8 if encoding == ODD else np.int8, (outputs, *per_output))
    if outputs < 1:
        broken("N3", where, "`weight` of at least one output channel", outputs)
    first, last = weight_codes(encoding, bits)
    for code in (int(node.weight.min()), int(node.weight.max())):
        if not first <= code <= last:
            broken("N4", where, f"`weight` codes from {first} to {last} ({bits} bits, {encoding})", code)
    check_scale("N11", where, "weight_scale", node.weight_scale, (outputs,))
    fan_in = int(np.prod(per_output, dtype=np.int64))
    return accumulator_range(fan_in, weight_range(encoding, bits), operand.low, operand.high)


def _accumulator(node: Node, shape: tuple[int, ...], low: int, high: int, where: str) -> Operand:
    bits = accumulator_bits(low, high)
    if bits > MAX_ACCUMULATOR_BITS:
        broken("T1", where, f"accumulators of at most {MAX_ACCUMULATOR_BITS} bits", Words(f"{bits} bits for {low} to {high}"))
    return Operand(TensorType(node.output, shape, ACCUMULATOR, bits), low, high)


def _max_pool(node: MaxPool, operand: Operand, where: str) -> Operand:
    _demand_rank(operand, 3, where)
    height, width, channels = operand.type.shape
    if min(*node.stride, *node.kernel) < 1:
        broken("N7", where, "a `kernel` and `stride` of at least 1", (node.kernel, node.stride))
    if node.kernel[0] > height or node.kernel[1] > width:
        broken("N7", where, f"a `kernel` within the input of {shown_shape((height, width))}", node.kernel)
    shape = ((height - node.kernel[0]) // node.stride[0] + 1, (width - node.kernel[1]) // node.stride[1] + 1, channels)
    return _like(operand, node, shape)


def _threshold(node: Threshold, operand: Operand, where: str) -> Operand:
    if not operand.type.signed:
        broken("N1", where, "accumulators as input", Words(f"{operand.type.encoding} codes"))
    most = {UNSIGNED: MAX_CODE_BITS, BIPOLAR: 1}.get(node.encoding)
    if most is None:
        broken("T1", where, "`encoding` to be 'unsigned' or 'bipolar'", node.encoding)
    if not 1 <= node.bits <= most:
        broken("T1", where, f"`bits` from 1 to {most} of {node.encoding} codes", node.bits)
    channels = operand.type.channels
    _demand_array("N8", where, "thresholds", node.thresholds, np.int32, (channels, 2**node.bits - 1))
    _demand_array("N8", where, "direction", node.direction, np.int8, (channels,))
    wrong = ~np.isin(node.direction, (-1, 1))
    if wrong.any():
        broken("N8", where, "`direction` of +1 or -1", int(node.direction[wrong][0]))
    thresholds, direction = node.thresholds.astype(np.int64), node.direction.astype(np.int64)[:, None]
    unsorted = (np.diff(direction * thresholds, axis=1) < 0).any(axis=1)
    if unsorted.any():
        channel = int(np.argmax(unsorted))
        words = Words(f"another order in channel {channel} (direction {node.direction[channel]:+d})")
        broken("N9", where, "direction times `thresholds` to ascend", words)
    lowest = np.where(direction > 0, operand.low, operand.low - 1)
    outside = (thresholds < lowest) | (thresholds > lowest + (operand.high + 1 - operand.low))
    if outside.any():
        expected = f"`thresholds` from {operand.low} to {operand.high + 1} where the direction is +1, one less where it is -1"
        broken("N10", where, expected, int(thresholds[outside][0]))
    check_scale("N11", where, "output_scale", node.output_scale, (1,))
    low, high = code_range(node.encoding, node.bits)
    return Operand(TensorType(node.output, operand.type.shape, node.encoding, node.bits), low, high)


def _like(operand: Operand, node: Node, shape: tuple[int, ...]) -> Operand:
    """The operand in another shape, as the output of ``node``."""
    return Operand(TensorType(node.output, shape, operand.type.encoding, operand.type.bits), operand.low, operand.high)


def _demand_codes(operand: Operand, where: str) -> None:
    if operand.type.signed:
        broken("N1", where, "codes as input (a Threshold comes first)", Words("accumulators"))


def _demand_rank(operand: Operand, rank: int, where: str) -> None:
    if len(operand.type.shape) != rank:
        wanted = "H x W x C" if rank == 3 else "of one axis (a Flatten comes first)"
        broken("N2", where, f"an input {wanted}", Words(shown_shape(operand.type.shape)))


def _demand_array(rule: str, where: str, name: str, array: Array, dtype: Any, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        expected = f"`{name}` to be {np.dtype(dtype).name} {shown_shape(shape)}"
        broken(rule, where, expected, Words(f"{array.dtype.name} {shown_shape(array.shape)}"))


def shown_shape(shape: tuple[int, ...]) -> str:
    """A shape for messages.

    >>> shown_shape((3, 3, 16)), shown_shape(())
    ('3 x 3 x 16', 'a scalar')
    """
    return " x ".join(str(size) for size in shape) or "a scalar"
