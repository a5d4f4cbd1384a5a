"""Quantized gradients against scalar code that is given the same noise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import DoReFaGradient, quantize_gradient

from .helpers import DTYPES, gradient_of, same_bits, tensors

bit_widths = st.integers(1, 8)


@given(grad=tensors(rows=3, dtypes=[torch.float64]), bit_width=bit_widths, seed=st.integers(0, 100))
def test_equation_12(grad: Tensor, bit_width: int, seed: int) -> None:
    n = 2**bit_width - 1
    found = quantize_gradient(grad, bit_width, torch.Generator().manual_seed(seed)).tolist()
    draws = torch.rand(grad.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).tolist()
    for row, row_found, row_draws in zip(grad.tolist(), found, draws, strict=True):
        largest = max(abs(number) for number in row)
        for number, value, draw in zip(row, row_found, row_draws, strict=True):
            if largest == 0:
                assert value == 0
                continue
            unit = min(1.0, max(0.0, number / (2 * largest) + 0.5 + (draw - 0.5) / n))
            code = (value / (2 * largest) + 0.5) * n
            assert code == pytest.approx(round(code), abs=1e-9)  # one of the 2^k levels
            assert 0 <= round(code) <= n
            assert abs(round(code) - n * unit) <= 0.5 + 1e-9  # the nearest one


@pytest.mark.parametrize("bit_width", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_unbiased(bit_width: int, dtype: torch.dtype) -> None:
    grad = torch.tensor([-1.0, -0.75, -0.3, 0.0, 0.1, 0.55, 1.0], dtype=torch.float64).to(dtype)
    draws = 20_000
    torch.manual_seed(0)
    mean = quantize_gradient(grad.expand(draws, 7), bit_width).double().mean(dim=0)
    step = 2 / (2**bit_width - 1)  # max |dr| is 1; a value falls on one of the two levels around it
    slack = 5 * step / 2 / math.sqrt(draws) + torch.finfo(dtype).eps
    assert float((mean - grad.double()).abs().max()) <= slack


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zeros_stay_zero(dtype: torch.dtype) -> None:
    grad = torch.zeros(3, 2, 2, dtype=dtype)
    grad[1] = 0.5
    found = quantize_gradient(grad, 2)
    assert found.dtype == dtype
    assert not found[0].any()
    assert not found[2].any()
    assert found[1].any()


def test_each_sample_has_its_own_maximum() -> None:
    grad = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    scaled = grad.clone()
    scaled[1] *= 1024
    a = quantize_gradient(grad, 3, torch.Generator().manual_seed(1))
    b = quantize_gradient(scaled, 3, torch.Generator().manual_seed(1))
    assert torch.equal(a[[0, 2, 3]], b[[0, 2, 3]])
    assert torch.equal(a[1] * 1024, b[1])
    assert bool((a.abs().amax(dim=(1, 2)) <= grad.abs().amax(dim=(1, 2)) * (1 + 1e-6)).all())


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 0)])
def test_odd_shapes(shape: tuple[int, ...]) -> None:
    grad = torch.full(shape, -2.0)
    assert torch.equal(quantize_gradient(grad, 3), grad)  # each sample is its own maximum


@given(x=tensors(rows=2), bit_width=bit_widths)
def test_forward_is_the_identity(x: Tensor, bit_width: int) -> None:
    assert same_bits(DoReFaGradient(bit_width)(x), x)


def test_module_quantizes_what_flows_back() -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    found = gradient_of(DoReFaGradient(2), x, grad)
    torch.manual_seed(2)
    assert torch.equal(found, quantize_gradient(grad, 2))
    assert not torch.equal(found, grad)


@pytest.mark.parametrize("bit_width", [None, 32])
def test_no_quantization_by_default(bit_width: int | None) -> None:
    x, grad = torch.randn(2, 3), torch.randn(2, 3)
    assert same_bits(gradient_of(DoReFaGradient(bit_width), x, grad), grad)
    assert DoReFaGradient().bit_width is None


@pytest.mark.parametrize("bit_width", [0, 9, 16, 2.0, "2", True])
def test_bad_bit_width(bit_width: int) -> None:
    with pytest.raises(InputError, match="`bit_width` to be an integer from 1 to 8, or 32"):
        DoReFaGradient(bit_width)


def test_refuses_integers() -> None:
    with pytest.raises(InputError, match="floating-point"):
        DoReFaGradient(2)(torch.arange(3))
