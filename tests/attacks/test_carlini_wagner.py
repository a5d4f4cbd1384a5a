"""CarliniWagnerL2 against a plain scalar implementation of the published algorithm, and a closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.attacks.carlini_wagner import CarliniWagnerL2
from qlight.errors import InputError
from tests.attacks.reference_carlini_wagner import Reference


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def smooth_net(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 2 * 2, 4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net.to(dtype).eval()


def images_for(net: nn.Module, count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images with some pixels at exactly 0 and 1, and the labels that the network gives them."""
    generator = torch.Generator().manual_seed(seed)
    images = (torch.rand(count, 3, 5, 5, generator=generator, dtype=torch.float64) * 1.6 - 0.3).clamp(0, 1)
    images = images.to(next(net.parameters()).dtype)
    with torch.no_grad():
        return images, net(images).argmax(1)


class Rescaled(nn.Module):
    """Logits times `times` plus `by`."""

    def __init__(self, net: nn.Module, times: float = 1.0, by: float = 0.0) -> None:
        super().__init__()
        self.net, self.times, self.by = net, times, by

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images) * self.times + self.by


SETTINGS: list[dict[str, Any]] = [
    {"steps": 30, "search_steps": 5},
    {"steps": 30, "search_steps": 5, "abort_early": False},
    {"steps": 20, "search_steps": 10, "c": 1e-3},
    {"steps": 7, "search_steps": 4, "c": 1e-2, "kappa": 0.5},
    {"steps": 40, "search_steps": 4, "c": 5.0, "kappa": 5.0, "abort_early": False},
    {"steps": 12, "search_steps": 6, "c": 1e-4, "upper": 0.05},
]


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("setting", SETTINGS)
def test_equals_the_plain_implementation(setting: dict[str, Any], targeted: bool) -> None:
    net = smooth_net()
    images, labels = images_for(net, 6)
    if targeted:
        labels = (labels + 1) % 4
    attack = CarliniWagnerL2(net, max_rows=4, **setting)  # 4 of 6: neighbours are at other search steps and iterations
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    examples = attack(images, labels)
    assert attack.report is not None
    for row in range(len(images)):
        expected, queries, _ = Reference(net, targeted, **setting).attack(images[row], int(labels[row]))
        assert bool(attack.report.success[row]) == (expected is not None)
        torch.testing.assert_close(examples[row], images[row] if expected is None else expected, rtol=0, atol=1e-9)
        assert int(attack.report.queries[row]) == queries


def test_the_plain_comparison_covers_aborts_and_failures() -> None:
    net = smooth_net()
    images, labels = images_for(net, 6)
    cut = [Reference(net, **SETTINGS[0]).attack(image, int(label))[2] for image, label in zip(images, labels, strict=True)]
    failed = [Reference(net, **SETTINGS[5]).attack(image, int(label))[0] is None for image, label in zip(images, labels, strict=True)]
    assert any(cut)
    assert any(failed)


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 7), count=st.integers(0, 6), seed=st.integers(0, 2**16))
def test_result_does_not_depend_on_max_rows(rows: int, count: int, seed: int) -> None:
    net = smooth_net(seed % 5)
    images, labels = images_for(net, count, seed)
    one, other = (CarliniWagnerL2(net, steps=10, search_steps=3, max_rows=size) for size in (rows, 128))
    torch.testing.assert_close(one(images, labels), other(images, labels), rtol=0, atol=1e-9)


def test_a_constant_on_all_logits_changes_nothing() -> None:
    net = smooth_net()
    images, labels = images_for(net, 6)
    plain, shifted = (CarliniWagnerL2(model, steps=30, search_steps=4) for model in (net, Rescaled(net, by=-100.0)))
    torch.testing.assert_close(shifted(images, labels), plain(images, labels), rtol=0, atol=1e-7)
    assert plain.report is not None
    assert bool(plain.report.success.all())


