"""Thresholds for kernels: of the dot product instead of the accumulator, ascending, and as a straight line where they are one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlight.intgraph.nodes import Array, Threshold

_INT32 = np.iinfo(np.int32)
_STEEPEST = 1024.0
_GOLDEN, _ROUNDS = (5**0.5 - 1) / 2, 70


@dataclass(frozen=True)
class Ascending:
    """code = (number of ``levels`` that are <= dot) xor ``flip``.

    A direction of -1 counts the thresholds T with dot <= T. These are the n that there are, less those with dot >= T + 1; and n - count is
    count xor n, because n = 2^bits - 1. So the count always ascends with the dot product, and pooling comes before the xor.

    Attributes:
        levels: int32, channels x (2^bits - 1), ascending.
        flip: int32, channels.
    """

    levels: Array
    flip: Array


def ascending(node: Threshold, factor: int = 1, offset: Array | int = 0) -> Ascending:
    """The thresholds of ``node`` for dot products, where acc = factor * dot + offset (of each channel).

    >>> node = Threshold("a", "i", "o", "unsigned", 2, np.array([[1, 4, 9], [9, 4, 1]], np.int32), np.array([1, -1], np.int8))
    >>> ascending(node, factor=2, offset=1)
    Ascending(levels=array([[0, 2, 4],
           [1, 2, 5]], dtype=int32), flip=array([0, 3], dtype=int32))
    """
    falling = (node.direction < 0)[:, None]
    thresholds = node.thresholds.astype(np.int64)
    rising = np.where(falling, thresholds[:, ::-1] + 1, thresholds)
    beyond = np.broadcast_to(offset, len(rising))[:, None] - rising
    levels = np.clip(-(beyond // factor), _INT32.min, _INT32.max).astype(np.int32)
    return Ascending(levels, np.where(falling[:, 0], levels.shape[1], 0).astype(np.int32))


@dataclass(frozen=True)
class Line:
    """floor(slope * dot + shift), cut to 0 .. n, beside the number of levels reached, for each channel.

    Attributes:
        slope, shift: float64.
        distance: int; 0: this is the number, also in float32; 1: only in float64; 2: it is it, or one more or less, in float32; 3: neither.
    """

    slope: Array
    shift: Array
    distance: Array


def fit(levels: Array, low: Array, high: Array) -> Line:
    """The line through each channel's levels.

    A batch norm before a uniform quantizer makes levels of distance 0 or 1, or 2 where ties were rounded.
    The distance is proven, in floating point as the kernel computes it, at every level and right below it; between these it holds because
    rounding keeps order.

    Args:
        levels: int32, channels x n, ascending.
        low, high: int64, channels: the least and the greatest dot product that can come.

    >>> fit(np.array([[-3, 0, 4, 7], [0, 5, 9, 13], [0, 1, 2, 90]], np.int32), np.array([-99] * 3), np.array([99] * 3)).distance
    array([0, 0, 2])
    """
    wide = levels.astype(np.int64)
    least, most = low[:, None], high[:, None]
    number = np.arange(1, levels.shape[1] + 1)
    at, below = np.clip(wide, least, most), np.clip(wide - 1, least, most)
    # slope * at + shift >= floor where a level can be reached, slope * below + shift < ceiling where it can be missed
    floor = np.where(wide <= most, number, -np.inf)
    ceiling = np.where(wide > least, number, np.inf)

    def room(slope: Array) -> tuple[Array, Array]:
        return (floor - slope[:, None] * at).max(1), (ceiling - slope[:, None] * below).min(1)

    def width(slope: Array) -> Array:
        lower, upper = room(slope)
        return np.minimum(upper - lower, _STEEPEST)

    left, right = np.zeros(len(levels)), np.full(len(levels), _STEEPEST)
    for _ in range(_ROUNDS):  # the width is concave in the slope: golden section
        inner, outer = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
        rises = width(inner) < width(outer)
        left, right = np.where(rises, inner, left), np.where(rises, right, outer)
    slope = (left + right) / 2
    lower, upper = room(slope)
    lower, upper = np.where(np.isfinite(lower), lower, upper - 1), np.where(np.isfinite(upper), upper, lower + 1)
    shift = np.where(np.isfinite(lower), (lower + upper) / 2, 0.0)
    holds = []
    for real, more in ((np.float32, 0), (np.float64, 0), (np.float32, 1)):
        reached, missed = (places.astype(real) * slope[:, None].astype(real) + shift[:, None].astype(real) for places in (at, below))
        holds.append(((reached >= floor - more) & (missed < ceiling + more)).all(1))
    # a distance allows all greater ones, because the channels of a vector share the greatest
    return Line(slope, shift, np.select([holds[0] & holds[1], holds[1] & holds[2], holds[2]], [0, 1, 2], 3))
