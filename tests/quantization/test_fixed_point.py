"""Fixed point against exact rational arithmetic; stochastic rounding against its mean."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import FixedPoint

from .helpers import EXACT_DTYPES, check_promises, fractions, gradient_of, same_bits, tensors

formats = st.tuples(st.integers(2, 16), st.integers(0, 18))


def saturate(code: int, bit_width: int) -> int:
    return max(-(2 ** (bit_width - 1)), min(2 ** (bit_width - 1) - 1, code))


@given(x=tensors(-20, 20), form=formats)
def test_round_to_nearest(x: Tensor, form: tuple[int, int]) -> None:
    bit_width, fraction_bits = form
    quantized = check_promises(FixedPoint(bit_width, fraction_bits, stochastic=False), x)
    codes = [saturate(math.ceil(number * 2**fraction_bits - Fraction(1, 2)), bit_width) for number in fractions(x)]
    assert quantized.code.tolist() == codes
    if x.dtype in EXACT_DTYPES:
        assert quantized.value.tolist() == [code * 2.0**-fraction_bits for code in codes]
    assert quantized.scale.item() == 2.0**-fraction_bits


@given(x=tensors(-20, 20), form=formats, seed=st.integers(0, 1000))
def test_stochastic_rounding_takes_a_neighbour(x: Tensor, form: tuple[int, int], seed: int) -> None:
    bit_width, fraction_bits = form
    codes = check_promises(FixedPoint(bit_width, fraction_bits), x, seed).code.tolist()
    for number, code in zip(fractions(x), codes, strict=True):
        low = math.floor(number * 2**fraction_bits)
        neighbours = {low} if low == number * 2**fraction_bits else {low, low + 1}
        assert code in {saturate(neighbour, bit_width) for neighbour in neighbours}


@pytest.mark.parametrize("number", [0.1, -0.1, 0.5, 3.3, -2.9, 0.015625, 7.01])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_stochastic_rounding_is_unbiased(number: float, dtype: torch.dtype) -> None:
    draws, fraction_bits = 20_000, 3
    torch.manual_seed(0)
    x = torch.full((draws,), number, dtype=dtype)
    steps = x[0].item() * 2**fraction_bits
    mean = FixedPoint(8, fraction_bits).quantize(x).code.double().mean().item()
    share = steps - math.floor(steps)
    assert abs(mean - steps) <= 5 * math.sqrt(share * (1 - share) / draws)


def test_stochastic_rounding_is_unbiased_at_16_bits() -> None:
    """Near the largest code the fraction has few bits left in float32; adding the draw to it would lose them."""
    draws = 400_000
    torch.manual_seed(0)
    steps = 32_000 + 1 / 512
    code = FixedPoint(16, 0).quantize(torch.full((draws,), steps)).code
    mean = (code - 32_000).double().mean().item()
    assert abs(mean - 1 / 512) <= 5 * math.sqrt(1 / 512 / draws)


def test_evaluation_rounds_to_nearest() -> None:
    x = torch.linspace(-2, 2, 501)
    assert same_bits(FixedPoint(6, 3).eval()(x), FixedPoint(6, 3, stochastic=False)(x))
    assert not torch.equal(FixedPoint(6, 3)(x), FixedPoint(6, 3, stochastic=False)(x))


def test_seeded() -> None:
    x = torch.linspace(-2, 2, 501)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(FixedPoint(6, 3)(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@given(x=tensors(dtypes=EXACT_DTYPES), form=formats)
def test_idempotent_even_when_stochastic(x: Tensor, form: tuple[int, int]) -> None:
    quantizer = FixedPoint(*form)
    once = quantizer(x)
    assert torch.equal(quantizer(once), once)


@given(x=tensors(), bit_width=st.integers(2, 16))
def test_fraction_bits_from_the_data(x: Tensor, bit_width: int) -> None:
    largest = max(abs(number) for number in x.tolist())
    _, exponent = math.frexp(largest or 1.0)
    quantized = check_promises(FixedPoint(bit_width, stochastic=False), x)
    assert quantized.scale.item() == 2.0 ** (exponent + 1 - bit_width)
    fixed = [saturate(math.ceil(number / Fraction(quantized.scale.item()) - Fraction(1, 2)), bit_width) for number in fractions(x)]
    assert quantized.code.tolist() == fixed
    if largest:  # the largest magnitude uses the top bit, give or take its own rounding
        assert max(abs(code) for code in fixed) >= 2 ** (bit_width - 2)


@given(x=tensors(-20, 20))
def test_gradient_passes(x: Tensor) -> None:
    grad = torch.arange(1, x.numel() + 1).to(x.dtype)
    assert gradient_of(FixedPoint(4, 2), x, grad).tolist() == grad.tolist()


@pytest.mark.parametrize("bit_width", [1, 17, 32, 2.0, None])
def test_bad_bit_width(bit_width: int) -> None:
    with pytest.raises(InputError, match="`bit_width` to be an integer from 2 to 16"):
        FixedPoint(bit_width, 3)


@pytest.mark.parametrize("fraction_bits", [-1, 33, 1.5, "4"])
def test_bad_fraction_bits(fraction_bits: int) -> None:
    with pytest.raises(InputError, match="`fraction_bits` to be an integer from 0 to 32"):
        FixedPoint(8, fraction_bits)
