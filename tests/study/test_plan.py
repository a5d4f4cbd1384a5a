"""Plans: order, hashes, bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.study import Plan
from tests.study import toy


@given(data=st.data(), count=st.integers(1, 12))
def test_each_comes_after_what_it_needs(data: st.DataObject, count: int) -> None:
    tasks = [toy.task(str(i), *(str(j) for j in range(i) if data.draw(st.booleans()))) for i in range(count)]
    plan = Plan(data.draw(st.permutations(tasks)))
    seen: set[str] = set()
    for task in plan:
        assert seen.issuperset(task.needs)
        seen.add(task.name)
    assert len(seen) == count == len(plan)


def test_a_hash_stands_for_all_that_came_before() -> None:
    plan = toy.diamond()
    digests = {task.name: plan.digest(task.name) for task in plan}
    assert len(set(digests.values())) == 4
    changed = toy.diamond(lines=9)  # of c
    same = {name for name in digests if changed.digest(name) == digests[name]}
    assert same == {"a", "b"}


def test_names_stages_and_costs_do_not_count() -> None:
    task = toy.task("a")
    assert Plan([task]).digest("a") == Plan([replace(task, name="b", stage="x", cost=9.0)]).digest("b")


def test_the_revision_of_a_step_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Plan([toy.task("a")]).digest("a")
    monkeypatch.setattr(toy, "REVISION", 2, raising=False)
    assert Plan([toy.task("a")]).digest("a") != before


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([toy.task("a"), toy.task("a", seed=1)], "'a' comes twice"),
        ([toy.task("a", "b")], "'a' needs 'b'; add it"),
        ([toy.task("a", "a")], "needs itself"),
        ([toy.task("a", "b"), toy.task("b", "c"), toy.task("c", "a")], "needs itself"),
    ],
)
def test_a_plan_that_cannot_be(tasks: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan(tasks)
