"""Thresholds as an affine function of the accumulator, where they are one: ``clip((M acc + 2^17 B) >> shift, 0, 2^bits - 1)``.

A batch norm with a uniform quantizer behind it has 2^bits - 1 thresholds at even distances but for rounding, which two integers a channel
stand for: qlight_affine.sv and its twin in hw/hls compute them. The widths of M and B, and the shift, follow from the accumulator's bits
alone, so that a build serves every network of its geometry whose thresholds have such a form. Whether they have one is decided with
integers, for every accumulator that the types of weights and activations allow.

For an M the conditions "the code is at least k from threshold k on, and less before" leave an interval of offsets. Its length is a concave
function of M, so the longest is found by bisection, in all channels at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlight.intgraph import Threshold
from qlight.intgraph.nodes import Array

#: bits of M and of B, two's complement; B counts in units of 2^LOW_BITS, the bits of M that the first of two multipliers takes
MULTIPLIER_BITS, OFFSET_BITS, LOW_BITS = 34, 38, 17
#: M is the slope times 2^shift. Where thresholds span a 2^-s of the accumulator's range, that is 2^(22 + s), so M holds s up to 11.
#: Networks have s from 4 to 9 (measured: w2a32 at a quarter of the width); shifts by 20 to 24 find the same forms there.
#: A unit of B is 2^(bits - 5 - acc_bits) codes, so that every affine function with s above bits - 5 has a form; of others, most.
_FULL_SPAN = 22
LEAST_ACC_BITS = 3
_BLOCK = 512  # channels at a time, for the processor's cache
_FAR = np.int64(2**62)


@dataclass(frozen=True, eq=False)
class AffineForm:
    """Of a layer's thresholds.

    Attributes:
        multiplier, offset: int64, one a channel: M and B; in channels of ``missing`` those that are nearest.
        shift: of the layer.
        codes: 2^bits, how many there are.
        missing: channels that have no such form, ascending.
    """

    multiplier: Array
    offset: Array
    shift: int
    codes: int
    missing: tuple[int, ...]

    def of(self, accumulators: Array) -> Array:
        """The codes of int64 accumulators, channels x n, as the hardware computes them: no sum is wider than 64 bits.

        >>> form = AffineForm(np.array([3 << 20]), np.array([-(1 << 3)]), 20, 16, ())
        >>> form.of(np.array([[0, 1, 2, 6]]))
        array([[ 0,  2,  5, 15]])
        """
        high, low = self.multiplier[:, None] >> LOW_BITS, self.multiplier[:, None] & (2**LOW_BITS - 1)
        total = accumulators * high + (accumulators * low >> LOW_BITS) + self.offset[:, None]
        return (total >> (self.shift - LOW_BITS)).clip(0, self.codes - 1)


def shift_of(acc_bits: int, bits: int) -> int:
    """The shift for accumulators of so many bits, at least `LEAST_ACC_BITS`, and codes of so many."""
    return acc_bits + _FULL_SPAN - bits


def affine_form(threshold: Threshold, acc_bits: int, low: int, high: int) -> AffineForm:
    """The affine form of a node's thresholds, proven for all accumulators from low to high; channels without one are in ``missing``.

    Args:
        acc_bits: of the accumulators, in two's complement.
    """
    direction = np.where(threshold.direction < 0, -1, 1)[:, None]
    levels = np.sort(direction * threshold.thresholds.astype(np.int64), axis=1)  # of direction * accumulator, which is at least these
    bounds = np.where(direction > 0, [[low, high]], [[-high, -low]])
    shift, channels = shift_of(acc_bits, threshold.bits), len(levels)
    multiplier, offset = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    found = np.zeros(channels, bool)
    for start in range(0, channels if acc_bits >= LEAST_ACC_BITS else 0, _BLOCK):
        block = slice(start, start + _BLOCK)
        multiplier[block], offset[block], found[block] = _search(_Conditions(levels[block], bounds[block], shift), shift)
    form = AffineForm(multiplier * direction[:, 0], offset, shift, threshold.thresholds.shape[1] + 1, ())
    # the proof: the code is monotonic in the accumulator, so both sides of every threshold decide for all others
    numbers = np.arange(1, form.codes)
    reached = form.of(direction * levels.clip(bounds[:, :1], bounds[:, 1:])) >= numbers
    before = form.of(direction * (levels - 1).clip(bounds[:, :1], bounds[:, 1:])) < numbers
    found &= ((levels > bounds[:, 1:]) | reached).all(axis=1) & ((levels <= bounds[:, :1]) | before).all(axis=1)
    return AffineForm(form.multiplier, offset, shift, form.codes, tuple(np.flatnonzero(~found).tolist()))


class _Conditions:
    """On M, and on the offset for an M: at least k 2^shift - M above[k] for every threshold that some accumulator reaches, and at most
    k 2^shift - 1 - M below[k] for every one that some accumulator is below. Accumulators count from ``center``, to keep products small."""

    def __init__(self, levels: Array, bounds: Array, shift: int) -> None:
        steps = np.arange(1, levels.shape[1] + 1, dtype=np.int64) << shift
        low, high = bounds[:, :1], bounds[:, 1:]
        above, below = levels.clip(low, high), (levels - 1).clip(low, high)
        self.center = above[:, levels.shape[1] // 2]
        reached, unmet = levels <= high, levels > low
        self.bound = reached.any(axis=1) & unmet.any(axis=1)  # else the code is the same everywhere, and M is 0
        self.above = np.where(reached, above - self.center[:, None], 0)
        self.below = np.where(unmet, below - self.center[:, None], 0)
        self.least = np.where(reached, steps, -_FAR)
        self.most = np.where(unmet, steps - 1, _FAR)
        self.rows = np.arange(len(levels))
        self.shift, self.reached, self.unmet = shift, reached, unmet

    def offsets(self, multiplier: Array) -> tuple[Array, Array, Array]:
        """The least and the most offset for an M a channel, and how the length of that interval grows with M."""
        least, most = self.least - multiplier[:, None] * self.above, self.most - multiplier[:, None] * self.below
        upper, lower = least.argmax(axis=1), most.argmin(axis=1)
        growth = self.above[self.rows, upper] - self.below[self.rows, lower]
        return least[self.rows, upper], most[self.rows, lower], growth

    def multipliers(self) -> tuple[Array, Array]:
        """Bounds of M: from the first and the last threshold. Within them no product is more than a few times 2^(shift + bits)."""
        last = self.above.shape[1] - 1
        top = np.full(len(self.rows), 2 ** (MULTIPLIER_BITS - 1) - 1)
        span = self.below[:, last] - self.above[:, 0]
        wide = self.bound & (span > 0)
        top[wide] = np.minimum(top[wide], ((last << self.shift) - 1) // span[wide])
        top[~self.bound] = 0
        first, end = self.unmet.argmax(axis=1), last - self.reached[:, ::-1].argmax(axis=1)
        rise = self.above[self.rows, end] - self.below[self.rows, first]
        bottom = np.where(self.bound & (rise > 0) & (end > first), -((-(end - first) << self.shift) - 1) // rise.clip(1), 0)
        return np.minimum(bottom, top), top


def _search(conditions: _Conditions, shift: int) -> tuple[Array, Array, Array]:
    """M and B of the longest interval of offsets, and whether there is a B: if not, it is in the middle of those that two sides ask for."""
    low, high = conditions.multipliers()
    best, slack = low.copy(), np.full(len(low), -_FAR)
    while (low <= high).any():
        middle = np.where(low <= high, (low + high) // 2, best)
        least, most, growth = conditions.offsets(middle)
        better = most - least > slack
        best, slack = np.where(better, middle, best), np.where(better, most - least, slack)
        low, high = np.where(growth > 0, middle + 1, low), np.where(growth < 0, middle - 1, np.where(growth == 0, low - 1, high))
    least, most, _ = conditions.offsets(best)
    offset, found = np.zeros(len(best), np.int64), np.zeros(len(best), bool)
    limit = 1 << (OFFSET_BITS - 1)
    for channel, (multiplier, center, start, end) in enumerate(
        zip(best.tolist(), conditions.center.tolist(), least.tolist(), most.tolist(), strict=True)
    ):  # products with the center may be wider than 64 bits
        smallest, largest = -((multiplier * center - start) >> LOW_BITS), (end - multiplier * center) >> LOW_BITS
        smallest, largest = max(smallest, -limit), min(largest, limit - 1)  # a constant channel has a bound on one side only
        offset[channel], found[channel] = (smallest + largest) // 2, smallest <= largest
    return best, offset, found


def levels_of(multiplier: Array, offset: Array, bits: int, acc_bits: int, low: int, high: int) -> tuple[Array, Array]:
    """int32 thresholds (channels x 2^bits - 1), ordered as graphs have them, and int8 directions of given M and B: the way back.

    Those that no accumulator reaches, or that all do, lie at the ends of the range from low to high.
    """
    shift = shift_of(acc_bits, bits)
    direction = np.where(multiplier < 0, -1, 1)
    levels = []
    for slope, start in zip(multiplier.tolist(), offset.tolist(), strict=True):
        needs = [(number << shift) - (start << LOW_BITS) for number in range(1, 2**bits)]  # M acc must be at least so much
        if slope > 0:
            levels.append([min(max(-(-need // slope), low), high + 1) for need in needs])
        elif slope < 0:
            levels.append([max(min(need // slope, high), low - 1) for need in needs])
        else:
            levels.append([low if need <= 0 else high + 1 for need in needs])
    return np.array(levels, np.int32), direction.astype(np.int8)
