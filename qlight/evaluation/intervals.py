"""Confidence intervals of a share and of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qlight.errors import InputError

_Z95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of count / total (Wilson 1927): (0, 1) where total is 0.

    Unlike the normal approximation it is not empty at 0 % and 100 %, where adversarial accuracies are.

    Raises:
        InputError: not 0 <= count <= total.

    >>> [round(end, 4) for end in wilson_interval(0, 10)]
    [0.0, 0.2775]
    """
    if not 0 <= count <= total:
        raise InputError(f"Expected `count` from 0 to `total`, {total}, but got {count}; give a count of some of them.")
    if total == 0:
        return 0.0, 1.0
    share, spread = count / total, _Z95**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = _Z95 / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return (0.0 if count == 0 else middle - half), (1.0 if count == total else middle + half)


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """The mean of independent values and its 95 % interval by the normal approximation: mean, low, high; None where there are too few.

    >>> [round(end, 3) for end in mean_interval([1.0, 2.0, 3.0])]
    [2.0, 0.868, 3.132]
    >>> mean_interval([1.0]), mean_interval([])
    ((1.0, None, None), (None, None, None))
    """
    count = len(values)
    if not count:
        return None, None, None
    mean = math.fsum(values) / count
    if count == 1:
        return mean, None, None
    half = _Z95 * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)
    return mean, mean - half, mean + half
