"""TWN and TTQ against scalar code; TTQ's trained scales against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import TTQ, TWN

from .helpers import check_promises, gradient_of, tensors


def ternary(row: list[float], threshold: float) -> list[int]:
    return [1 if number > threshold else -1 if number < -threshold else 0 for number in row]


def assume_clear(row: list[float], threshold: float) -> None:
    """Leave out weights within rounding of the threshold, where single and double precision may differ."""
    assume(all(abs(abs(number) - threshold) > 1e-6 * threshold or number == 0 for number in row))


@given(w=tensors())
def test_twn(w: Tensor) -> None:
    row = w.tolist()
    threshold = 0.7 * math.fsum(abs(number) for number in row) / len(row)
    assume_clear(row, threshold)
    quantized = check_promises(TWN(), w)
    codes = ternary(row, threshold)
    kept = [abs(number) for number, code in zip(row, codes, strict=True) if code]
    alpha = math.fsum(kept) / len(kept) if kept else 0.0
    assert quantized.code.tolist() == codes
    limits = torch.finfo(w.dtype)
    assert quantized.value.tolist() == pytest.approx([code * alpha for code in codes], rel=2 * limits.eps, abs=limits.tiny)


def test_twn_threshold_excludes_its_own_value() -> None:
    """mean |w| = 1 and the threshold is 0.7: a weight at the threshold itself is 0, the next number above it is not."""
    at = torch.tensor([0.7, 1.3], dtype=torch.float64)
    assert TWN().quantize(at).code.tolist() == [0, 1]
    assert TWN().quantize(torch.tensor([0.75, 1.25])).code.tolist() == [1, 1]


def test_twn_sums_in_float32_for_half_precision() -> None:
    """The sum of |w| is 131072, beyond the largest float16."""
    assert TWN()(torch.full((512, 512), 0.5, dtype=torch.float16)).unique().tolist() == [0.5]


@given(w=tensors())
def test_twn_gradient_passes(w: Tensor) -> None:
    grad = torch.arange(1, w.numel() + 1).to(w.dtype)
    assert gradient_of(TWN(), w, grad).tolist() == grad.tolist()


@given(w=tensors(dtypes=[torch.float64]))
def test_twn_is_idempotent(w: Tensor) -> None:
    once = TWN()(w)
    torch.testing.assert_close(TWN()(once), once)


def trained(threshold: float = 0.05, positive: float = 0.75, negative: float = 0.25) -> TTQ:
    quantizer = TTQ(threshold)
    with torch.no_grad():
        quantizer.positive_scale.fill_(positive)
        quantizer.negative_scale.fill_(negative)
    return quantizer


thresholds = st.sampled_from([0.0, 0.05, 0.3, 0.9])


@given(w=tensors(), threshold=thresholds)
def test_ttq(w: Tensor, threshold: float) -> None:
    row = w.tolist()
    delta = threshold * max(abs(number) for number in row)
    assume_clear(row, delta)
    quantized = check_promises(trained(threshold), w)
    codes = ternary(row, delta)
    assert quantized.code.tolist() == codes
    assert quantized.value.tolist() == [{1: 0.75, 0: 0.0, -1: -0.25}[code] for code in codes]
    assert quantized.scale.tolist() == [0.75 if code == 1 else 0.25 for code in codes]


@given(w=tensors(dtypes=[torch.float32, torch.float64]), threshold=thresholds)
def test_ttq_gradients(w: Tensor, threshold: float) -> None:
    quantizer = trained(threshold)
    grad = torch.arange(1, w.numel() + 1).to(w.dtype)
    found = gradient_of(quantizer, w, grad)
    codes = quantizer.quantize(w).code.tolist()
    pairs = list(zip(codes, grad.tolist(), strict=True))
    assert found.tolist() == [{1: 0.75, 0: 1.0, -1: 0.25}[code] * g for code, g in pairs]
    assert quantizer.positive_scale.grad is not None
    assert quantizer.negative_scale.grad is not None
    assert quantizer.positive_scale.grad.item() == sum(g for code, g in pairs if code == 1)
    assert quantizer.negative_scale.grad.item() == -sum(g for code, g in pairs if code == -1)


def test_ttq_scale_gradients_are_the_true_ones() -> None:
    w = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    quantizer = trained().double()
    quantizer(w).backward(grad)
    for scale in (quantizer.positive_scale, quantizer.negative_scale):
        outputs = []
        for step in (1e-3, -1e-3):
            with torch.no_grad():
                scale += step
                outputs.append(float((quantizer(w) * grad).sum()))
                scale -= step
        assert scale.grad is not None
        assert scale.grad.item() == pytest.approx((outputs[0] - outputs[1]) / 2e-3)


def test_ttq_training_recovers_two_scales() -> None:
    """Descending (TTQ(w) - target)^2 finds the target's two values: the sign of both gradients is right."""
    w = torch.tensor([-1.0, -0.9, 0.01, 0.8, 1.0])
    target = torch.tensor([-0.2, -0.2, 0.0, 0.6, 0.6])
    quantizer = TTQ()
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        (quantizer(w) - target).square().sum().backward()
        optimizer.step()
    assert quantizer.positive_scale.item() == pytest.approx(0.6, abs=1e-4)
    assert quantizer.negative_scale.item() == pytest.approx(0.2, abs=1e-4)


def test_ttq_initialize() -> None:
    quantizer = TTQ()
    quantizer.initialize(torch.tensor([-1.0, -0.5, 0.01, 0.25, 0.5]))
    assert (quantizer.positive_scale.item(), quantizer.negative_scale.item()) == (0.375, 0.75)
    quantizer.initialize(torch.tensor([2.0, 4.0]))  # no negative weight: that scale stays
    assert (quantizer.positive_scale.item(), quantizer.negative_scale.item()) == (3.0, 0.75)


def test_ttq_state() -> None:
    assert set(TTQ().state_dict()) == {"positive_scale", "negative_scale"}
    assert [p.item() for p in TTQ().parameters()] == [1.0, 1.0]


@pytest.mark.parametrize("threshold", [-0.1, 1.0, math.nan])
def test_ttq_bad_threshold(threshold: float) -> None:
    with pytest.raises(InputError, match="`threshold` to be at least 0 and less than 1"):
        TTQ(threshold)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_ttq_bad_scale(scale: float) -> None:
    with pytest.raises(InputError, match="`initial_scale` to be a positive number"):
        TTQ(initial_scale=scale)
