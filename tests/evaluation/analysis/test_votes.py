"""Equations (11) to (13) and Table 5 against code that counts one image at a time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.evaluation.analysis.votes import agreements, decide
from qlight.evaluation.intervals import mean_interval, wilson_interval

votes = st.integers(1, 5).flatmap(
    lambda members: st.lists(st.lists(st.integers(0, 3), min_size=members, max_size=members), min_size=1, max_size=12)
)


def by_hand(row: list[int], m: int) -> int | None:
    """The ensemble's answer to one image: the class of most votes (of equal ones that of the earliest member) if m agree on it."""
    counts = Counter(row)
    most = max(counts.values())
    return next(label for label in row if counts[label] == most) if most >= m else None


@given(votes, st.data())
@settings(max_examples=60, deadline=None)
def test_decisions(rows: list[list[int]], data: st.DataObject) -> None:
    m = data.draw(st.integers(1, len(rows[0])))
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    found = decide(rows, m)
    answers = [by_hand(row, m) for row in rows]
    assert [int(label) if valid else None for label, valid in zip(found.label, found.valid, strict=True)] == answers
    # equation (12): |valid(X)| / |X|
    answered = [answer for answer in answers if answer is not None]
    assert found.prediction_rate.share == len(answered) / len(rows)
    # equation (13): 1 - |valid(X')^s| / |X'|
    successful = [answer for answer, label in zip(answers, labels, strict=True) if answer is not None and answer != label]
    withstood = found.defence_accuracy(np.array(labels))
    assert withstood.share == pytest.approx(1 - len(successful) / len(rows))
    assert (withstood.low, withstood.high) == wilson_interval(len(rows) - len(successful), len(rows))
    right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
    assert found.accuracy(np.array(labels)).share == (right / len(answered) if answered else None)


def test_one_vote_is_enough_and_all_are_most() -> None:
    rows = [[0, 1, 2], [1, 1, 2], [2, 2, 2]]
    assert decide(rows, 1).valid.tolist() == [True, True, True]
    assert decide(rows, 1).label.tolist() == [0, 1, 2]
    assert decide(rows, 3).valid.tolist() == [False, False, True]


@given(votes.filter(lambda rows: len(rows[0]) > 1), st.data())
@settings(max_examples=40, deadline=None)
def test_agreement(rows: list[list[int]], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    names = [f"net{number}" for number in range(len(rows[0]))]
    own = data.draw(st.integers(0, len(names) - 1))
    found = agreements(names, names[own], np.array(rows), np.array(labels), "FGSM")
    assert [row.outcome for row in found] == ["unsuccessful", "successful"]
    for row, wants_right in zip(found, (True, False), strict=True):
        chosen = [(votes, label) for votes, label in zip(rows, labels, strict=True) if (votes[own] == label) == wants_right]
        others = [([vote for place, vote in enumerate(votes) if place != own], label) for votes, label in chosen]
        same_outcome = sum(all((vote == label) == wants_right for vote in votes) for votes, label in others)
        same_class = sum(len(set(votes)) == 1 for votes, _ in others)
        assert row.images == len(chosen)
        assert row.same_outcome == (same_outcome / len(chosen) if chosen else None)
        assert row.same_class == (same_class / len(chosen) if chosen else None)
        assert (row.same_outcome_low, row.same_outcome_high) == wilson_interval(same_outcome, len(chosen))


def test_names_of_outcomes_on_the_test_set() -> None:
    rows = agreements(["a", "b"], "b", np.array([[1, 1], [0, 1]]), np.array([1, 0]), None)
    assert [(row.examples, row.outcome, row.images) for row in rows] == [
        ("test set", "correctly classified", 1),
        ("test set", "misclassified", 1),
    ]
    assert [row.same_outcome for row in rows] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("predictions", "m", "words"),
    [
        ([[1, 2]], 0, "`m` from 1 to 2"),
        ([[1, 2]], 3, "`m` from 1 to 2"),
        ([[1, 2]], True, "`m` from 1 to 2"),
        ([[1, 2]], 1.0, "`m` from 1 to 2"),
        ([1, 2], 1, "`predictions` to be integers N x members"),
        ([[0.5]], 1, "`predictions` to be integers N x members"),
        (np.zeros((3, 0), np.int64), 1, "`predictions`"),
    ],
)
def test_bad_votes(predictions: Any, m: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decide(predictions, m)


def test_the_interval_of_a_mean_covers_it() -> None:
    """Of 300 samples of 40 normal numbers about 95 % hold the mean."""
    rng = np.random.default_rng(0)
    held = 0
    for sample in rng.normal(3.0, 2.0, (300, 40)):
        mean, low, high = mean_interval(sample.tolist())
        assert mean is not None
        assert low is not None
        assert high is not None
        assert mean == pytest.approx(sample.mean())
        assert high - mean == pytest.approx(1.959964 * sample.std(ddof=1) / 40**0.5)
        held += low <= 3.0 <= high
    assert 0.9 <= held / 300 <= 0.985
