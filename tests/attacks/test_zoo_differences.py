"""ZOO on a model that tells by how much a probe changes its logits: the same course, without whole forward passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlight.attacks.per_image import State
from qlight.attacks.report import Report
from qlight.attacks.zoo import ZOO
from tests.models.networks import classifier


class Linear(nn.Module):
    """A linear network that knows its differences, on images 3 x 3 x 3; it runs out of memory above `rows` of them."""

    def __init__(self, rows: int = 10**9) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 27, generator=generator, dtype=torch.float64))
        self.rows = rows
        self.asked: list[tuple[int, ...]] = []
        self.forwarded: list[int] = []
        self.differences: Any = self._differences

    def _differences(self, images: Tensor, which: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
        assert which.shape == coordinates.shape == pixels.shape[:1]
        assert which.unique().tolist() == list(range(len(images)))
        if len(which) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.asked.append((len(images), *pixels.shape))
        moves = pixels - images.flatten(1)[which, coordinates][:, None]
        return moves[:, :, None] * self.weight.T[coordinates][:, None]

    def forward(self, images: Tensor) -> Tensor:
        self.forwarded.append(len(images))
        return images.flatten(1) @ self.weight.T


def report(attack: ZOO) -> Report:
    assert attack.report is not None
    return attack.report


def problem(model: nn.Module, count: int, *shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, *shape, generator=torch.Generator().manual_seed(count), dtype=torch.float64).to(dtype)
    with torch.no_grad():
        return images, model(images).argmax(1)


CASES: list[dict[str, Any]] = [
    {},
    {"importance": True, "max_rows": 40, "network": "svhn", "weights": 2},
    {"space": "pixel", "h": 1e-3, "loss": "logits", "kappa": 0.25},
    {"solver": "newton", "h": 0.05, "c": 100.0, "learning_rate": 0.5, "network": "svhn", "weights": 2},
]


class Recorded(ZOO):
    """Keeps the points in work after every step."""

    def begin(self, *given: Any) -> None:
        super().begin(*given)
        self.course: list[Tensor] = []

    def step(self, state: State) -> Tensor:
        finished = super().step(state)
        self.course.append(self._pixels(state["origin"], state["modifier"]))
        return finished


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_course_is_the_same_with_and_without(case: dict[str, Any]) -> None:
    case = {"network": "cifar10", "weights": 32} | case
    view = classifier(case.pop("weights"), 32, network=case.pop("network")).double().evaluation_view()
    images, labels = problem(view, 3, 3, 32, 32)
    labels[1] = (labels[1] + 1) % 10  # skipped
    settings: dict[str, Any] = {"coordinates": 16, "steps": 2, "search_steps": 2, "h": 1e-3, "c": 1e4, "seed": 4} | case
    index = torch.tensor([5, 1, 9])
    with_it, without = (Recorded(view, filter=on, **settings) for on in (True, False))
    results = [attack(images, labels, index=index) for attack in (with_it, without)]
    for mine, its in zip(with_it.course, without.course, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-9)
    torch.testing.assert_close(*results, rtol=0, atol=1e-9)
    assert all((one - images[:1].flatten(1)).abs().max() > 1e-3 for one in with_it.course[:1])
    for name in ("success", "queries", "iterations", "forwards"):
        assert torch.equal(getattr(report(with_it), name), getattr(report(without), name))
    assert torch.equal(report(with_it).forwards, report(with_it).queries)


def test_examples_are_found_in_float32() -> None:
    view = classifier(2, 32).evaluation_view()
    images, labels = problem(view, 2, 3, 32, 32, dtype=torch.float32)
    attack = ZOO(view, coordinates=128, steps=12, search_steps=1, c=1e4, learning_rate=0.5)
    result = attack(images, labels)
    assert result.dtype == torch.float32
    assert report(attack).success.any()
    with torch.no_grad():
        assert torch.equal(view(result).argmax(1) != labels, report(attack).success)


SETTINGS: dict[str, Any] = {"coordinates": 9, "steps": 3, "search_steps": 2, "c": 5.0, "learning_rate": 0.3, "skip_misclassified": False}


@pytest.mark.parametrize("max_rows", [1, 7, 20, 64, 512])
def test_no_more_at_once_than_asked_for(max_rows: int) -> None:
    net = Linear()
    images, labels = problem(net, 4, 3, 3, 3)
    expected = ZOO(net, filter=False, **SETTINGS)(images, labels)
    assert net.asked == []
    net.forwarded.clear()
    attack = ZOO(net, max_rows=max_rows, **SETTINGS)
    torch.testing.assert_close(attack(images, labels), expected, rtol=0, atol=1e-9)
    assert report(attack).success.any()
    assert max(rows for _, rows, _ in net.asked) <= max_rows
    assert sum(rows for _, rows, _ in net.asked) == 4 * 6 * 9
    assert {sides for _, _, sides in net.asked} == {2}
    assert sum(net.forwarded) == 4 * 6  # the points themselves
    assert max(net.forwarded) <= max_rows
    assert report(attack).forwards.tolist() == report(attack).queries.tolist() == [6 * 19] * 4


def test_memory_that_runs_out_gives_the_same_result() -> None:
    images, labels = problem(Linear(), 3, 3, 3, 3)
    expected = ZOO(Linear(), max_rows=64, **SETTINGS)(images, labels)
    net = Linear(rows=5)
    with pytest.warns(UserWarning, match="Memory ran out") as caught:
        result = ZOO(net, max_rows=64, **SETTINGS)(images, labels)
    assert len(caught) == 1
    assert 3 <= max(rows for _, rows, _ in net.asked) <= 5
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)
    with pytest.raises(torch.OutOfMemoryError):
        ZOO(Linear(rows=0), **SETTINGS)(images, labels)


@pytest.mark.parametrize("why", ["filter", "none", "normalization", "unaffected"])
def test_where_they_are_not_asked_for(why: str) -> None:
    net: Any = Linear()
    images, labels = problem(net, 2, 3, 3, 3)
    attack = ZOO(net, filter=why != "filter", **SETTINGS)
    if why == "none":
        net.differences = None
    if why == "normalization":
        attack.set_normalization_used(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    if why == "unaffected":
        net.unaffected = lambda images, coordinates, pixels: torch.zeros(pixels.shape, dtype=torch.bool)
    net.forwarded.clear()
    attack(images, labels)
    assert net.asked == []
    assert sum(net.forwarded) == int(report(attack).forwards.sum()) == 2 * 6 * 19
