"""A claim of the paper as inequalities between measured numbers, so that a verdict is computed, not written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from qlight.study.estimate import NOT_REPRODUCED, UNKNOWN, Condition, Estimate, verdict
from qlight.study.paper import printed, values

FLOAT = "float"
FULL = ("w1a1", "w2a2", "w3a3", "w4a4")
WEIGHTS = ("w1a32", "w2a32", "w3a32", "w4a32")
ENSEMBLE = (FLOAT, *FULL)
ATTACKS = ("FGSM", "BIM", "CW", "SPSA", "ZOO")

#: note of claims that were not there before
LATER = "Written down after the first numbers of configs/study/small.yaml were known, with limits like those of the claims before."


class Key(NamedTuple):
    """What was measured; as `qlight.study.paper.Cell`, of one data set and without a table.

    Metrics besides the paper's:

    * "acc_right": the share of the images that the target had right before and has right still; the paper prints that of ZOO (100 of the
      180 accuracies under ZOO in its Tables 17 to 34 exceed the target's clean accuracy by more than 0.02, none of the other 720 does).
    * "l2_turned", "linf_turned": mean distances over the images that the attack turned from right to wrong; "l2" and "linf" are over all
      that are wrong in the end (section 4.3, read literally), where one that was wrong before may count with a distance of 0. The paper
      does not say which it prints: its numbers stand for both.
    * "cosine": mean cosine similarity of input gradients, attack "CE".
    * "logit_variance": of all logits; "zero_differences", "difference_99": the share of ZOO's difference quotients that are zero, and the
      99th percentile of their absolute values, at ZOO's h.
    * "unchanged", "unchanged_sums": the share of activation codes, and of sums that quantized weights make, that a perturbation leaves as
      they were, mean over layers.
    * "d_acc" under the attack "adaptive" on the target "ensemble".
    """

    attack: str
    source: str
    target: str
    metric: str


Measured = Mapping[Key, Estimate]


class Numbers:
    """Measured numbers by what they are called in a claim; `UNKNOWN` those that were not measured.

    Attributes:
        asked: what was asked for, in order.
    """

    def __init__(self, dataset: str, measured: Measured) -> None:
        self.dataset, self._measured = dataset, measured
        self.asked: dict[Key, None] = {}

    def __call__(self, attack: str, source: str, target: str | None = None, metric: str = "acc") -> Estimate:
        key = Key(attack, source, target or source, metric)
        self.asked[key] = None
        return self._measured.get(key, UNKNOWN)


Rule = Callable[[Numbers], Iterator[Condition]]


@dataclass(frozen=True)
class Claim:
    """What the paper says, and when it is so.

    Attributes:
        name: short, for links.
        section: of the paper.
        text: the claim in a sentence.
        limit: the inequality in words.
        rule: its conditions, of measured numbers.
        note: what a reader of the numbers should know; may be empty.
    """

    name: str
    section: str
    text: str
    limit: str
    rule: Rule
    note: str = ""

    def judge(self, dataset: str, measured: Measured) -> Judged:
        """The verdict and what it rests on.

        Args:
            dataset: "CIFAR10" or "SVHN"; some claims differ.
        """
        numbers = Numbers(dataset, measured)
        conditions = tuple(self.rule(numbers))
        return Judged(self, conditions, tuple(numbers.asked), tuple(key for key in numbers.asked if key not in measured))


@dataclass(frozen=True)
class Judged:
    """A claim and what measured numbers say of it.

    Attributes:
        claim: of the paper.
        conditions: all of it; those that need a number that was not measured are not `Condition.known`.
        asked: the numbers that it needs.
        missing: those of them that were not measured.
    """

    claim: Claim
    conditions: tuple[Condition, ...]
    asked: tuple[Key, ...]
    missing: tuple[Key, ...]

    @property
    def verdict(self) -> str | None:
        """None where a number is missing that may change it: a condition that fails decides without the others.

        One of which nothing is known though all was measured, such as a difference of means over one image each, leaves it undecided.
        """
        found = verdict(self.conditions)
        return None if self.missing and found != NOT_REPRODUCED else found


#: metrics over all images that are attacked, and what those over the images that were right before are called; see `Key`
OVER_RIGHT = {"acc": "acc_right", "l2": "l2_turned", "linf": "linf_turned"}


@functools.cache
def printed_numbers(dataset: str) -> Measured:
    """The paper's numbers by the same keys, as if they were exact."""
    names = (FLOAT, *FULL, *WEIGHTS)
    found = {
        Key(attack, source, target, name): printed(dataset, attack, source, target, metric)
        for attack in ATTACKS
        for source in names
        for target in names
        for metric, called in OVER_RIGHT.items()
        for name in (metric, called)
        if attack == "ZOO" or name != "acc_right"
    }
    found |= {
        Key(cell.attack, cell.source, cell.target, cell.metric): value
        for cell, value in values().items()
        if cell.dataset == dataset and cell.table in (2, 5, 6, 7)
    }
    return {key: Estimate.exact(value) for key, value in found.items() if value is not None}