@pytest.mark.parametrize(("kappa", "targeted"), [(0.0, False), (5.0, False), (20.0, False), (0.0, True), (5.0, True)])
def test_examples_have_the_margin_kappa_and_hardly_more(kappa: float, targeted: bool) -> None:
    net = Rescaled(smooth_net(), times=4.0 if kappa < 20 else 16.0)  # such margins would be out of reach
    images, labels = images_for(net, 6)
    if targeted:
        labels = (labels + 1) % 4
    attack = CarliniWagnerL2(net, kappa=kappa, steps=100, abort_early=False, learning_rate=0.05)
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    examples = attack(images, labels)
    assert attack.report is not None
    found = attack.report.success
    assert bool(found.all())
    with torch.no_grad():
        logits = net(examples)
    own = logits.gather(1, labels[:, None])[:, 0]
    other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    margin = (own - other if targeted else other - own)[found]
    assert bool((margin >= kappa).all())
    assert float(margin.median()) < 1.005 * kappa + 0.05
    assert torch.equal((logits.argmax(1) == labels)[found], torch.full_like(margin, targeted, dtype=torch.bool))


class Tied(nn.Module):
    """The logits of classes 0 and 1 tie wherever pixel 0 is above a half, so the prediction stays 0 at margin 0."""

    def forward(self, images: Tensor) -> Tensor:
        excess = (0.5 - images.flatten(1)[:, 0]).clamp(min=0)
        return torch.stack([excess, 0 * excess], 1)


def test_a_tie_that_leaves_the_prediction_is_no_success() -> None:
    images = torch.full((1, 1, 2, 2), 0.4)
    attack = CarliniWagnerL2(Tied(), steps=20, search_steps=3)
    assert torch.equal(attack(images, torch.tensor([0])), images)
    assert attack.report is not None
    assert not bool(attack.report.success.any())


class TwoClasses(nn.Module):
    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.weight + self.bias
        return torch.stack([score, -score], 1)


def test_distance_of_a_linear_model_is_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, generator=generator, dtype=torch.float64)
    images = 0.3 + 0.4 * torch.rand(20, 3, 4, 4, generator=generator, dtype=torch.float64)  # the box plays no part
    net = TwoClasses(weight, -float(images.flatten(1).mean(0) @ weight))
    with torch.no_grad():
        logits = net(images)
    attack = CarliniWagnerL2(net, steps=100, learning_rate=0.02, abort_early=False)
    examples = attack(images, logits.argmax(1))
    assert attack.report is not None
    assert bool(attack.report.success.all())
    l2 = (examples - images).flatten(1).norm(dim=1)
    bound = logits[:, 0].abs() / weight.norm()  # the distance of the image to the plane
    assert bool((l2 >= bound - 1e-12).all())
    assert float(l2.mean() / bound.mean()) < 1.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pixels_at_the_edge_of_the_box_move(value: float, dtype: torch.dtype) -> None:
    images = torch.full((2, 3, 4, 4), value, dtype=dtype)
    net = TwoClasses(torch.ones(48, dtype=dtype), -36.0 if value else -12.0)
    label = torch.full((2,), 0 if value else 1)
    with torch.no_grad():
        assert torch.equal(net(images).argmax(1), label)
    attack = CarliniWagnerL2(net, steps=100, search_steps=3, abort_early=False)  # the abort would end it: such pixels start slowly
    examples = attack(images, label)
    assert attack.report is not None
    assert bool(attack.report.success.all())
    assert bool((examples != images).all())
    assert bool(((examples >= 0) & (examples <= 1)).all())


def test_a_failure_returns_the_clean_image() -> None:
    images, _ = images_for(smooth_net(), 3)
    net = TwoClasses(torch.full((75,), 1e-3, dtype=torch.float64), 10.0)  # class 0 everywhere
    attack = CarliniWagnerL2(net, steps=10)
    assert torch.equal(attack(images, torch.zeros(3, dtype=torch.int64)), images)
    assert attack.report is not None
    assert not bool(attack.report.success.any())


