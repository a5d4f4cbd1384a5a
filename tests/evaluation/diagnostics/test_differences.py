"""Finite differences: against plain loops, and exactly on a linear network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qlight.attacks.unchanged import unchanged
from qlight.evaluation.diagnostics import Sizes, differences
from qlight.evaluation.diagnostics.subject import subject_of
from tests.evaluation.diagnostics import toys


def sweep(network: nn.Module, images: torch.Tensor, **sizes: object) -> list[differences.AtStep]:
    with unchanged(network):
        labels = network(images).argmax(1)
        return differences.sweep(subject_of(network, images, labels, torch.arange(len(images)), 0.1, 0, Sizes(**sizes)))  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), h=st.sampled_from([1e-6, 1e-3, 0.02, 0.5]))
def test_on_a_linear_network_differences_are_the_gradient_at_any_h(seed: int, h: float) -> None:
    # two classes, so that the margin is linear; all coordinates, so that the ratio is 1; double precision, so that both are exact
    rng = np.random.default_rng(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    for parameter in network.parameters():
        parameter.data = torch.from_numpy(rng.normal(size=tuple(parameter.shape)))
    images = torch.from_numpy(rng.integers(0, 2, (3, 3, 2, 2)) * 1.0)  # at the edges of the box, where differences are one-sided
    for step in sweep(network, images, h=tuple(sorted({1e-4, h})), coordinates=12):
        assert step.zero_share == 0
        assert step.explosion == pytest.approx(1, abs=1e-4)
        assert step.cosine == pytest.approx(1, abs=1e-6)


def test_agrees_with_plain_loops_on_a_staircase() -> None:
    network = toys.Staircase(toys.healthy().double(), levels=5, straight_through=True)
    images = toys.images_of(3).double()
    h, values = 0.03, images[0].numel()
    labels = network(images).argmax(1)

    def f(flat: np.ndarray, label: int) -> float:
        with torch.no_grad():
            logits = network(torch.from_numpy(flat).view(1, *toys.SHAPE))[0].numpy()
        return float(logits[label] - np.delete(logits, label).max())

    zero, largest, cosines, steepest = 0, 0.0, [], 0.0
    for image, label in zip(images, labels.tolist(), strict=True):
        given = image.clone().requires_grad_()
        logits = network(given[None])[0]
        rest = torch.cat([logits[:label], logits[label + 1 :]])
        (logits[label] - rest.max()).backward()
        assert given.grad is not None
        gradient = given.grad.flatten().numpy()
        flat, quotients = image.flatten().numpy(), np.zeros(values)
        for at in range(values):
            upper, lower = flat.copy(), flat.copy()
            upper[at], lower[at] = min(1.0, flat[at] + h), max(0.0, flat[at] - h)
            change = f(upper, label) - f(lower, label)
            zero += change == 0
            quotients[at] = change / (upper[at] - lower[at])
        largest, steepest = max(largest, np.abs(quotients).max()), max(steepest, np.abs(gradient).max())
        cosines.append(quotients @ gradient / np.linalg.norm(quotients) / np.linalg.norm(gradient))

    step = sweep(network, images, h=(1e-4, h), coordinates=values)[1]
    assert step.zero_share == pytest.approx(zero / 3 / values)
    assert step.largest_quotient == pytest.approx(largest)
    assert step.explosion == pytest.approx(largest / steepest)
    assert step.cosine == pytest.approx(np.mean(cosines))


def test_a_step_below_the_spacing_of_the_dtype_is_a_zero_difference() -> None:
    network = toys.healthy().to(torch.bfloat16)
    first = sweep(network, toys.images_of(2).clamp(0.5, 0.9).bfloat16(), h=(1e-5, 1e-4, 1e-1), coordinates=16)[0]
    assert (first.zero_share, first.largest_quotient, first.cosine) == (1, 0, 0)


def test_a_model_without_a_gradient_has_a_zero_share_alone() -> None:
    step = sweep(toys.Deployed(toys.healthy()), toys.images_of(2), coordinates=8)[0]
    assert (step.explosion, step.cosine) == (None, None)
    assert step.zero_share < 0.5
