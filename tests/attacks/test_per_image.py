"""What qlight's own attacks have in common: their input, their model's output, torchattacks' normalization."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from tests.attacks.networks import CLASSES, MAKERS, SHAPE, ExactNet, Maker, problem, report, smooth_net

every_attack = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


# Input


def bad_images() -> dict[str, Any]:
    images, _ = problem(smooth_net(), 2, torch.float64)
    spoiled = images.clone()
    spoiled[1, 2, 3, 3] = math.nan
    return {
        "above": images * 1.001,
        "below": images - 1e-6,
        "0 to 255": images * 255,
        "NaN": spoiled,
        "infinite": images / 0,
        "uint8": (images * 255).byte(),
        "int64": images.long(),
        "bool": images > 0.5,
        "complex": images.to(torch.complex128),
        "one image": images[0],
        "flat": images.flatten(1),
        "a list": images.tolist(),
        "none": None,
    }


@every_attack
@pytest.mark.parametrize("wrong", bad_images().values(), ids=bad_images().keys())
def test_bad_images_are_refused(make: Maker, wrong: Any) -> None:
    net = smooth_net()
    net.register_forward_hook(lambda module, inputs, output: pytest.fail("the model was asked"))
    with pytest.raises(InputError, match=r"^Expected `inputs` .*divide pixels by 255"):
        make(net)(wrong, torch.tensor([0, 1]))


@every_attack
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (torch.tensor([0, CLASSES]), f"from 0 to {CLASSES - 1}, but got 0 to {CLASSES}"),
        (torch.tensor([-1, 0]), "but got -1 to 0"),
        (torch.tensor([0]), r"2 class indices, but got torch.int64 of shape \(1,\)"),
        (torch.tensor([[0], [1]]), r"of shape \(2, 1\)"),
        (torch.tensor([0.0, 1.0]), "torch.float32"),
        (torch.tensor([True, False]), "torch.bool"),
        ([0, 1], "a list"),
        (None, "none"),
    ],
)
@pytest.mark.parametrize("targeted", [False, True])
def test_bad_labels_are_refused(make: Maker, wrong: Any, got: str, targeted: bool) -> None:
    net = smooth_net()
    images, _ = problem(net, 2, torch.float64)
    attack = make(net)
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    with pytest.raises(InputError, match=f"^Expected `labels` .*{got}"):
        attack(images, wrong)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int16])
def test_labels_of_any_integer_type_are_labels(dtype: torch.dtype) -> None:
    net = smooth_net()
    images, labels = problem(net, 3, torch.float64)
    attack = MAKERS["pgd"](net)
    assert torch.equal(attack(images, labels.to(dtype)), attack(images, labels))


@pytest.mark.parametrize("wrong", [torch.arange(3), torch.tensor([0.0, 1.0]), torch.tensor([True, False]), [0, 1], 0], ids=repr)
def test_a_bad_index_is_refused(wrong: Any) -> None:
    net = smooth_net()
    images, labels = problem(net, 2, torch.float64)
    with pytest.raises(InputError, match=r"^Expected `index` to be a tensor of 2 integers"):
        MAKERS["spsa"](net)(images, labels, index=wrong)


@every_attack
@pytest.mark.parametrize("mode", ["default", "random", "least likely", "label"])
def test_an_empty_batch_has_an_empty_result_and_report(make: Maker, mode: str) -> None:
    net = smooth_net(torch.float32)
    net.register_forward_hook(lambda module, inputs, output: pytest.fail("the model was asked"))
    attack = make(net)
    attack.on_finished = lambda finished: pytest.fail("no image can have finished")
    if mode == "random":
        attack.set_mode_targeted_random(quiet=True)
    elif mode == "least likely":
        attack.set_mode_targeted_least_likely(quiet=True)
    elif mode == "label":
        attack.set_mode_targeted_by_label(quiet=True)
    result = attack(torch.zeros(0, *SHAPE), torch.zeros(0, dtype=torch.int64))
    assert result.shape == (0, *SHAPE)
    assert result.dtype == torch.float32
    assert all(value.shape == (0,) for value in vars(report(attack)).values())


# What the model returns


class Returns(nn.Module):
    """Passes the logits of a network through `change`."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.change = smooth_net(), change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.net(images))


@every_attack
@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda logits: logits[0], r"torch.float64 of shape \(4,\)"),
        (lambda logits: logits[:1].squeeze(0), "of shape"),
        (lambda logits: logits[:, :, None, None], r"4, 1, 1\)"),
        (lambda logits: logits[:, :1], r", 1\)"),
        (lambda logits: torch.cat([logits, logits]), "of shape"),
        (lambda logits: (logits, logits), "a tuple"),
        (lambda logits: {"logits": logits}, "a dict"),
        (lambda logits: logits.long(), "torch.int64"),
        (lambda logits: None, "a NoneType"),
    ],
    ids=["vector", "one row", "map", "one class", "twice", "tuple", "dict", "integers", "nothing"],
)
def test_a_model_that_returns_no_logits_is_refused(make: Maker, change: Callable[[Tensor], Any], got: str) -> None:
    net = Returns(change)
    images, labels = problem(net.net, 3, torch.float64)
    with pytest.raises(InputError, match=f"^Expected `model` to return floating-point logits of shape .*but got .*{got}"):
        make(net)(images, labels)


