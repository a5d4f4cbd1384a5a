"""Convolutions and dense layers as one kind of work: dot products of 4 bytes a step, of every output channel with every output pixel.

A dense layer behind a Flatten is a convolution whose kernel is the whole map. A step is four code bytes times four weight bytes, or 32
places of a bit plane xor those of a plane of weights. Every step has an offset from the pixel's first byte, so kernels know no shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlight.engines.layouts import WORD, Layout
from qlight.intgraph import Operand, weight_integers
from qlight.intgraph.nodes import BIPOLAR, ODD, Array, Conv2d, Linear

BITS, BYTES, SMALL_BYTES = range(3)


@dataclass(frozen=True)
class Geometry:
    """A layer as a convolution.

    Attributes:
        shape: (height, width, channels) of the input.
        kernel, stride, padding, pad_code: as in `Conv2d`.
        output: (height, width) of the output.
    """

    shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    pad_code: int
    output: tuple[int, int]


@dataclass(frozen=True)
class Dots:
    """The dot products of a layer. acc = factor * dot + offset.

    Attributes:
        operation: `BITS`, `BYTES` or `SMALL_BYTES`.
        layout: in which the input must lie.
        words: int32, steps x outputs: the weights.
        step_offset: int64, steps: bytes from a pixel's place in the input.
        group_steps: steps of each group; what was summed doubles before the next group begins.
        factor: 1 or 2.
        offset: int64, outputs.
    """

    operation: int
    layout: Layout
    words: Array
    step_offset: Array
    group_steps: tuple[int, ...]
    factor: int
    offset: Array


def geometry(node: Conv2d | Linear, shape: tuple[int, ...], output: tuple[int, ...]) -> Geometry:
    """The convolution that ``node`` is, where its input (before a Flatten, if any) has the given ``shape``."""
    if isinstance(node, Conv2d):
        return Geometry((shape[0], shape[1], shape[2]), node.kernel, node.stride, node.padding, node.pad_code, (output[0], output[1]))
    whole = (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, shape[0])
    return Geometry(whole, whole[:2], (1, 1), (0, 0, 0, 0), 0, (1, 1))


def make_dots(node: Conv2d | Linear, operand: Operand, where: Geometry, plane_pairs: int) -> Dots:
    """How to compute ``node`` on ``operand``: in bit planes where there are at most ``plane_pairs`` pairs of them, else in bytes."""
    weights = weight_integers(node).reshape(len(node.weight), *where.kernel, where.shape[2])
    if node.weight_encoding == ODD and node.weight_bits * operand.type.bits <= plane_pairs:
        return _bits(node, weights, operand, where)
    return _bytes(weights, operand, where)


def _bits(node: Conv2d | Linear, weights: Array, operand: Operand, where: Geometry) -> Dots:
    """sum of w * a over planes i of weights and j of codes: 2^(i+j) times (places - 2 * places that differ), all of -1 and +1.

    A bipolar code is its plane; an unsigned one is half of the sum of 2^j * (plane j + 1).
    """
    outputs, count = len(weights), int(np.prod(weights.shape[1:]))
    bipolar = operand.type.encoding == BIPOLAR
    code_bits, weight_bits = operand.type.bits, node.weight_bits
    layout = Layout(where.shape, planes=code_bits, padding=where.padding, pad_code=where.pad_code)
    width = layout.plane_bytes * 8
    codes = node.weight.astype(np.uint8).reshape(weights.shape)
    padded = np.pad(codes, ((0, 0), (0, 0), (0, 0), (0, width - where.shape[2])))
    rows, columns = np.arange(where.kernel[0]) * layout.row_bytes, np.arange(where.kernel[1]) * layout.pixel_bytes
    steps = (rows[:, None, None] + columns[:, None] + np.arange(0, layout.plane_bytes, WORD)).ravel()
    words, offsets, groups = [], [], []
    for shift in range(code_bits + weight_bits - 2, -1, -1):  # the highest first: it doubles in every later group
        pairs = [(shift - plane, plane) for plane in range(code_bits) if 0 <= shift - plane < weight_bits]
        groups.append(len(pairs) * len(steps))
        for weight_plane, code_plane in pairs:
            bits = np.packbits(padded >> weight_plane & 1, axis=-1, bitorder="little").view("<i4")
            words.append(bits.reshape(outputs, -1).T)
            offsets.append(steps + code_plane * layout.plane_bytes)
    highest = 2**weight_bits - 1
    total = weights.reshape(outputs, -1).sum(1)
    if bipolar:
        factor, offset = 2, np.full(outputs, count * highest, np.int64)
    else:  # each sum of a plane's weights has the parity of count, so the half is whole
        factor, offset = 1, (2**code_bits - 1) * (count * highest + total) // 2
    return Dots(BITS, layout, np.concatenate(words), np.concatenate(offsets).astype(np.int64), tuple(groups), factor, offset)


def _bytes(weights: Array, operand: Operand, where: Geometry) -> Dots:
    """Products of unsigned codes and signed weights. Odd weights of 8 bits do not fit a byte: they are 2 * (w - 1) / 2 + 1, two groups."""
    outputs = len(weights)
    layout = Layout(where.shape, padding=where.padding, pad_code=where.pad_code)
    parts = [weights]
    if int(np.abs(weights).max()) > 128 or int(weights.max()) > 127:
        parts = [weights >> 1, np.ones_like(weights)]
    rows = weights.reshape(outputs, where.kernel[0], -1)  # a row of the kernel lies in one piece
    rest = -rows.shape[-1] % WORD  # what a step reads beyond the row meets weights of 0
    words = []
    for part in parts:
        padded = np.pad(part.reshape(rows.shape), ((0, 0), (0, 0), (0, rest))).astype(np.int8)
        words.append(padded.reshape(outputs, -1).view("<i4").T)
    steps = (np.arange(where.kernel[0])[:, None] * layout.row_bytes + np.arange(0, rows.shape[-1] + rest, WORD)).ravel()
    bipolar = operand.type.encoding == BIPOLAR
    offset = -rows.sum((1, 2)) if bipolar else np.zeros(outputs, np.int64)
    largest_code = 2**operand.type.bits - 1
    small = 2 * largest_code * max(int(np.abs(part).max()) for part in parts) <= np.iinfo(np.int16).max
    offsets = np.tile(steps, len(parts)).astype(np.int64)
    operation = SMALL_BYTES if small else BYTES
    return Dots(operation, layout, np.concatenate(words), offsets, (len(steps),) * len(parts), 2 if bipolar else 1, offset)
