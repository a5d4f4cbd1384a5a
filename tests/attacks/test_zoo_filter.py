"""ZOO with and without the filter: the same course, query by query, with fewer forwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.attacks.report import Report
from qlight.attacks.zoo import ZOO
from qlight.models import Classifier
from qlight.models.blocks import ConvBlock, DenseBlock
from qlight.quantization import QuantConv2d, QuantLinear
from tests.models.networks import classifier, settled


class OnCodes(nn.Module):
    """A layer of a 2-bit network on the codes 0 to 3 instead of a third of them: all its sums are of whole numbers, so exact."""

    weight: Tensor

    def __init__(self, layer: QuantConv2d | QuantLinear) -> None:
        super().__init__()
        self.register_buffer("weight", (3 * layer.quantized_weight().detach()).round())

    def forward(self, x: Tensor) -> Tensor:
        codes = (3 * x).round()
        return (F.conv2d(codes, self.weight, padding=1) if x.dim() == 4 else F.linear(codes, self.weight)) / 9


class ExactOutput(nn.Module):
    """The last layer with weights that are multiples of 1/64, on whole numbers."""

    weight: Tensor

    def __init__(self, layer: nn.Linear, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("weight", (64 * 4 * layer.weight.detach()).round() / 64)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear((self.scale * x).round(), self.weight) / 4


def exact(bits: int, seed: int = 0) -> Classifier:
    """A network in which no number depends on the order of a sum, so not on the batch either.

    Each kernel of the first layer has two weights, both powers of 2: its products are exact, and the sum of two is rounded once. The
    others' sums are of whole numbers, or of multiples of 1/64.
    """
    model = classifier(bits, bits, seed)
    network = model.network
    generator = torch.Generator().manual_seed(seed)
    first = network.features[0].get_submodule("conv")
    assert isinstance(first, QuantConv2d)
    taps = torch.rand(first.out_channels, 27, generator=generator).argsort(1)[:, :2]
    values = 2.0 ** -torch.randint(0, 3, taps.shape, generator=generator)
    values *= torch.randint(0, 2, taps.shape, generator=generator) * 2 - 1
    first.weight.detach().copy_(torch.zeros(first.out_channels, 27).scatter(1, taps, values).view_as(first.weight))
    if bits > 1:
        for block in list(network.modules()):
            if isinstance(block, ConvBlock | DenseBlock) and block is not network.features[0]:
                name = "conv" if isinstance(block, ConvBlock) else "dense"
                layer = block.get_submodule(name)
                assert isinstance(layer, QuantConv2d | QuantLinear)
                block.add_module(name, OnCodes(layer))
    network.add_module("output", ExactOutput(network.output, 1 if bits == 1 else 3))
    settled(model, seed)
    return model


def report(attack: ZOO) -> Report:
    assert attack.report is not None
    return attack.report


def problem(model: nn.Module, count: int) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))
    images = (images * 255).round() / 255
    with torch.no_grad():
        return images, model(images).argmax(1)


def counted(model: nn.Module) -> list[int]:
    """A list that grows by the size of each batch that `model` is given."""
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    return sizes


CASES: list[dict[str, Any]] = [
    {"c": 300.0, "h": 5e-3},
    {"c": 300.0, "h": 5e-3, "importance": True, "max_rows": 40},
    {"h": 2e-3, "space": "pixel", "c": 5.0, "loss": "logits", "kappa": 0.25},
    {"h": 1e-2, "solver": "newton", "learning_rate": 0.5, "c": 100.0},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bits", [1, 2])
def test_the_course_is_the_same_with_and_without(bits: int, case: dict[str, Any]) -> None:
    view = exact(bits).evaluation_view()
    images, labels = problem(view, 3)
    labels[1] = (labels[1] + 1) % 10  # skipped
    settings: dict[str, Any] = {"coordinates": 32, "steps": 5, "search_steps": 3, "learning_rate": 0.3, "seed": 4} | case
    index = torch.tensor([5, 1, 9])
    with_it, without = (ZOO(view, filter=on, **settings) for on in (True, False))
    results = [attack(images, labels, index=index) for attack in (with_it, without)]
    mine, other = report(with_it), report(without)
    assert torch.equal(*results)
    for name in ("success", "queries", "iterations"):
        assert torch.equal(getattr(mine, name), getattr(other, name))
    assert torch.equal(mine.c.nan_to_num(-1), other.c.nan_to_num(-1))
    assert torch.equal(other.forwards, other.queries)
    # most coordinates of this sparse first layer change nothing; and the attack did move
    assert (2 * mine.forwards[[0, 2]] < mine.queries[[0, 2]]).all()
    assert (mine.forwards[[0, 2]] > mine.iterations[[0, 2]] + 1).all()
    alone = ZOO(view, **settings)
    for i in (0, 2):
        assert torch.equal(alone(images[i : i + 1], labels[i : i + 1], index=index[i : i + 1])[0], results[0][i])


def test_examples_are_found() -> None:
    model = exact(2)
    view = model.evaluation_view()
    images, labels = problem(view, 2)
    found = []
    for on in (True, False):
        attack = ZOO(view, coordinates=128, steps=8, search_steps=1, h=1e-2, c=1e4, learning_rate=0.8, filter=on)
        result = attack(images, labels)
        found.append(result)
        assert report(attack).success.any()
        with torch.no_grad():
            assert torch.equal(model(result).argmax(1) != labels, report(attack).success)
    assert torch.equal(*found)


@pytest.mark.parametrize("max_rows", [1, 7, 512])
def test_forwards_are_what_the_model_is_given(max_rows: int) -> None:
    view = classifier(1, 1).evaluation_view()
    images, labels = problem(view, 4)
    labels[2] = (labels[2] + 1) % 10
    sizes = counted(view)
    attack = ZOO(view, steps=4, search_steps=1, max_rows=max_rows)
    attack(images, labels)
    seen = report(attack)
    full = 1 + 4 * 257
    assert seen.queries.tolist() == [full, full, 1, full]
    assert int(seen.forwards.sum()) == sum(sizes)
    assert (seen.forwards[[0, 1, 3]] < full / 8).all()
    assert seen.forwards[2] == 1
    assert max(sizes) <= max_rows


def test_no_batch_of_one_unless_asked_for() -> None:
    view = classifier(1, 1).evaluation_view()
    images, labels = problem(view, 1)
    sizes = counted(view)
    ZOO(view, steps=3, search_steps=1, coordinates=2, h=1e-7, skip_misclassified=False)(images, labels)
    assert min(sizes) == 2
    sizes.clear()
    ZOO(view, steps=1, search_steps=1, max_rows=128, filter=False, skip_misclassified=False)(images, labels)
    assert sizes == [86, 86, 85]


def test_a_budget_counts_skipped_probes() -> None:
    view = classifier(1, 1).evaluation_view()
    images, labels = problem(view, 2)
    attack = ZOO(view, query_budget=3 * 257 + 1)
    attack(images, labels)
    assert report(attack).queries.tolist() == [3 * 257 + 1] * 2
    assert report(attack).iterations.tolist() == [3, 3]


class Offers(nn.Module):
    """A linear network that says of every probe that it changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(27, 4)
        self.asked: list[tuple[int, ...]] = []
        self.unaffected: Any = self._unaffected

    def _unaffected(self, images: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
        assert coordinates.shape == (len(images), pixels.shape[2])
        self.asked.append(tuple(pixels.shape))
        return torch.ones(pixels.shape, dtype=torch.bool)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


def test_what_the_model_says_is_believed() -> None:
    torch.manual_seed(0)
    net = Offers()
    images = torch.full((3, 3, 3, 3), 0.5)
    labels = net(images).argmax(1).detach()
    attack = ZOO(net, coordinates=5, steps=3, search_steps=1)
    assert torch.equal(attack(images, labels), images)  # nothing changes anything, so nothing moves
    assert net.asked == [(3, 2, 5)] * 3
    assert report(attack).forwards.tolist() == [1 + 3] * 3
    assert report(attack).queries.tolist() == [1 + 3 * 11] * 3


@pytest.mark.parametrize("why", ["filter", "none", "normalization"])
def test_where_the_filter_is_not_used(why: str) -> None:
    torch.manual_seed(0)
    net = Offers()
    images = torch.full((2, 3, 3, 3), 0.5)
    labels = net(images).argmax(1).detach()
    attack = ZOO(net, coordinates=5, steps=3, search_steps=1, filter=why != "filter", skip_misclassified=False)
    if why == "none":
        net.unaffected = None
    if why == "normalization":
        attack.set_normalization_used(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    pool = attack.pool
    attack(images, labels)
    assert net.asked == []
    assert torch.equal(report(attack).forwards, report(attack).queries)
    assert pool == 128 // 11


def test_more_images_are_in_work_where_few_probes_are_computed() -> None:
    view = classifier(1, 1).evaluation_view()
    assert ZOO(view).pool == 8
    assert ZOO(view, filter=False).pool == 1
    assert ZOO(view, coordinates=2).pool == ZOO(view, coordinates=2, filter=False).pool == 25
    assert ZOO(view, max_rows=1).pool == 1
