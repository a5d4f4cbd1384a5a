"""Cosines of gradients, of networks whose gradients are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.evaluation.analysis import Network, gradients
from qlight.targets import PackedTarget
from tests.engines.networks import network_graph
from tests.evaluation.analysis.cases import Linear, random_linear
from tests.evaluation.helpers import random_images, tiny_network

IMAGES = random_images(9)
LABELS = torch.arange(9) % 5


def slope(network: nn.Module, image: Tensor, label: int, loss: str) -> np.ndarray:
    """The gradient of one image by float64 and torch's own losses."""
    point = image[None].double().requires_grad_()
    logits = network.double()(point)[0]
    if loss == "cross-entropy":
        value = nn.functional.cross_entropy(logits[None], torch.tensor([label]))
    else:
        others = torch.cat([logits[:label], logits[label + 1 :]])
        value = others.max() - logits[label]
    (found,) = torch.autograd.grad(value, point)
    network.float()
    return found.flatten().numpy()


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_pairs_by_hand(loss: str) -> None:
    models = {"linear": random_linear(0), "other": random_linear(1, size=0.1), "conv": tiny_network(2)}
    found = gradients([Network(name, model) for name, model in models.items()], IMAGES, LABELS)
    assert [pair.loss for pair in found.pairs] == ["cross-entropy"] * 6 + ["margin"] * 6
    for one, first in models.items():
        for other, second in models.items():
            cosines = []
            for image, label in zip(IMAGES, LABELS.tolist(), strict=True):
                a, b = (slope(model.eval(), image, label, loss) for model in (first, second))
                cosines.append(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
            pair = found[loss, one, other]
            assert pair.cosine == pytest.approx(np.mean(cosines), abs=2e-5)
            assert pair.standard_deviation == pytest.approx(np.std(cosines, ddof=1), abs=2e-5)
            assert pair.cosine_low is not None
            assert pair.cosine_high is not None
            assert pair.cosine_low <= pair.cosine <= pair.cosine_high  # type: ignore[operator]
            assert (pair.images, pair.without_direction) == (9, 0)


def test_a_sure_network_has_a_direction() -> None:
    """Logits so far apart that float32's cross-entropy has no gradient: the direction is that of the runner-up against the label."""
    weight = torch.zeros(5, 192)
    weight[0, 0], weight[1, 1] = 1e4, 1e3
    images = torch.full((1, 3, 8, 8), 0.5)
    sure, labels = Linear(weight), torch.tensor([0])
    points = images.clone().requires_grad_()
    (lost,) = torch.autograd.grad(nn.functional.cross_entropy(sure(points), labels), points)
    assert not lost.any()
    found = gradients([Network("a", sure), Network("b", Linear(2 * weight))], images, labels)
    assert found["cross-entropy", "a", "b"].cosine == pytest.approx(1)


class Broken(Linear):
    """One value of its gradient is not finite, for images whose first pixel is dark."""

    def __init__(self, weight: Tensor, value: float) -> None:
        super().__init__(weight)
        self.value = value

    def forward(self, images: Tensor) -> Tensor:
        points = images.clone()
        if points.requires_grad:
            hurt = torch.zeros_like(images, dtype=torch.bool)
            hurt[:, 0, 0, 0] = images.detach()[:, 0, 0, 0] < 0.5
            points.register_hook(lambda slope: slope.where(~hurt, self.value))
        return super().forward(points)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_gradient_with_a_value_that_is_not_finite_has_no_direction(value: float) -> None:
    models = {"whole": random_linear(0), "broken": Broken(random_linear(0).weight.detach(), value), "other": random_linear(1)}
    images = IMAGES.clone()
    images[:, 0, 0, 0] = torch.linspace(0, 1, 9)
    found = gradients([Network(name, model) for name, model in models.items()], images, LABELS)
    bright = images[:, 0, 0, 0] >= 0.5
    of_bright = gradients([Network(name, models[name]) for name in ("whole", "other")], images[bright], LABELS[bright])
    for loss in ("cross-entropy", "margin"):
        for name in ("whole", "other", "broken"):
            pair = found[loss, "broken", name]
            assert (pair.images, pair.without_direction) == (5, 4)
        assert found[loss, "broken", "whole"].cosine == pytest.approx(1)
        assert found[loss, "broken", "other"].cosine == of_bright[loss, "whole", "other"].cosine
        assert found[loss, "whole", "other"].images == 9


def test_opposite_orthogonal_and_none(tmp_path: Path) -> None:
    weight = torch.zeros(2, 192)
    weight[0, 0] = 1.0
    sideways = torch.zeros(2, 192)
    sideways[0, 1] = 1.0
    models = {"a": Linear(weight), "opposite": Linear(-weight), "sideways": Linear(sideways), "flat": Linear(torch.zeros(2, 192))}
    found = gradients([Network(name, model) for name, model in models.items()], IMAGES[:3], torch.zeros(3).long(), losses=["margin"])
    assert found["margin", "a", "opposite"].cosine == -1.0
    assert found["margin", "opposite", "a"].cosine == -1.0
    assert found["margin", "a", "sideways"].cosine == 0.0
    flat = found["margin", "flat", "a"]
    assert (flat.cosine, flat.cosine_low, flat.images, flat.without_direction) == (None, None, 0, 3)
    found.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"gradients.csv", "gradients.json", "gradients.png"}
    assert len(json.loads((tmp_path / "gradients.json").read_text())["pairs"]) == 10
    (map_,) = found.heat_maps()
    assert map_.low == -1.0
    with pytest.raises(KeyError):
        found["margin", "a", "nobody"]


def test_networks_are_left_as_they_were() -> None:
    model = tiny_network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients([Network("a", model), Network("b", random_linear(0))], IMAGES, LABELS)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore:The packed engine falls back to numpy")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"networks": [Network("a", random_linear(0))]}, "at least 2 networks"),
        ({"networks": [Network("a", random_linear(0)), Network("b", PackedTarget(network_graph(1, 1, side=8), backend="numpy"))]},
         "'b' is a packed target"),
        ({"images": IMAGES * 255}, "`images` in"),
        ({"images": (IMAGES * 255).byte()}, "`images` to be at least one floating-point"),
        ({"images": IMAGES[:0]}, "`images` to be at least one"),
        ({"labels": LABELS[:3]}, "`labels` to be 9"),
        ({"labels": LABELS.float()}, "`labels` to be 9"),
        ({"labels": LABELS + 9}, "`labels` from 0 to 9"),
        ({"labels": LABELS - 1}, "`labels` to be class indices from 0, but got -1"),
        ({"losses": ["hinge"]}, "`losses`"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_bad_input(changed: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"networks": [Network("a", random_linear(0)), Network("b", random_linear(1))]}
    with pytest.raises(InputError, match=words):
        gradients(**{**given, "images": IMAGES, "labels": LABELS, **changed})


def test_inference_mode_is_refused() -> None:
    with torch.inference_mode(), pytest.raises(InputError, match="inference_mode"):
        gradients([Network("a", random_linear(0)), Network("b", random_linear(1))], IMAGES, LABELS)
