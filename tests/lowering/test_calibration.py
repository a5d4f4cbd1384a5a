"""Calibrated activations: codes, values, gradient, and the scale that loses least."""

from __future__ import annotations

import pytest
import torch

from qlight.lowering.calibration import CalibratedActivation, best_scale, shortened


def test_values_are_those_of_the_codes() -> None:
    activation = CalibratedActivation(4, shortened(0.123))
    x = torch.linspace(-1, 3, 1001)
    found = activation.quantize(x)
    assert torch.equal(found.value, activation(x))
    assert torch.equal(found.value.double(), found.code.double() * activation.scale.double())  # exact
    assert int(found.code.min()) == 0
    assert int(found.code.max()) == 15
    inside = (x > 0) & (x < 15 * activation.scale)
    assert float((found.value - x)[inside].abs().max()) <= 0.5001 * float(activation.scale)


def test_gradient_passes_inside_only() -> None:
    x = torch.tensor([-1.0, 0.3, 9.0], requires_grad=True)
    activation = CalibratedActivation(2, 0.5)
    value = activation(x)
    assert torch.equal(value.detach(), activation(x.detach()))
    value.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_scale_loses_least(bits: int) -> None:
    generator = torch.Generator().manual_seed(bits)
    x = torch.randn(20_000, generator=generator).exp()  # a long tail

    def loss(scale: float) -> float:
        return float((CalibratedActivation(bits, scale)(x) - x).double().square().mean())

    scale = best_scale([x - 0.0], bits)
    largest = float(x.max()) / (2**bits - 1)
    assert scale < largest  # clips the tail
    tried = torch.logspace(-2.5, 0.0, 300, dtype=torch.float64) * largest
    assert loss(scale) <= 1.01 * min(loss(float(candidate)) for candidate in tried)


def test_the_scale_does_not_depend_on_how_images_are_grouped() -> None:
    x = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert best_scale([x], 8) == best_scale(list(x.split(7)), 8)
    assert best_scale([-x.abs()], 8) == 1.0
