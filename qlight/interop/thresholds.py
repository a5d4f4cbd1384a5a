"""Integer thresholds of any monotone function from accumulators to codes, by bisection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qlight.intgraph.nodes import Array

#: elements of one evaluation: bounds the memory of quantizers with many levels
_BLOCK = 1 << 16


def find_thresholds(codes: Callable[[Array], Array], low: int, high: int, channels: int, levels: int) -> tuple[Array, Array]:
    """Thresholds and directions for which a graph's Threshold equals ``codes`` on all integers from ``low`` to ``high``.

    Args:
        codes: int64 P x channels -> codes of the same shape, from 0 to ``levels``, monotone along P in every channel.
        low, high: range of the accumulators.

    Returns:
        int32, channels x ``levels``; int8, channels. A threshold that no accumulator passes is high + 1, or low - 1 where the direction
        is -1; a channel whose code does not depend on the accumulator has direction +1.

    >>> find_thresholds(lambda acc: np.clip(-acc // 2, 0, 2), -3, 4, 1, 2)
    (array([[-2, -4]], dtype=int32), array([-1], dtype=int8))
    """
    ends = codes(np.array([[low], [high]]).repeat(channels, 1))
    direction = np.where(ends[1] >= ends[0], 1, -1)
    # place p = 0, 1, ... counts from the end where codes are smallest; the first place whose code is at least i, or one beyond the last
    start, count = np.where(direction > 0, low, high), high - low + 1
    found = np.empty((levels, channels), np.int64)
    rows = max(1, _BLOCK // channels)
    for first in range(0, levels, rows):
        wanted = np.arange(first, min(first + rows, levels))[:, None] + 1
        below, above = np.zeros((len(wanted), channels), np.int64), np.full((len(wanted), channels), count)
        while (below < above).any():
            middle = (below + above) // 2  # where the search has ended at one beyond, the last place is asked again
            reached = codes(start + direction * np.minimum(middle, count - 1)) >= wanted
            above, below = np.where(reached & (below < above), middle, above), np.where(~reached & (below < above), middle + 1, below)
        found[first : first + rows] = below
    return (start + direction * found).T.astype(np.int32), direction.astype(np.int8)
