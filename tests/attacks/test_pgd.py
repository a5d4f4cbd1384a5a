"""PGDRestarts against a plain implementation of one image at a time, torchattacks' BIM, and its own words."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torchattacks
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from qlight.attacks.ball import ball
from qlight.attacks.counter_random import random_uniform
from qlight.attacks.pgd import PGDRestarts
from qlight.errors import InputError
from tests.attacks.networks import CLASSES, problem, report, smooth_net


def plain_pgd(net: nn.Module, image: Tensor, label: int, index: int, targeted: bool, **given: Any) -> tuple[Tensor | None, int]:
    """One image, as the paper says it: the example or None, and the queries."""
    o: dict[str, Any] = {"eps": 0.05, "step_size": 0.02, "steps": 4, "restarts": 3, "loss": "ce", "random_start": True, "early_stop": True}
    o |= given
    best, best_margin, queries = None, math.inf, 0
    for restart in range(o["restarts"]):
        x = image.clone()
        if o["random_start"]:
            draw = random_uniform(7, torch.tensor([index]), torch.tensor([restart]), image.numel(), torch.float64, 4)
            x = (image + (2 * draw.view_as(image) - 1) * o["eps"]).clamp(0, 1)
        for number in range(o["steps"] + 1):
            x.requires_grad_()
            logits = net(x[None])[0]
            queries += 1
            others = max(logits[other] for other in range(len(logits)) if other != label)
            margin = others - logits[label] if targeted else logits[label] - others
            if (int(logits.argmax()) == label) == targeted and float(margin.detach()) < best_margin:
                best, best_margin = x.detach().clone(), float(margin.detach())
                if o["early_stop"]:
                    return best, queries
            if number == o["steps"]:
                break
            entropy = functional.cross_entropy(logits[None], torch.tensor([label])) * (1 if targeted else -1)
            (slope,) = torch.autograd.grad(entropy if o["loss"] == "ce" else margin, x)
            moved = x.detach() - o["step_size"] * slope.sign()
            x = torch.max(torch.min(moved, image + o["eps"]), image - o["eps"]).clamp(0, 1)
    return best, queries


CASES: list[dict[str, Any]] = [
    {},
    {"early_stop": False},
    {"loss": "margin"},
    {"loss": "margin", "early_stop": False, "eps": 0.02},
    {"random_start": False, "restarts": 1},
    {"random_start": False, "restarts": 1, "early_stop": False, "steps": 9, "step_size": 0.003},
    {"eps": 0.06, "step_size": 0.015, "steps": 2, "restarts": 12},  # images leave in the middle of a restart, and others enter
    {"eps": 0.04, "step_size": 0.015, "steps": 2, "restarts": 12},
    {"eps": 0.04, "step_size": 0.04, "steps": 1, "restarts": 20},
]


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_plain_implementation(case: dict[str, Any], targeted: bool) -> None:
    net = smooth_net()
    images, labels = problem(net, 8, torch.float64)
    goals = (labels + 1) % CLASSES if targeted else labels
    given = {"eps": 0.05, "step_size": 0.02, "steps": 4, "restarts": 3} | case
    attack = PGDRestarts(net, seed=7, max_rows=3, **given)  # 3 of 8: neighbours are in other restarts
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    examples = attack(images, goals, index=torch.arange(8) + 30)
    for row in range(8):
        expected, queries = plain_pgd(net, images[row], int(goals[row]), row + 30, targeted, **given)
        assert bool(report(attack).success[row]) == (expected is not None)
        torch.testing.assert_close(examples[row], images[row] if expected is None else expected, rtol=0, atol=1e-12)
        assert int(report(attack).queries[row]) == queries


def test_the_plain_comparison_covers_failures_and_later_restarts() -> None:
    net = smooth_net()
    images, labels = problem(net, 8, torch.float64)
    found = [plain_pgd(net, images[row], int(labels[row]), row + 30, False) for row in range(8)]
    assert any(example is None for example, _ in found)
    again = [plain_pgd(net, images[row], int(labels[row]), row + 30, False, **CASES[-1]) for row in range(8)]
    assert any(example is not None and queries > 2 for example, queries in again)


def test_without_random_start_it_walks_as_bim_does() -> None:
    net = smooth_net(torch.float32)
    images, labels = problem(net, 6, torch.float32)
    points: list[Tensor] = []
    attack = PGDRestarts(net, eps=0.03, step_size=0.004, steps=12, restarts=1, random_start=False, early_stop=False)
    hook = net.register_forward_hook(lambda module, inputs, output: points.append(inputs[0].detach().clone()))
    attack(images, labels)
    hook.remove()
    assert len(points) == 13
    assert torch.equal(points[0], images)
    bim = torchattacks.BIM(net, eps=0.03, alpha=0.004, steps=12)
    torch.testing.assert_close(points[-1], bim(images, labels), rtol=0, atol=1e-6)


class Times(nn.Module):
    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images) * self.factor


def test_the_sign_of_the_cross_entropy_does_not_underflow() -> None:
    net = smooth_net(torch.float32)
    images, labels = problem(net, 8, torch.float32)
    given: dict[str, Any] = {"eps": 0.05, "step_size": 0.02, "steps": 6, "restarts": 1}
    plain, steep = PGDRestarts(net, **given), PGDRestarts(Times(net, 1e4), **given)
    plain(images, labels)
    steep(images, labels)
    assert report(steep).success.sum() >= report(plain).success.sum() > 0
    x = images.clone().requires_grad_()
    (lost,) = torch.autograd.grad(functional.cross_entropy(Times(net, 1e4)(x), labels, reduction="sum"), x)
    assert (lost == 0).flatten(1).all(1).sum() >= 4, "what an attack by the cross-entropy itself would see"


def test_a_full_course_ends_with_the_largest_margin_seen() -> None:
    net = smooth_net()
    images, labels = problem(net, 8, torch.float64)
    attack = PGDRestarts(net, eps=0.1, step_size=0.03, steps=5, restarts=2, early_stop=False)
    margins: list[Tensor] = []
    hook = net.register_forward_hook(lambda module, inputs, output: margins.append(attack.margin(output.detach(), labels)))
    examples = attack(images, labels)
    hook.remove()
    least = torch.stack(margins).amin(0)
    with torch.no_grad():
        found = attack.margin(net(examples), labels)
    success = report(attack).success
    assert success.sum() >= 5
    torch.testing.assert_close(found[success], least[success], rtol=0, atol=1e-12)
    assert (least[~success] >= 0).all()
    assert set(report(attack).queries.tolist()) == set(report(attack).gradients.tolist()) == {12}


def test_more_restarts_change_nothing_for_images_that_fell_and_fell_others() -> None:
    net = smooth_net()
    images, labels = problem(net, 40, torch.float64)
    given: dict[str, Any] = {"eps": 0.05, "step_size": 0.05, "steps": 1, "loss": "margin"}
    one, many = PGDRestarts(net, restarts=1, **given), PGDRestarts(net, restarts=30, **given)
    first, later = one(images, labels), many(images, labels)
    fell = report(one).success
    assert torch.equal(first[fell], later[fell])
    assert report(many).success.sum() > fell.sum()
    assert set(report(many).queries[~report(many).success].tolist()) <= {60}


def test_restarts_and_images_begin_at_different_points_that_fill_the_ball() -> None:
    net = smooth_net()
    images = torch.full((3, 3, 7, 7), 0.5, dtype=torch.float64)
    points: list[Tensor] = []
    net.register_forward_hook(lambda module, inputs, output: points.append(inputs[0].detach().clone()))
    PGDRestarts(net, eps=0.1, steps=1, restarts=4, early_stop=False)(images, torch.zeros(3, dtype=torch.int64))
    begun = torch.stack(points[::2]).view(12, -1) - 0.5
    assert len(points) == 8
    assert len({tuple(one) for one in begun.tolist()}) == 12
    assert float(begun.abs().max()) <= 0.1
    assert float(begun.mean().abs()) < 5 * 0.1 / 3**0.5 / begun.numel() ** 0.5
    assert float(begun.std()) == pytest.approx(0.1 / 3**0.5, rel=0.1)


class NoSlope(nn.Module):
    """Its gradient is not a number."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: gradient * torch.nan)
        return logits


