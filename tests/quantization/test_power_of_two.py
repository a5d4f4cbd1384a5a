"""LightNN weights against a greedy search in exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import PowerOfTwo
from qlight.quantization.power_of_two import power_of_two_for

from .helpers import check_promises, fractions, gradient_of, tensors

ks = st.integers(1, 3)
exponents = st.tuples(st.integers(-6, 1), st.integers(0, 6)).map(lambda pair: (pair[0] - pair[1], pair[0]))


def greedy(w: Fraction, k: int, low: int, high: int) -> Fraction:
    """Clip, then ``k`` times the nearest of 0 and +-2^low ... +-2^high, the larger of two that are equally near."""
    rest = max(-(Fraction(2) ** high), min(Fraction(2) ** high, w))
    candidates = [Fraction(0)] + [sign * Fraction(2) ** e for e in range(low, high + 1) for sign in (1, -1)]
    total = Fraction(0)
    for _ in range(k):
        best = min(candidates, key=lambda candidate: (abs(rest - candidate), -abs(candidate)))
        total, rest = total + best, rest - best
    return total


def powers_needed(code: int) -> int:
    """How many signed powers of two add up to ``code``: the non-zero digits of its non-adjacent form."""
    count = 0
    while code:
        if code % 2:
            count += 1
            code -= 2 - code % 4
        code //= 2
    return count


@given(w=tensors(), k=ks, span=exponents)
def test_greedy_sum(w: Tensor, k: int, span: tuple[int, int]) -> None:
    low, high = span
    quantized = check_promises(PowerOfTwo(k, low, high), w)
    expected = [greedy(number, k, low, high) for number in fractions(w)]
    assert quantized.code.tolist() == [int(value / Fraction(2) ** low) for value in expected]
    assert fractions(quantized.value) == expected
    assert all(powers_needed(code) <= k for code in quantized.code.tolist())


@given(w=tensors(), k=ks, span=exponents)
def test_idempotent(w: Tensor, k: int, span: tuple[int, int]) -> None:
    quantizer = PowerOfTwo(k, *span)
    once = quantizer(w)
    assert torch.equal(quantizer(once), once)


@given(w=tensors(dtypes=[torch.float64]), k=ks)
def test_one_more_power_is_never_further(w: Tensor, k: int) -> None:
    error = (PowerOfTwo(k)(w) - w).abs()
    assert bool(((PowerOfTwo(k + 1)(w) - w).abs() <= error).all())


@given(w=tensors(), k=ks)
def test_odd_function(w: Tensor, k: int) -> None:
    assert torch.equal(PowerOfTwo(k)(-w), -PowerOfTwo(k)(w))


@given(w=tensors(), k=ks, bit_width=st.integers(2, 8))
def test_relative_exponents(w: Tensor, k: int, bit_width: int) -> None:
    """The reference is the smallest power of two that is not below the largest magnitude."""
    largest = max(abs(number) for number in w.tolist())
    mantissa, exponent = math.frexp(largest)
    high = (exponent - 1 if mantissa == 0.5 else exponent) if largest else 0
    low = high + 2 - bit_width
    quantized = check_promises(power_of_two_for(bit_width, k), w)
    assert quantized.bit_width == bit_width
    if largest:
        assert quantized.scale.item() == 2.0**low
        assert quantized.code.tolist() == [int(greedy(number, k, low, high) / Fraction(2) ** low) for number in fractions(w)]
        assert any(quantized.code.tolist())
    else:
        assert not any(quantized.code.tolist())


@given(w=tensors())
def test_gradient_passes(w: Tensor) -> None:
    grad = torch.arange(1, w.numel() + 1).to(w.dtype)
    assert gradient_of(PowerOfTwo(), w, grad).tolist() == grad.tolist()


def test_values_of_light_nn_1() -> None:
    found = PowerOfTwo(1, -2, 0)(torch.linspace(-1.2, 1.2, 401)).unique().tolist()
    assert found == [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("k", "low", "high", "name"),
    [(0, -6, 0, "k"), (5, -6, 0, "k"), (2, 1, 0, "min_exponent"), (2, -15, 0, "min_exponent"), (2, 40, 40, "max_exponent")],
)
def test_bad_arguments(k: int, low: int, high: int, name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}` to be an integer from"):
        PowerOfTwo(k, low, high)


@pytest.mark.parametrize("bit_width", [1, 9])
def test_bad_bit_width(bit_width: int) -> None:
    with pytest.raises(InputError, match="`bit_width` to be an integer from 2 to 8"):
        power_of_two_for(bit_width)
