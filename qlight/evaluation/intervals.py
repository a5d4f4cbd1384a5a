"""Confidence intervals of a share."""

from __future__ import annotations

import math

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
