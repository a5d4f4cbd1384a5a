"""The suites in configs/attack: what they name, and that every attack in them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qlight.attacks import AttackSpec, AttackSuite
from qlight.attacks.per_image import PerImageAttack

CONFIGS = Path(__file__).parents[2] / "configs" / "attack"
PAPER, STRONG = (AttackSuite.from_value(CONFIGS / name) for name in ("paper.yaml", "strong.yaml"))

#: what is made smaller, so that a test ends
FEWER = {"steps": 4, "search_steps": 2, "evaluations": 8, "n_queries": 30, "restarts": 2}


def named(suite: AttackSuite) -> dict[str, AttackSpec]:
    return {spec.name: spec for spec in suite}


def test_attacks_of_both_suites_have_the_same_labels_and_threat_models() -> None:
    paper, strong = named(PAPER), named(STRONG)
    assert set(paper) == {"FGSM", "BIM", "CWl2", "SPSA", "ZOO"}
    assert set(strong) == {"PGD", "CWl2", "SPSA", "ZOO", "Square"}
    for name in set(paper) & set(strong):
        assert paper[name].class_path == strong[name].class_path
    assert {spec.parameters["eps"] for suite in (PAPER, STRONG) for spec in suite if "eps" in spec.parameters} == {0.03}


def test_the_strong_suite_gives_up_nowhere_early() -> None:
    paper, strong = named(PAPER), named(STRONG)
    assert paper["CWl2"].parameters["abort_early"]
    assert not strong["CWl2"].parameters["abort_early"]
    assert not strong["ZOO"].parameters["abort_early"]
    assert strong["ZOO"].parameters["h"] > paper["ZOO"].parameters["h"]
    for name in ("CWl2", "SPSA"):
        assert strong[name].parameters["steps"] > paper[name].parameters["steps"]
    assert strong["SPSA"].parameters["early_stop"]
    assert strong["PGD"].parameters["restarts"] > 1


def test_the_papers_values_are_those_of_tables_13_to_15() -> None:
    paper = named(PAPER)
    common = {"steps": 100, "learning_rate": 0.1, "c": 0.9, "search_steps": 10, "kappa": 0.0}
    for name in ("CWl2", "ZOO"):
        assert common.items() <= paper[name].parameters.items()
    spsa = {"eps": 0.03, "steps": 100, "learning_rate": 0.01, "delta": 0.01, "evaluations": 128}
    assert spsa.items() <= paper["SPSA"].parameters.items()


class Tiny(nn.Module):
    """A network for images of SyntheticDigits' shape."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


@pytest.mark.parametrize(
    "spec", [*PAPER, *STRONG], ids=[f"{name}-{spec.name}" for name, suite in (("paper", PAPER), ("strong", STRONG)) for spec in suite]
)
def test_every_attack_runs_with_fewer_steps(spec: AttackSpec) -> None:
    net = Tiny().eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = net(images).argmax(1)
    fewer: dict[str, Any] = {name: FEWER[name] for name in spec.parameters if name in FEWER}
    smaller = AttackSpec.create(spec.name, spec.class_path, {**spec.init_args, **fewer}).seeded(0)
    attack = smaller.build(net)
    examples = attack(images, labels)
    assert examples.shape == images.shape
    assert examples.dtype == images.dtype
    assert bool(((examples >= 0) & (examples <= 1)).all())
    if "eps" in spec.parameters:
        assert float((examples - images).abs().max()) <= spec.parameters["eps"] + 1e-6
    if isinstance(attack, PerImageAttack):
        assert attack.report is not None
        with torch.no_grad():
            assert torch.equal(net(examples).argmax(1) != labels, attack.report.success)
