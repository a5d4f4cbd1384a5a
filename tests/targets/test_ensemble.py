"""The ensemble as a target: its answer is equation (11)'s, whatever the logits; and it counts, copies and refuses as targets do."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.evaluation.attacked import Attacked
from qlight.targets import BudgetError, EnsembleTarget, PackedTarget, TorchTarget
from tests.engines.networks import network_graph

pytestmark = pytest.mark.filterwarnings("ignore:The packed engine falls back to numpy")


class Part(nn.Module):
    """A member whose logits are a slice of the image's values."""

    def __init__(self, number: int, classes: int) -> None:
        super().__init__()
        self.number, self.classes = number, classes

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, self.number * self.classes : (self.number + 1) * self.classes]


def ensemble(members: int, m: int, classes: int) -> EnsembleTarget:
    return EnsembleTarget({f"net{number}": Part(number, classes) for number in range(members)}, m, classes=classes)


def packed(seed: int = 0, **settings: Any) -> PackedTarget:
    return PackedTarget(network_graph(1, 1, side=8, seed=seed), threads=1, backend="numpy", **settings)


@given(st.integers(1, 5), st.integers(2, 4), st.data())
@settings(max_examples=120, deadline=None)
def test_the_answer_is_that_of_m_members(members: int, classes: int, data: st.DataObject) -> None:
    """Small whole logits, so that members and classes tie."""
    m = data.draw(st.integers(1, members))
    rows = data.draw(st.lists(st.lists(st.integers(-2, 2), min_size=members * classes, max_size=members * classes), min_size=1, max_size=6))
    logits = torch.tensor(rows).float()
    found = ensemble(members, m, classes)(logits[:, None, None])
    assert found.shape == (len(rows), classes + 1)
    for row, image in zip(found, logits, strict=True):
        votes = [int(part.argmax()) for part in image.view(members, classes)]
        most = max(Counter(votes).values())
        answer = next(vote for vote in votes if votes.count(vote) == most) if most >= m else classes
        assert int(row.argmax()) == answer
        assert (row == row.max()).sum() == 1


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_a_class_is_above_0_where_m_members_predict_it(members: int, data: st.DataObject) -> None:
    """Real logits, without ties, so that nothing is moved: the m-th largest margin, or the mean of what m members lack."""
    m, classes = data.draw(st.integers(members // 2 + 1, members)), 3
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    logits = torch.randn(members, classes, generator=generator)
    (row,) = ensemble(members, m, classes)(logits.view(1, 1, 1, -1))
    for label in range(classes):
        others = [other for other in range(classes) if other != label]
        margins = sorted((float(part[label] - max(part[other] for other in others)) for part in logits), reverse=True)[:m]
        wanted = margins[-1] if margins[-1] > 0 else sum(min(0.0, margin) for margin in margins) / m
        assert float(row[label]) == pytest.approx(wanted, abs=1e-6)
        assert (float(row[label]) > 0) == (sum(int(part.argmax()) == label for part in logits) >= m)


def test_the_gradient_comes_from_members_that_are_not_convinced() -> None:
    """Three members of two classes; class 1 lacks two of three votes: those of the members nearest to it."""
    images = torch.tensor([[0.0, 1.0, 2.0, 1.0, 5.0, 0.0]])[:, None, None].requires_grad_()
    found = ensemble(3, 2, 2)(images)
    assert found.tolist() == [[1.0, -0.5, 0.0]]
    (slope,) = torch.autograd.grad(found[0, 1], images)
    # the first predicts it already, the second lacks 1, the third is further away than two members need
    assert slope.flatten().tolist() == [0.0, 0.0, -0.5, 0.5, 0.0, 0.0]


def test_the_gradient_passes_where_an_answer_is_raised() -> None:
    """One vote is enough and two classes have one: the earlier member's answer is moved above the surer one's."""
    images = torch.tensor([[1.0, 0.0, 0.0, 4.0]])[:, None, None].requires_grad_()
    found = ensemble(2, 1, 2)(images)
    assert found[0, 1].item() == 4.0
    assert found[0, 0].item() > 4.0
    (slope,) = torch.autograd.grad(found[0, 0], images)
    assert slope.flatten().tolist() == [1.0, -1.0, 0.0, 0.0]


def test_queries_and_budget() -> None:
    target = ensemble(2, 2, 2)
    target.budget = 5
    images = torch.rand(3, 1, 1, 4)
    target(images)
    target.evaluation_view()(images[:2])
    assert (target.queries, target.computed, target.queries_left) == (5, 5, 0)
    with pytest.raises(BudgetError, match="`budget` = 5"):
        target(images[:1])
    duplicate = copy.deepcopy(target)
    duplicate.budget = None
    duplicate(images)
    assert (target.queries, duplicate.queries) == (5, 8)


def test_the_view_is_made_of_views() -> None:
    class Viewed(Part):
        def evaluation_view(self, compile: bool = False) -> nn.Module:  # noqa: A002 - the option is torch's name
            return Part(1, 2) if not compile else Part(0, 2)

    target = EnsembleTarget({"a": Viewed(0, 2)}, 1, classes=2)
    images = torch.tensor([[0.0, 1.0, 3.0, 1.0]])[:, None, None]
    assert target(images).argmax(1).item() == 1
    assert target.evaluation_view()(images).argmax(1).item() == 0
    assert target.evaluation_view(compile=True)(images).argmax(1).item() == 1


def test_deployed_members() -> None:
    """8-bit pixels, no gradient; probes are left out only where every member's answer is known."""
    target = EnsembleTarget({"a": packed(0), "b": packed(1), "c": packed(2)}, 2)
    assert (target.differentiable, target.input_levels) == (False, 256)
    images = torch.rand(4, 3, 8, 8)
    rounded = target.rounded(images)
    assert torch.equal(rounded, packed().rounded(images))
    assert torch.equal(target(images), target(rounded))
    votes = torch.stack([packed(seed)(images).argmax(1) for seed in range(3)], 1)
    wanted = [max(set(row), key=row.count) if max(map(row.count, row)) >= 2 else 10 for row in votes.tolist()]
    assert target(images).argmax(1).tolist() == wanted
    assert target.unaffected is not None
    coordinates, pixels = torch.tensor([[0, 1]] * 4), torch.stack([rounded.flatten(1)[:, 0], (rounded.flatten(1)[:, 1] + 0.5) % 1], 1)
    assert target.unaffected(images, coordinates, pixels).tolist() == [[True, False]] * 4
    mixed = EnsembleTarget({"a": packed(), "b": TorchTarget(Part(0, 10))}, 1)
    assert (mixed.differentiable, mixed.input_levels, mixed.unaffected) == (False, None, None)
    with pytest.raises(InputError, match="do not round them"):
        mixed.rounded(images)


def test_what_results_depend_on_is_in_the_state() -> None:
    """Evaluations know networks by their state: another m, or another graph, is another ensemble."""
    made = [ensemble(3, 2, 2), ensemble(3, 3, 2), *(EnsembleTarget({"a": packed(seed)}, 1) for seed in (0, 1))]
    assert len({Attacked.by(target).weights_sha256 for target in made}) == len(made)
    assert Attacked.by(ensemble(3, 2, 2)).weights_sha256 == Attacked.by(made[0]).weights_sha256
    assert made[0].label == "2 of net0, net1, net2"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"members": {}}, "`members`"),
        ({"members": {"a": 3}}, "`members`"),
        ({"m": 0}, "`m` from 1 to 2"),
        ({"m": 3}, "`m` from 1 to 2"),
        ({"m": 1.0}, "`m` from 1 to 2"),
        ({"m": True}, "`m` from 1 to 2"),
        ({"classes": 1}, "`classes`"),
        ({"budget": -1}, "`budget`"),
    ],
    ids=str,
)
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        EnsembleTarget(**{"members": {"a": Part(0, 2), "b": Part(1, 2)}, "m": 1, "classes": 2, **arguments})


def test_a_member_of_other_classes() -> None:
    target = EnsembleTarget({"a": Part(0, 2)}, 1)
    with pytest.raises(InputError, match="'a' to return logits 1 x 10, but got \\(1, 2\\)"):
        target(torch.zeros(1, 1, 1, 2))
