"""The set-up is checked on the network as it was given."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.attacks.unchanged import unchanged
from qlight.evaluation.diagnostics import returned, setup
from qlight.evaluation.diagnostics.record import Diagnostic
from qlight.evaluation.diagnostics.subject import Subject, subject_of
from tests.evaluation.diagnostics import toys


def subject(network: nn.Module, count: int = 8) -> Subject:
    """The network as it is, with its images; nothing is attacked."""
    images, zeros = toys.images_of(count), torch.zeros(count, dtype=torch.int64)
    return Subject(network, network, images, zeros, images, zeros, zeros, toys.EPS, 0, toys.SMALL, False, {})


def deterministic(network: nn.Module) -> Diagnostic:
    torch.manual_seed(0)
    return setup.deterministic(subject(network))


class Functional(nn.Module):
    """Dropout that no evaluation mode switches off, between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(192, 20), nn.Linear(20, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(F.dropout(self.first(images.flatten(1)), training=True))


class Late(nn.Module):
    """Noise on the logits, after the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = toys.healthy()

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        return logits + torch.randn_like(logits)


def test_dropout_that_was_left_on_is_named() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 20), nn.Dropout(), nn.Linear(20, 10)).train()
    found = deterministic(network)
    assert found.status == "fail"
    assert "is `2` (Dropout)" in found.verdict
    assert found.details["culprit"].endswith("`2` (Dropout)")
    assert deterministic(network.eval()).status == "pass"


def test_a_random_leaf_that_is_the_model_itself_is_named() -> None:
    class Noise(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.randn(len(images), 10)

    assert "is the model itself (Noise)" in deterministic(Noise()).verdict


@pytest.mark.parametrize(
    ("network", "where"), [(Functional(), "between `first` (Linear) and `last` (Linear)"), (Late(), "after `inner.3` (Linear)")]
)
def test_randomness_outside_the_leaf_modules_is_located(network: nn.Module, where: str) -> None:
    found = deterministic(network.eval())
    assert found.status == "fail"
    assert where in found.verdict


def test_a_diagnosis_of_a_random_network_is_the_same_twice() -> None:
    network, labels = Functional().eval(), torch.arange(8)
    torch.manual_seed(1)
    first = toys.diagnosis_of(network, labels=labels)
    torch.manual_seed(2)
    assert toys.diagnosis_of(network, labels=labels).to_json() == first.to_json()
    assert toys.status(first, "deterministic") == "fail"


def test_modules_in_training_mode_are_named() -> None:
    network = toys.healthy()
    assert setup.eval_mode(subject(network)).status == "pass"
    network[2].train()
    found = setup.eval_mode(subject(network))
    assert (found.status, found.figure, found.details["modules"]) == ("fail", 1, ["2"])
    assert "(2)" in found.verdict


def test_probabilities_are_told_from_logits() -> None:
    assert setup.logits(subject(toys.healthy())).status == "pass"
    found = setup.logits(subject(nn.Sequential(toys.healthy(), nn.Softmax(1))))
    assert (found.status, found.figure) == ("fail", 1)
    assert setup.logits(subject(nn.Sequential(toys.healthy(), nn.LogSoftmax(1)))).status == "pass"  # as good as logits


def test_batch_norm_in_training_mode_depends_on_the_batch() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    for question, found in zip(("predictions", "logits"), setup.batch_size(subject(network.train())), strict=True):
        assert (found.name, found.status) == (f"batch_{question}", "fail")
    assert [found.status for found in setup.batch_size(subject(network.eval()))] == ["pass", "pass"]


def test_a_network_that_refuses_a_single_image_is_found() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.BatchNorm1d(10)).train()
    found = setup.batch_size(subject(network))
    assert [(d.status, d.figure) for d in found] == [("fail", None)] * 2
    assert "refuses a batch of 1" in found[0].verdict


def test_one_image_makes_no_batch() -> None:
    assert {found.status for found in setup.batch_size(subject(toys.healthy(), 1))} == {"not applicable"}


@pytest.mark.parametrize(
    ("shift", "passes", "words"),
    [(0.1, True, "kept to"), (0.11, False, "`Fake` left its bounds by 0.01"), (torch.nan, False, "not finite")],
)
def test_examples_outside_the_ball_are_found(shift: float, passes: bool, words: str) -> None:
    network, images = toys.healthy(), toys.images_of() * 0.5 + 0.25
    with unchanged(network):
        labels = network(images).argmax(1)
        whole = subject_of(network, images, labels, torch.arange(8), 0.1, 0, toys.SMALL)
        whole.outcomes["Fake"] = whole.judge("Fake", images + shift, 0.1, {})
        found = returned.inside(whole)
    assert (found.status == "pass") is passes
    assert words in found.verdict


def test_examples_outside_the_box_are_found() -> None:
    network, images = toys.healthy(), toys.images_of()
    with unchanged(network):
        whole = subject_of(network, images, network(images).argmax(1), torch.arange(8), 0.5, 0, toys.SMALL)
        whole.outcomes["Fake"] = whole.judge("Fake", images + 0.25, None, {})
        found = returned.inside(whole)
    assert found.status == "fail"
    assert found.figure == pytest.approx(float(images.max()) - 0.75, abs=1e-6)
