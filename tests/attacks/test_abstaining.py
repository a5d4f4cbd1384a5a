"""Attacks on a model that may refuse: only a wrong answer is a success."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.attacks import SPSA, AdaptivePGD, AdaptiveSPSA, AttackSpec, PGDRestarts
from qlight.attacks.abstaining import without_refusal
from qlight.errors import InputError
from qlight.targets import EnsembleTarget, PackedTarget
from tests.engines.networks import network_graph


class Linear(nn.Module):
    """Random logits of 3 x 4 x 4 images, of which members share a part."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        common = torch.randn(4, 48, generator=torch.Generator().manual_seed(99))
        self.weight = nn.Parameter(common + torch.randn(4, 48, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - 0.5) @ self.weight.T


def ensemble(m: int = 3) -> EnsembleTarget:
    return EnsembleTarget({f"net{seed}": Linear(seed) for seed in range(3)}, m, classes=4)


def case(count: int = 12) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return images, Linear(0)(images).argmax(1)


@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_a_refusal_counts_as_the_label(logits: list[int], label: int) -> None:
    (found,) = without_refusal(torch.tensor([logits]).float(), torch.tensor([label])).tolist()
    assert found == [max(logits[label], logits[3]) if place == label else logits[place] for place in range(3)]


@pytest.mark.parametrize("loss", ["margin", "ce"])
@pytest.mark.parametrize("m", [2, 3])
def test_success_is_a_wrong_answer(m: int, loss: str) -> None:
    images, labels = case()
    target = ensemble(m)
    attack = AdaptivePGD(target, eps=0.1, step_size=0.02, steps=20, restarts=2, loss=loss)  # type: ignore[arg-type]
    found = attack(images, labels)
    answers = target(found).argmax(1)
    wrong = (answers != labels) & (answers != 4)
    assert attack.report is not None
    assert torch.equal(wrong, attack.report.success)
    assert int(wrong.sum()) > 0
    assert bool(((found - images).abs() <= 0.1 + 1e-6).all())


def test_a_refusal_is_easier_to_reach() -> None:
    """An attack that does not know of refusals ends at the first one, and counts it."""
    images, labels = case()
    target = ensemble()
    unaware = PGDRestarts(target, eps=0.06, step_size=0.02, steps=20, restarts=1, loss="margin")
    answers = target(unaware(images, labels)).argmax(1)
    assert unaware.report is not None
    refused = unaware.report.success & (answers == 4)
    assert int(refused.sum()) > 0
    aware = AdaptivePGD(target, eps=0.06, step_size=0.02, steps=20, restarts=1, loss="margin")
    reached = target(aware(images, labels)).argmax(1)
    assert int(((reached != labels) & (reached != 4)).sum()) > int(((answers != labels) & (answers != 4)).sum())


def test_queries_alone_fool_an_ensemble_of_deployed_networks() -> None:
    graphs = [network_graph(1, 1, side=8, seed=seed) for seed in (0, 1)]
    target = EnsembleTarget({str(n): PackedTarget(graph, threads=1, backend="numpy") for n, graph in enumerate(graphs)}, 1)
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = target(images).argmax(1)
    attack = AdaptiveSPSA(target, eps=0.3, steps=10, learning_rate=0.1, delta=0.05, evaluations=16, early_stop=True)
    answers = target(attack(images, labels)).argmax(1)
    assert attack.report is not None
    assert torch.equal((answers != labels) & (answers != 10), attack.report.success)
    assert int(attack.report.success.sum()) > 0


@pytest.mark.parametrize(("kind", "parent"), [(AdaptivePGD, PGDRestarts), (AdaptiveSPSA, SPSA)])
def test_a_model_that_always_answers_is_refused(kind: Any, parent: Any) -> None:
    images, labels = case(2)
    with pytest.raises(InputError, match="`refuses`"):
        kind(Linear(0))(images, labels)
    assert parent(Linear(0), eps=0.01, steps=1)(images, labels).shape == images.shape


def test_suites_know_them() -> None:
    assert AttackSpec.create(None, "AdaptivePGD", {"loss": "margin"}).needs_gradients is True
    assert AttackSpec.create(None, "adaptivespsa").needs_gradients is False
    with pytest.raises(InputError, match="loss"):
        AttackSpec.create(None, "AdaptivePGD", {"loss": "margn"}).build(ensemble())
