"""Integer thresholds of any monotone function from accumulators to codes, by bisection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qlight.intgraph.nodes import Array

#: int64 accumulators, P x channels -> int64 codes of the same shape, monotone along P
CodesOf = Callable[[Array], Array]
#: elements of one evaluation: bounds the memory of quantizers with many levels
_BLOCK = 1 << 20


def find_thresholds(codes: CodesOf, low: int, high: int, channels: int, largest: int) -> tuple[Array, Array]:
    """Thresholds and directions for which a Threshold equals ``codes`` on all integers from ``low`` to ``high``.

    Args:
        codes: monotone per channel, from 0 to ``largest``.
        low, high: range of the accumulators.

    Returns:
        int32, channels x largest; int8, channels. A threshold outside of the range (high + 1, or low - 1 where the direction is -1) never
        fires. A channel whose code does not depend on the accumulator has direction +1.

    >>> find_thresholds(lambda acc: np.clip(acc // 2, 0, 3), -5, 4, 1, 3)
    (array([[2, 4, 5]], dtype=int32), array([1], dtype=int8))
    >>> find_thresholds(lambda acc: np.clip(-acc // 2, 0, 2), -3, 4, 1, 2)
    (array([[-2, -4]], dtype=int32), array([-1], dtype=int8))
    """
    ends = codes(np.array([[low], [high]]).repeat(channels, 1))
    direction = np.where(ends[1] >= ends[0], 1, -1)
    # in t = direction * accumulator every channel ascends; the smallest t whose code reaches `wanted`, or one beyond the last
    first = np.where(direction > 0, low, -high)
    thresholds = np.empty((largest, channels), np.int64)
    rows = max(1, _BLOCK // channels)
    for start in range(0, largest, rows):
        wanted = np.arange(start, min(start + rows, largest))[:, None] + 1
        found = np.broadcast_to(first, (len(wanted), channels)).copy()
        beyond = found + (high - low + 1)
        while (found < beyond).any():
            middle = (found + beyond) >> 1
            inside = np.minimum(middle, first + (high - low))  # where the search has ended at one beyond
            reached = codes(direction * inside) >= wanted
            open_ = found < beyond
            beyond = np.where(open_ & reached, middle, beyond)
            found = np.where(open_ & ~reached, middle + 1, found)
        thresholds[start : start + rows] = found
    return (direction * thresholds).T.astype(np.int32), direction.astype(np.int8)
