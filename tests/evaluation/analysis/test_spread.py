"""Variances of logits and difference quotients, of networks for which both are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.evaluation.analysis import Network, spread
from qlight.evaluation.intervals import wilson_interval
from qlight.targets import PackedTarget
from tests.engines.networks import network_graph
from tests.evaluation.analysis.cases import Linear, random_linear
from tests.evaluation.helpers import random_images, tiny_network

pytestmark = pytest.mark.filterwarnings("ignore:The packed engine falls back to numpy")
IMAGES = 0.1 + 0.8 * random_images(20)
LABELS = torch.arange(20) % 10


class Steps(nn.Module):
    """Logits of pixels that are rounded to multiples of 1/32, as activations are to codes; straight-through gradient."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        codes = images + ((images * 32).round() / 32 - images).detach()
        return self.network(codes)


def test_variances() -> None:
    models = {"a": random_linear(0), "b": random_linear(1, size=3.0), "conv": tiny_network()}
    found = spread([Network(name, model) for name, model in models.items()], IMAGES, LABELS)
    for row, model in zip(found.spreads, models.values(), strict=True):
        logits = model.eval()(IMAGES).double().detach()
        assert row.variance == pytest.approx(logits.var(correction=0).item())
        assert row.between_classes == pytest.approx(torch.stack([one.var(correction=0) for one in logits]).mean().item())
        assert row.between_images == pytest.approx(torch.stack([one.var(correction=0) for one in logits.T]).mean().item())
        assert row.accuracy == pytest.approx((logits.argmax(1) == LABELS).double().mean().item())
        assert row.ratio == pytest.approx(row.variance / found.spreads[0].variance)
        assert row.variance_low < row.variance < row.variance_high
        assert (row.accuracy_low, row.accuracy_high) == wilson_interval(round(20 * row.accuracy), 20)
    own = found.spreads[0]
    assert (own.ratio, own.ratio_low, own.ratio_high) == (1, 1, 1)


def test_nothing_is_compared_with_a_constant() -> None:
    flat, other = Network("flat", Linear(torch.zeros(2, 192))), Network("other", random_linear(0, classes=2))
    rows = spread([flat, other], IMAGES, torch.zeros(20).long(), steps=[]).spreads
    assert [(row.ratio, row.ratio_low, row.ratio_high) for row in rows] == [(None, None, None)] * 2
    assert rows[0].variance == 0


def test_the_bootstrap_interval_is_that_of_resampled_images() -> None:
    """Of a network whose logits are one image's own number, the variance of n images has a known spread."""
    images = torch.rand(400, 1, 1, 1, generator=torch.Generator().manual_seed(0))

    class One(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([images.flatten(1), -images.flatten(1)], 1)

    row = spread([Network("one", One())], images, torch.zeros(400).long(), steps=[]).spreads[0]
    # the variance of x and -x is the mean of x^2: 1/3, and that of its mean over n images is var(x^2) / n = (1/5 - 1/9) / n
    half = 1.96 * ((1 / 5 - 1 / 9) / 400) ** 0.5
    assert row.variance == pytest.approx(1 / 3, abs=3 * half)
    assert (row.variance_high - row.variance_low) / 2 == pytest.approx(half, rel=0.15)


def test_quotients_of_a_linear_network_are_its_slopes() -> None:
    weight = torch.zeros(2, 192)
    weight[0] = torch.linspace(0.5, 2.0, 192)
    (row,) = spread([Network("linear", Linear(weight))], IMAGES, torch.zeros(20).long(), steps=[0.01], coordinates=192).quotients
    assert (row.images, row.coordinates, row.zero) == (16, 192, 0.0)
    assert row.largest == pytest.approx(2.0, rel=1e-3)
    assert row.median == pytest.approx(1.25, rel=1e-2)
    assert row.percentile_99 == pytest.approx(0.5 + 1.5 * 0.99, rel=1e-2)
    assert row.largest_gradient == pytest.approx(2.0)


def test_steps_hide_small_differences() -> None:
    """A difference of half-width h sees a step of height 1/32 in a share 2 h / (1/32) of places, with a quotient of slope / (32 * 2 h)."""
    h = 1e-3
    smooth, stepped = (
        Network("smooth", random_linear(0)),
        Network("steps", Steps(random_linear(0))),
    )
    rows = spread([smooth, stepped], IMAGES, LABELS, steps=[h], coordinates=192).quotients
    assert rows[0].zero == pytest.approx(0, abs=0.01)  # slopes of nearly 0 round to equal logits
    assert rows[1].zero == pytest.approx(1 - 64 * h, abs=0.02)
    assert rows[1].zero is not None
    assert rows[1].zero_low is not None
    assert rows[1].zero_high is not None
    assert rows[1].zero_low < rows[1].zero < rows[1].zero_high <= 1
    assert rows[1].largest / rows[1].largest_gradient == pytest.approx(1 / (64 * h), rel=0.2)  # type: ignore[operator]
    assert rows[1].median == 0


def test_a_deployed_network_has_no_gradient(tmp_path: Path) -> None:
    target = PackedTarget(network_graph(1, 1, side=8), threads=1, backend="numpy")
    found = spread([Network("float", tiny_network()), Network("packed", target)], IMAGES, LABELS, coordinates=4, difference_images=2)
    assert [row.largest_gradient is None for row in found.quotients] == [False] * 3 + [True] * 3
    assert all(row.zero == 1 for row in found.quotients if row.network == "packed" and row.h < 1e-3)
    found.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"logits.csv", "differences.csv", "spread.json", "spread.png"}
    assert len(json.loads((tmp_path / "spread.json").read_text())["differences"]) == 6


def test_images_choose_the_coordinates() -> None:
    """The result does not depend on which other images there are, and the same seed gives the same."""
    network = [Network("conv", tiny_network())]
    index = 100 + torch.arange(20)
    one = spread(network, IMAGES, LABELS, index=index, difference_images=1, coordinates=8)
    again = spread(network, IMAGES[:1], LABELS[:1], index=index[:1], difference_images=1, coordinates=8)
    assert one.quotients == again.quotients
    assert spread(network, IMAGES, LABELS, index=index, difference_images=1, coordinates=8, seed=1).quotients != one.quotients


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"networks": []}, "at least 1 networks"),
        ({"images": IMAGES - 0.5}, "`images` in"),
        ({"labels": LABELS[:2]}, "`labels` to be 20"),
        ({"steps": [0.0]}, "`steps` above 0"),
        ({"steps": [True]}, "`steps` above 0"),
        ({"coordinates": 0}, "`coordinates`"),
        ({"coordinates": 1.5}, "`coordinates`"),
        ({"difference_images": 0}, "`difference_images`"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input(changed: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"networks": [Network("a", random_linear(0))], "images": IMAGES, "labels": LABELS}
    with pytest.raises(InputError, match=words):
        spread(**{**given, **changed})
