"""Straight-through estimators against equation (1), element by element."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qlight.quantization import straight_through

from .helpers import DTYPES, same_bits, tensors


def gradient(x: Tensor, grad: Tensor, *window: float) -> Tensor:
    leaf = x.clone().requires_grad_()
    straight_through(leaf, torch.zeros_like(x), *window).backward(grad)
    assert leaf.grad is not None
    return leaf.grad


@given(x=tensors(), bounds=st.tuples(st.sampled_from([-1.0, 0.0, -0.5]), st.sampled_from([1.0, 0.5, 2.0])))
def test_window(x: Tensor, bounds: tuple[float, float]) -> None:
    low, high = bounds
    grad = torch.arange(1, x.numel() + 1).to(x.dtype)
    expected = [g if low <= number <= high else 0.0 for number, g in zip(x.tolist(), grad.tolist(), strict=True)]
    assert gradient(x, grad, low, high).tolist() == expected


def neighbours(bound: float, dtype: torch.dtype) -> Tensor:
    """The numbers of ``dtype`` just inside [-bound, bound], at its end, and just outside."""
    eps = torch.finfo(dtype).eps  # the gap above 1; below 1 it is half of that
    return torch.tensor([bound - bound * eps / 2, bound, bound + bound * eps], dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_both_ends_are_inside(dtype: torch.dtype, sign: float) -> None:
    x = sign * neighbours(1.0, dtype)
    assert len(set(x.tolist())) == 3
    assert gradient(x, torch.full_like(x, 3.0), -1.0, 1.0).tolist() == [3.0, 3.0, 0.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_window_from_zero(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    x = torch.tensor([-tiny, -0.0, 0.0, tiny], dtype=dtype)
    assert gradient(x, torch.ones_like(x), 0.0, 1.0).tolist() == [0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_without_window_the_gradient_is_the_same(dtype: torch.dtype) -> None:
    grad = torch.tensor([1.5, -0.0, -7.0, 2.0], dtype=dtype)
    assert same_bits(gradient(torch.tensor([-9.0, -1.0, 0.0, 50.0], dtype=dtype), grad), grad)


@given(x=tensors())
def test_the_value_goes_through_and_gets_no_gradient(x: Tensor) -> None:
    value = (x * 3).requires_grad_()
    leaf = x.clone().requires_grad_()
    out = straight_through(leaf, value, -1.0, 1.0)
    assert same_bits(out, value)
    out.sum().backward()
    assert value.grad is None


def test_no_gradient_leaks_from_outside() -> None:
    """An infinite gradient times 0 would be NaN."""
    x = torch.tensor([2.0, 0.5])
    assert gradient(x, torch.tensor([math.inf, 1.0]), -1.0, 1.0).tolist() == [0.0, 1.0]
