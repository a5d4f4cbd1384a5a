"""Which attacks need a gradient: what a suite says of a class is what the class does on a target that has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchattacks.attack import Attack

from qlight.attacks import PGDRestarts
from qlight.attacks.arguments import attack_parameters
from qlight.attacks.spec import AttackSpec, attacks_without_gradients, short_names
from qlight.errors import InputError
from qlight.targets import PackedTarget
from tests.engines.networks import network_graph

#: arguments with which each ends soon
SHORT: dict[str, dict[str, Any]] = {
    "OnePixel": {"steps": 1, "popsize": 2},
    "Pixle": {"restarts": 1, "max_iterations": 2},
    "Square": {"n_queries": 5},
    "torchattacks.SPSA": {"nb_iter": 1, "nb_sample": 4},
    "SPSA": {"steps": 1, "evaluations": 4},
    "PGDRS": {"noise_sd": 0.01},
    "PGDRSL2": {"noise_sd": 0.01},
    "ZOO": {"steps": 1, "search_steps": 1, "coordinates": 4},
}


def buildable() -> list[str]:
    names = [*short_names(), "torchattacks.SPSA"]
    names = [name for name in names if not name.startswith("Adaptive")]  # for ensembles alone: tests/attacks/test_abstaining.py
    return [name for name in names if next(iter(attack_parameters_or_none(name)), None) != "attacks"]


def attack_parameters_or_none(name: str) -> list[str]:
    try:
        return list(attack_parameters(AttackSpec.create(None, name).attack_class))
    except InputError:  # MultiAttack takes attacks in place of a model
        return ["attacks"]


@pytest.mark.parametrize("name", buildable())
@pytest.mark.filterwarnings("ignore")
def test_what_a_suite_says_is_what_the_attack_does(name: str) -> None:
    spec = AttackSpec.create(None, name, SHORT.get(name))
    if name == "LGV":
        assert spec.needs_gradients  # it trains copies of the network
        return
    target = PackedTarget(network_graph(2, 2, side=8), backend="numpy", threads=1)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)).float() / 255
    labels = target(images).argmax(1)
    attack = spec.build(target)
    attack.set_device("cpu")
    if spec.needs_gradients:
        with pytest.raises(RuntimeError, match=r"has no gradient|carry no gradient") as caught:
            attack(images, labels)
        assert isinstance(caught.value, InputError)
    else:
        assert spec.needs_gradients is False
        assert attack(images, labels).shape == images.shape


def test_the_list() -> None:
    assert attacks_without_gradients() == ["GN", "OnePixel", "Pixle", "SPSA", "Square", "VANILA", "ZOO"]


class Own(Attack):
    """Asks the gradient of the model, and does not say so."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__("Own", model)

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        images = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.get_logits(images).sum(), images)
        return (inputs + 0.01 * slope.sign()).clamp(0, 1)


class Says(Own):
    needs_gradients = True


class Queries(PGDRestarts):
    needs_gradients = False


def test_classes_from_elsewhere() -> None:
    found = [AttackSpec.create(None, f"{__name__}.{kind}").needs_gradients for kind in ("Own", "Says", "Queries")]
    assert found == [None, True, False]


class Derived(__import__("torchattacks").PGD):
    """A subclass of torchattacks'."""


def test_a_subclass_is_taken_for_what_it_inherits_from() -> None:
    assert AttackSpec.create(None, f"{__name__}.Derived").needs_gradients