@every_attack
@pytest.mark.parametrize("mode", ["default", "random"])
def test_probabilities_are_warned_of_once_a_call(make: Maker, mode: str) -> None:
    net = Returns(lambda logits: logits.softmax(1))
    images, labels = problem(net.net, 3, torch.float64)
    attack = make(net, max_rows=4)
    if mode == "random":
        attack.set_mode_targeted_random(quiet=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match="sum to 1, as probabilities do.*leave the softmax off") as caught:
            attack(images, labels)
        assert len(caught) == 1


@every_attack
def test_logits_and_log_probabilities_are_not_warned_of(make: Maker) -> None:
    for change in (lambda logits: logits, lambda logits: logits.log_softmax(1), lambda logits: logits.exp()):
        net = Returns(change)
        images, labels = problem(net.net, 3, torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make(net)(images, labels)


@every_attack
@pytest.mark.parametrize("part", [slice(None), (0, 1)], ids=["all", "one"])
def test_logits_that_are_not_numbers_are_refused_at_once(make: Maker, part: Any) -> None:
    def spoil(logits: Tensor) -> Tensor:
        gone = torch.zeros_like(logits, dtype=torch.bool)
        gone[part] = True
        return logits.masked_fill(gone, math.nan)

    net = Returns(spoil)
    images, labels = problem(net.net, 3, torch.float64)
    attack = make(net)
    with pytest.raises(InputError, match=r"^Expected `model` to return logits that are numbers, but got NaN"):
        attack(images, labels)
    assert attack.report is None


class NanLater(nn.Module):
    """Logits are NaN from the second forward on, for the images of which `spoiled` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = smooth_net(), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        logits = self.net(images)
        return logits if self.calls == 1 else logits * math.nan


@every_attack
def test_not_a_number_later_is_never_a_success(make: Maker) -> None:
    net = NanLater()
    images, labels = problem(net.net, 4, torch.float64)
    attack = make(net)
    with pytest.warns(UserWarning, match="returned NaN for [0-9]+ of the images") as caught:
        result = attack(images, labels)
    assert len(caught) == 1
    first = report(attack).success  # found at the very first point, or not at all
    assert torch.equal(result[~first], images[~first])
    with torch.no_grad():
        assert torch.equal(net.net(result).argmax(1) != labels, first)
    assert bool(torch.isfinite(result).all())


class Overflows(nn.Module):
    """NaN for images whose first pixel is dark, but for its value in the clean image."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ExactNet()

    def forward(self, images: Tensor) -> Tensor:
        first = images[:, 0, 0, 0]
        return self.net(images).masked_fill(((first < 0.6) & (first != 0.25))[:, None], math.nan)


@pytest.mark.parametrize("make", [MAKERS["cw"], MAKERS["zoo"]], ids=["cw", "zoo"])  # the others' first points are random
def test_images_beside_one_that_overflows_are_as_without_it(make: Maker) -> None:
    images, _ = problem(ExactNet(), 4, torch.float32)
    images[:, 0, 0, 0] = torch.tensor([0.99, 0.25, 0.99, 0.99])
    with torch.no_grad():
        labels = ExactNet()(images).argmax(1)
    rest = torch.tensor([0, 2, 3])
    attack, alone = make(Overflows()), make(Overflows())
    with pytest.warns(UserWarning, match="returned NaN"):
        result = attack(images, labels)
    assert torch.equal(result[rest], alone(images[rest], labels[rest], index=rest))
    assert torch.equal(result[1], images[1])
    assert not report(attack).success[1]


@pytest.mark.parametrize("make", [MAKERS["cw"], MAKERS["pgd"]], ids=["cw", "pgd"])
def test_gradient_attacks_name_what_has_no_gradient(make: Maker) -> None:
    net = smooth_net()
    images, labels = problem(net, 2, torch.float64)
    with torch.inference_mode(), pytest.raises(InputError, match="inference mode is on"):
        make(net)(images, labels)
    for change in (lambda logits: logits.detach(), lambda logits: logits.detach().requires_grad_()):
        with pytest.raises(InputError, match="Expected `model` to be differentiable"):
            make(Returns(change))(images, labels)


@pytest.mark.parametrize("make", [MAKERS["spsa"], MAKERS["zoo"]], ids=["spsa", "zoo"])
def test_black_box_attacks_need_no_gradient(make: Maker) -> None:
    net = smooth_net()
    images, labels = problem(net, 3, torch.float64)
    expected = make(net)(images, labels)
    assert torch.equal(make(Returns(lambda logits: logits.detach()))(images, labels), expected)
    attack = make(net)
    assert torch.equal(attack(images, labels), expected)
    assert (report(attack).gradients == 0).all()
