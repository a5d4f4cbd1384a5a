"""Wilson intervals against SciPy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from qlight.errors import InputError
from qlight.evaluation.intervals import wilson_interval


@given(st.integers(1, 20_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_against_scipy(case: tuple[int, int]) -> None:
    count, total = case
    expected = binomtest(count, total).proportion_ci(confidence_level=0.95, method="wilson")
    low, high = wilson_interval(count, total)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= count / total <= high <= 1


def test_no_trial_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(("count", "total"), [(-1, 2), (3, 2), (1, -1)])
def test_counts_that_cannot_be(count: int, total: int) -> None:
    with pytest.raises(InputError, match="`count`"):
        wilson_interval(count, total)