def test_a_slope_that_is_not_a_number_moves_nothing() -> None:
    net = smooth_net()
    images, labels = problem(net, 3, torch.float64)
    attack = PGDRestarts(NoSlope(net), eps=1e-6, steps=3, restarts=2)
    assert torch.equal(attack(images, labels), images)
    assert not report(attack).success.any()


@settings(deadline=None, max_examples=60)
@given(
    pixels=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    eps=st.floats(1e-4, 1.5),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_the_ball_is_exact_and_as_large_as_its_type_allows(pixels: list[float], eps: float, dtype: torch.dtype) -> None:
    images = torch.tensor(pixels, dtype=dtype)
    low, high = ball(images, eps)
    assert low.dtype == high.dtype == dtype
    exact = images.double()
    for bound, side in ((low, (exact - eps).clamp(min=0)), (high, (exact + eps).clamp(max=1))):
        assert bool(((bound.double() - exact).abs() <= eps).all())
        assert bool(((bound >= 0) & (bound <= 1)).all())
        assert bool(((bound.double() - side).abs() <= torch.finfo(dtype).eps).all())
    assert bool(((low <= images) & (images <= high)).all())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *[({name: value}, f"`{name}`") for name in ("eps", "step_size") for value in (0, -0.1, math.nan, math.inf, "8/255", True)],
        *[({name: value}, f"`{name}`") for name in ("steps", "restarts", "max_rows", "query_budget") for value in (0, -1, 1.5, True)],
        *[({"seed": value}, "`seed`") for value in (1.5, "1", 2**63)],
        ({"loss": "margins"}, "use margin"),
        ({"loss": "dlr"}, "to be ce or margin"),
        ({"random_start": False, "restarts": 2}, "`restarts`.*all would be the same"),
    ],
)
def test_bad_arguments_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^Expected .*{words}") as caught:
        PGDRestarts(smooth_net(), **given)
    assert "PGDRestarts" in str(caught.value)