def test_misclassified_images_come_back_as_they_are_after_one_query() -> None:
    net = smooth_net()
    images, labels = images_for(net, 5)
    wrong = labels.clone()
    wrong[1::2] = (labels[1::2] + 1) % 4
    attack = CarliniWagnerL2(net, steps=20, search_steps=3)
    examples = attack(images, wrong)
    assert attack.report is not None
    assert torch.equal(examples[1::2], images[1::2])
    assert attack.report.success.all()
    assert attack.report.queries[1::2].tolist() == [1, 1]
    assert bool((examples[::2] != images[::2]).flatten(1).any(1).all())


@pytest.mark.parametrize("abort_early", [False, True])
def test_query_counts_are_exact(abort_early: bool) -> None:
    net = smooth_net()
    images, labels = images_for(net, 7)
    seen: list[int] = []
    hook = net.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    attack = CarliniWagnerL2(net, steps=20, search_steps=3, abort_early=abort_early, max_rows=3)
    attack(images, labels)
    hook.remove()
    assert attack.report is not None
    queries = attack.report.queries
    assert sum(seen) == int(queries.sum())
    assert max(seen) <= 3
    assert torch.equal(queries, attack.report.iterations)
    if abort_early:
        assert int(queries.min()) < 60
    else:
        assert queries.tolist() == [60] * 7


def test_a_query_budget_ends_with_the_best_so_far() -> None:
    net = smooth_net()
    images, labels = images_for(net, 6)
    budgeted = CarliniWagnerL2(net, steps=30, search_steps=5, abort_early=False, query_budget=30)
    one_step = CarliniWagnerL2(net, steps=30, search_steps=1, abort_early=False)
    assert torch.equal(budgeted(images, labels), one_step(images, labels))
    assert budgeted.report is not None
    assert budgeted.report.queries.tolist() == [30] * 6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_point_types(dtype: torch.dtype) -> None:
    net = smooth_net(dtype=dtype)
    images, labels = images_for(net, 6)
    attack = CarliniWagnerL2(net, steps=30, search_steps=10)
    examples = attack(images, labels)
    assert attack.report is not None
    assert examples.dtype == dtype
    assert bool(attack.report.success.all())
    assert bool(((examples >= 0) & (examples <= 1)).all())
    with torch.no_grad():
        assert bool((net(examples).argmax(1) != labels).all())
    reference = smooth_net()
    double = CarliniWagnerL2(reference, steps=30, search_steps=10)(images.double(), labels)
    l2, expected = ((batch.double() - images.double()).flatten(1).norm(dim=1).mean() for batch in (examples, double))
    assert float(l2) == pytest.approx(float(expected), rel={2: 0.2, 4: 0.02, 8: 1e-6}[dtype.itemsize])


class Overflowing(nn.Module):
    """Its gradient at the first point is not a number."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.calls = net, 0

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        self.calls += 1
        if self.calls == 1:
            logits.register_hook(lambda gradient: gradient * torch.nan)
        return logits


def test_a_gradient_that_is_not_a_number_is_survived() -> None:
    net = smooth_net()
    images, labels = images_for(net, 2)
    attack = CarliniWagnerL2(Overflowing(net), steps=20, search_steps=1)
    attack(images, labels)
    assert attack.report is not None
    assert bool(attack.report.success.all())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("c", "learning_rate", "upper") for value in (0.0, -1.0, math.nan, math.inf, "1", True)],
        *[("kappa", value) for value in (-1.0, math.nan, math.inf, None)],
        *[(name, value) for name in ("steps", "search_steps") for value in (0, -1, 2.5, True)],
        ("upper", 0.5),
        ("max_rows", 0),
        ("query_budget", 0),
    ],
)
def test_bad_arguments_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^Expected `{name}` ") as caught:
        CarliniWagnerL2(smooth_net(), **{name: value})  # pyright: ignore[reportArgumentType]
    assert str(value) in str(caught.value)
