"""Measured numbers with 95 % intervals, their differences and means, and what follows from them about a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qlight.errors import InputError
from qlight.evaluation.intervals import wilson_interval

#: no perturbation of 3 x 32 x 32 pixels in [0, 1] has a larger l2 norm
LARGEST_NORM = math.sqrt(3 * 32 * 32)
REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided at this n"


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; ``low`` = ``high`` = ``value`` where it is exact.

    >>> Estimate.rate(0, 4).low
    0.0
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InputError(f"Expected `low` <= `value` <= `high`, but got {self.low}, {self.value}, {self.high}; correct the interval.")

    @staticmethod
    def rate(count: int, total: int) -> Estimate:
        """A share, with its Wilson interval; of nothing, anything from 0 to 1."""
        return Estimate(count / total if total else 0.5, *wilson_interval(count, total))

    @staticmethod
    def exact(value: float) -> Estimate:
        """A number without uncertainty."""
        return Estimate(value, value, value)

    @staticmethod
    def single(norm: float) -> Estimate:
        """A mean norm over one image, which says nothing of its spread: the mean may be any that a norm can be."""
        return Estimate(norm, 0.0, max(norm, LARGEST_NORM))

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of independent estimates, with the interval that follows from theirs (Newcombe 1998, method 10, for shares); of
        estimates on the same images it is wider than it need be.

        >>> difference = Estimate.rate(56, 70) - Estimate.rate(48, 80)
        >>> [round(each, 4) for each in (difference.value, difference.low, difference.high)]
        [0.2, 0.0524, 0.3339]
        """
        value = self.value - other.value
        below = math.hypot(self.value - self.low, other.high - other.value)
        above = math.hypot(self.high - self.value, other.value - other.low)
        return Estimate(value, value - below, value + above)

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return math.isfinite(self.low) or math.isfinite(self.high)


#: of a number that was not measured; what is computed from it is as unknown
UNKNOWN = Estimate(0.0, -math.inf, math.inf)


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """Of positive estimates, however they depend on each other; unknown where the other may be 0."""
    if not (one.known and other.known) or other.low <= 0:
        return UNKNOWN
    return Estimate(one.value / other.value, one.low / other.high, one.high / other.low)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates, however they depend on each other: cells of a table are measured on the same images."""
    value, low, high = (math.fsum(ends) / len(estimates) for ends in zip(*((e.value, e.low, e.high) for e in estimates), strict=True))
    return Estimate(value, min(low, value), max(high, value))


@dataclass(frozen=True)
class Condition:
    """One inequality that a claim stands for: ``estimate`` is ``least`` or more, and ``most`` or less.

    Attributes:
        what: in words, such as "BIM: accuracy of w1a1 - float".
    """

    what: str
    estimate: Estimate
    least: float = -math.inf
    most: float = math.inf

    @property
    def known(self) -> bool:
        """Whether all that it needs was measured."""
        return self.estimate.known

    @property
    def verdict(self) -> str:
        """Reproduced where the whole interval is inside the limits, not reproduced where all of it is outside, else undecided."""
        if self.least <= self.estimate.low and self.estimate.high <= self.most:
            return REPRODUCED
        if self.estimate.high < self.least or self.estimate.low > self.most:
            return NOT_REPRODUCED
        return UNDECIDED


def verdict(conditions: Sequence[Condition]) -> str:
    """Of a claim: reproduced if all its conditions are, not reproduced if one is not, else undecided; undecided where there are none.

    >>> verdict([Condition("a", Estimate.exact(1.0), least=0.5), Condition("b", Estimate(0.5, 0.4, 0.6), least=0.5)])
    'undecided at this n'
    """
    found = {condition.verdict for condition in conditions}
    if NOT_REPRODUCED in found:
        return NOT_REPRODUCED
    return REPRODUCED if found == {REPRODUCED} else UNDECIDED
