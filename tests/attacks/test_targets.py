"""torchattacks' targeted modes, of qlight's own attacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.errors import InputError
from tests.attacks.networks import CLASSES, MAKERS, Maker, problem, report, smooth_net

every_attack = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(-(2**63), 2**63 - 1), order=st.permutations(range(12)), cut=st.integers(1, 12))
def test_a_random_target_depends_on_seed_and_index_alone(seed: int, order: list[int], cut: int) -> None:
    net = smooth_net()
    images, labels = problem(net, 12, torch.float64)
    index = torch.arange(12) * 7

    def targets(rows: list[int]) -> list[int]:
        attack = MAKERS["pgd"](net, seed=seed, steps=1, restarts=1)
        attack.set_mode_targeted_random(quiet=True)
        seen: list[int] = []
        inner = attack.start

        def start(state: dict[str, Tensor]) -> None:
            seen.extend(state["label"].tolist())
            inner(state)

        attack.start = start
        torch.manual_seed(len(rows))
        attack(images[rows], labels[rows], index=index[rows])
        return seen

    whole = targets(list(range(12)))
    assert all(0 <= target < CLASSES and target != label for target, label in zip(whole, labels.tolist(), strict=True))
    assert targets(order[:cut]) == [whole[row] for row in order[:cut]]


def test_random_targets_are_all_other_classes_equally_often_and_follow_the_seed() -> None:
    net = smooth_net()
    images, _ = problem(net, 1, torch.float64)
    images, labels = images.expand(3000, -1, -1, -1), torch.arange(3000) % CLASSES
    one, other = (MAKERS["spsa"](net, seed=seed).get_random_target_label(images, labels) for seed in (0, 1))
    counts = torch.bincount((one - labels) % CLASSES, minlength=CLASSES)
    assert counts[0] == 0
    assert bool((counts[1:] - 1000).abs().max() < 5 * (3000 * 2 / 9) ** 0.5)
    assert 0.2 < float((one == other).double().mean()) < 0.5


@every_attack
@pytest.mark.parametrize("mode", ["label", "function", "random", "least likely", "second least likely"])
def test_every_targeted_mode_aims_where_it_says(make: Maker, mode: str) -> None:
    net = smooth_net()
    images, labels = problem(net, 8, torch.float64)
    with torch.no_grad():
        logits = net(images)
    attack = make(net)
    given, asked = labels, 1
    if mode == "label":
        attack.set_mode_targeted_by_label(quiet=True)
        given, asked = (labels + 2) % CLASSES, 0
        expected = given
    elif mode == "function":
        attack.set_mode_targeted_by_function(lambda inputs, classes: (classes + inputs.shape[1]) % CLASSES, quiet=True)
        expected, asked = (labels + 3) % CLASSES, 0
    elif mode == "random":
        attack.set_mode_targeted_random(quiet=True)
        expected = attack.get_random_target_label(images, labels)
        assert not (expected == labels).any()
    else:
        attack.set_mode_targeted_least_likely(kth_min=1 if mode == "least likely" else 2, quiet=True)
        expected = logits.argsort(1)[:, 0 if mode == "least likely" else 1]
        assert torch.equal(attack.get_least_likely_label(images, labels), expected)
    result = attack(images, given)
    assert attack.targeted
    with torch.no_grad():
        assert torch.equal(net(result).argmax(1) == expected, report(attack).success)
    least = attack.rows_per_image + attack.final_queries + asked
    assert int(report(attack).queries.min()) >= least
    attack.query_budget = least
    attack(images, given)
    assert report(attack).queries.tolist() == [least] * 8
    attack.query_budget = least - 1
    with pytest.raises(InputError, match=f"one step of {least} queries, but got {least - 1}"):
        attack(images, given)


def test_the_least_likely_class_is_never_the_label_and_must_exist() -> None:
    net = smooth_net()
    images, _ = problem(net, 6, torch.float64)
    with torch.no_grad():
        least = net(images).argmin(1)
    attack = MAKERS["cw"](net)
    attack.set_mode_targeted_least_likely(quiet=True)
    targets = attack.get_least_likely_label(images, least)
    assert not (targets == least).any()
    attack.set_mode_targeted_least_likely(kth_min=CLASSES, quiet=True)
    with pytest.raises(InputError, match=f"`kth_min` to be at most {CLASSES - 1}"):
        attack(images, least)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda images, labels: labels + CLASSES, "Expected `target labels` from 0 to"),
        (lambda images, labels: labels.double(), "Expected `target labels` to be a tensor of 3"),
        (lambda images, labels: labels[:1], "Expected `target labels` to be a tensor of 3"),
        (lambda images, labels: 3, "Expected `target labels` to be a tensor of 3"),
    ],
)
def test_a_function_that_gives_no_targets_is_named(function: Callable[[Tensor, Tensor], Any], words: str) -> None:
    net = smooth_net()
    images, labels = problem(net, 3, torch.float64)
    attack = MAKERS["pgd"](net)
    attack.set_mode_targeted_by_function(function, quiet=True)
    with pytest.raises(InputError, match=words):
        attack(images, labels)


@every_attack
def test_back_in_the_default_mode_it_is_untargeted_again(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    net = smooth_net()
    images, labels = problem(net, 4, torch.float64)
    expected = make(net)(images, labels)
    attack = make(net)
    attack.set_mode_targeted_random(quiet=True)
    attack(images, labels)
    attack.set_mode_default()
    assert torch.equal(attack(images, labels), expected)
    assert "default" in capsys.readouterr().out


# torchattacks' normalization


class Normalized(nn.Module):
    """Takes images that were normalized."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images * 0.3 + 0.45)


@every_attack
def test_normalized_images_are_attacked_in_pixels(make: Maker) -> None:
    net = smooth_net(torch.float32)
    images, labels = problem(net, 4, torch.float32)  # some at 0 and 1, which come back from a normalization a little outside
    attack = make(Normalized(net))
    attack.set_normalization_used([0.45] * 3, [0.3] * 3)
    result = attack((images - 0.45) / 0.3, labels)
    assert report(attack).success.any()
    plain = make(net)
    expected = plain(images, labels)
    assert torch.equal(report(plain).success, report(attack).success)
    torch.testing.assert_close(result * 0.3 + 0.45, expected, rtol=0, atol=1e-3)
    with pytest.raises(InputError, match="`labels`"):
        attack((images - 0.45) / 0.3, labels + CLASSES)
    torch.testing.assert_close(attack((images - 0.45) / 0.3, labels), result, rtol=0, atol=0)  # as torchattacks' own would not be any more


def test_a_model_without_parameters_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    """A target has none; torchattacks would ask for a device on standard output."""
    MAKERS["spsa"](nn.Flatten())
    assert capsys.readouterr().out == ""
