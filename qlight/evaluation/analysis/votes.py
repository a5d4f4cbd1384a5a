"""The ensemble defence in numbers: equations (11) to (13), and the agreement rates of Table 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class Share:
    """count / total with its 95 % Wilson interval; `share` is None where total is 0 ("-")."""

    count: int
    total: int

    @property
    def share(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def low(self) -> float:
        return wilson_interval(self.count, self.total)[0]

    @property
    def high(self) -> float:
        return wilson_interval(self.count, self.total)[1]


@dataclass(frozen=True)
class Decisions:
    """What an ensemble says to N images.

    Attributes:
        label: int64, N: the class of most votes, of equally many the one that the earliest member predicts.
        valid: bool, N: valid_{m, M} of equation (11): whether m members or more predict one class.
    """

    label: np.ndarray
    valid: np.ndarray

    @property
    def prediction_rate(self) -> Share:
        """PR of equation (12): |valid(X)| / |X|."""
        return Share(int(self.valid.sum()), len(self.valid))

    def accuracy(self, labels: np.ndarray) -> Share:
        """Of the images "for which prediction is performed" those that are right (Table 6)."""
        return Share(int((self.valid & (self.label == labels)).sum()), int(self.valid.sum()))

    def defence_accuracy(self, labels: np.ndarray) -> Share:
        """d_acc of equation (13): 1 - |valid(X')^s| / |X'|, "the proportion of adversarial examples which have been filtered out or which
        are unsuccessful"; an example succeeds where the ensemble predicts a class that is not the label."""
        return Share(int((~self.valid | (self.label == labels)).sum()), len(self.valid))


def decide(predictions: Any, m: int) -> Decisions:
    """The decisions of an ensemble that answers where m members or more agree (equation (11)).

    Args:
        predictions: integers, N x members: each member's predicted class.
        m: 1 to the number of members.

    Raises:
        InputError: predictions of another shape or type, or an m that cannot be.

    >>> decided = decide([[3, 3, 5], [1, 2, 5]], 2)
    >>> decided.label.tolist(), decided.valid.tolist()
    ([3, 1], [True, False])
    """
    votes = np.asarray(predictions)
    if votes.ndim != 2 or votes.dtype.kind not in "iu" or not votes.shape[1]:
        got = f"{votes.dtype} of shape {votes.shape}"
        raise InputError(f"Expected `predictions` to be integers N x members, but got {got}; give one column a member.")
    if isinstance(m, bool) or not isinstance(m, int) or not 1 <= m <= votes.shape[1]:
        raise InputError(f"Expected `m` from 1 to {votes.shape[1]}, the number of members, but got {m!r}; the paper uses 4 or 5 of 5.")
    counts = (votes[:, :, None] == votes[:, None, :]).sum(2)
    first = counts.argmax(1)  # of equal counts the earliest member's
    return Decisions(label=votes[np.arange(len(votes)), first].astype(np.int64), valid=counts.max(1, initial=0) >= m)


@dataclass(frozen=True)
class Agreement:
    """A row of Table 5: how the other members agree on the images of one outcome of the source.

    The paper's text counts, of the "test set examples well-recognized by M_s", those "also correctly classified by the other four models",
    and of "successful adversarial examples" those that "also fool the other four models": that is `same_outcome`. Its caption, "rate of
    examples for which the other four models agree", may also be read as `same_class`.

    Attributes:
        source: the member M_s.
        examples: "test set", or the label of the attack that crafted on M_s.
        outcome: correctly classified, misclassified (test set); successful, unsuccessful (adversarial).
        images: with this outcome.
        same_outcome: share of these on which all other members are right (correctly classified, unsuccessful) or all wrong, with its 95 %
            Wilson interval (_low, _high); None where there are no images.
        same_class: share on which all other members predict one and the same class, with its interval.
    """

    source: str
    examples: str
    outcome: str
    images: int
    same_outcome: float | None
    same_outcome_low: float
    same_outcome_high: float
    same_class: float | None
    same_class_low: float
    same_class_high: float


#: what Table 5 calls the images that the source has right, and those that it has wrong
_OUTCOMES = {True: ("correctly classified", "misclassified"), False: ("unsuccessful", "successful")}


def agreements(names: Sequence[str], source: str, predictions: np.ndarray, labels: np.ndarray, examples: str | None) -> list[Agreement]:
    """The two rows of Table 5 of one source, for the test set (`examples` None) or for the examples of one attack.

    Args:
        names: of the members.
        source: one of these.
        predictions: int64, N x members.
        labels: int64, N.
    """
    own = list(names).index(source)
    right = predictions == labels[:, None]
    others = np.delete(predictions, own, 1)
    rows = []
    for outcome, chosen in zip(_OUTCOMES[examples is None], (right[:, own], ~right[:, own]), strict=True):
        same = (np.delete(right, own, 1) == right[:, own, None]).all(1)
        equal = (others == others[:, :1]).all(1)
        outcome_share, class_share = (Share(int((of & chosen).sum()), int(chosen.sum())) for of in (same, equal))
        rows.append(
            Agreement(
                source=source,
                examples=examples or "test set",
                outcome=outcome,
                images=int(chosen.sum()),
                same_outcome=outcome_share.share,
                same_outcome_low=outcome_share.low,
                same_outcome_high=outcome_share.high,
                same_class=class_share.share,
                same_class_low=class_share.low,
                same_class_high=class_share.high,
            )
        )
    return rows
