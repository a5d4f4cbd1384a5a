"""XNOR-Net weights: the optimum of equation (2), per filter, and the stated gradient."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import XNORNet

from .helpers import check_promises, gradient_of, tensors


@given(w=tensors(rows=3, max_size=8))
def test_values_per_filter(w: Tensor) -> None:
    quantized = check_promises(XNORNet(), w)
    eps, tiny = torch.finfo(w.dtype).eps, torch.finfo(w.dtype).tiny
    for row, values, codes, scale in zip(w.tolist(), quantized.value.tolist(), quantized.code.tolist(), quantized.scale, strict=True):
        alpha = math.fsum(abs(number) for number in row) / len(row)
        assert scale.item() == pytest.approx(2 * alpha, rel=4 * eps, abs=tiny)
        assert codes == [0 if number < 0 else 1 for number in row]
        assert values == [-scale.item() / 2 if number < 0 else scale.item() / 2 for number in row]


@given(w=tensors(rows=1, max_size=6, dtypes=[torch.float64]))
def test_no_binary_approximation_is_closer(w: Tensor) -> None:
    """Equation (2), by trying every B with its best alpha."""
    row = w[0].tolist()

    def distance(candidate: list[float]) -> float:
        return math.fsum((a - b) ** 2 for a, b in zip(row, candidate, strict=True))

    ours = distance(XNORNet()(w)[0].tolist())
    for signs in itertools.product((-1, 1), repeat=len(row)):
        alpha = sum(a * b for a, b in zip(row, signs, strict=True)) / len(row)
        assert ours <= distance([alpha * sign for sign in signs]) + 1e-9


@given(w=tensors(rows=2, max_size=6, dtypes=[torch.float32, torch.float64]))
def test_gradient(w: Tensor) -> None:
    grad = torch.arange(1, w.numel() + 1).reshape(w.shape).to(w.dtype)
    found = gradient_of(XNORNet(), w, grad)
    for row, row_grad, row_found in zip(w.tolist(), grad.tolist(), found.tolist(), strict=True):
        n = len(row)
        alpha = math.fsum(abs(number) for number in row) / n
        expected = [g * (1 / n + (alpha if abs(number) <= 1 else 0.0)) for number, g in zip(row, row_grad, strict=True)]
        assert row_found == pytest.approx(expected, rel=1e-5)


def test_scale_shapes() -> None:
    assert XNORNet().quantize(torch.randn(5, 3, 2, 2)).scale.shape == (5, 1, 1, 1)
    assert XNORNet().quantize(torch.randn(5, 3)).scale.shape == (5, 1)


def test_filters_do_not_influence_each_other() -> None:
    w = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    changed = w.clone()
    changed[1] *= 10
    assert torch.equal(XNORNet()(changed)[0], XNORNet()(w)[0])
    assert not torch.equal(XNORNet()(changed)[1], XNORNet()(w)[1])


@given(w=tensors(rows=2, dtypes=[torch.float64]))
def test_idempotent(w: Tensor) -> None:
    once = XNORNet()(w)
    torch.testing.assert_close(XNORNet()(once), once)


@pytest.mark.parametrize("shape", [(), (4,)])
def test_needs_filters(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="`w` to have a dimension of filters"):
        XNORNet()(torch.ones(shape))
