"""Min-max quantization against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import MinMaxUniform

from .helpers import DTYPES, EXACT_DTYPES, check_promises, fractions, gradient_of, same_bits, tensors

bit_widths = st.integers(1, 8)


@given(w=tensors(), bit_width=bit_widths)
def test_nearest_point(w: Tensor, bit_width: int) -> None:
    quantized = check_promises(MinMaxUniform(bit_width), w)
    numbers, s = fractions(w), 2**bit_width - 1
    low, span = min(numbers), max(numbers) - min(numbers)
    if span < Fraction(1, 1000):  # the next test has equal weights; between, rounding of the range is all that there is
        return
    eps = Fraction(torch.finfo(w.dtype).eps)
    for number, code, value in zip(numbers, quantized.code.tolist(), fractions(quantized.value), strict=True):
        assert abs(code - s * (number - low) / span) <= Fraction(1, 2) + Fraction(s, 1000)
        assert abs(value - (low + span * code / s)) <= 4 * eps * max(abs(low), abs(low + span)) + Fraction(1, 10**6)
    codes = quantized.code.tolist()
    assert codes[numbers.index(low)] == 0
    assert codes[numbers.index(low + span)] == s


@given(codes=st.lists(st.integers(0, 7), min_size=1, max_size=10), halves=st.lists(st.booleans(), min_size=10, max_size=10))
def test_ties_go_down(codes: list[int], halves: list[bool]) -> None:
    """Weights on whole and half steps between 0 and 7, exact in float32."""
    half = [min(code + half / 2, 7.0) for code, half in zip(codes, halves, strict=False)]
    w = torch.tensor([0.0, *half, 7.0])
    assert MinMaxUniform(3).quantize(w).code.tolist() == [0, *[min(code, 7) for code in codes], 7]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("number", [0.0, 1.25, -3.0, 1e-3])
def test_constant_tensors_stay(dtype: torch.dtype, number: float) -> None:
    w = torch.full((2, 3), number, dtype=dtype)
    for bit_width in (1, 4, 8):
        assert same_bits(check_promises(MinMaxUniform(bit_width), w).value, w)


@given(w=tensors(dtypes=EXACT_DTYPES), bit_width=bit_widths)
def test_idempotent(w: Tensor, bit_width: int) -> None:
    quantizer = MinMaxUniform(bit_width)
    once = quantizer(w)
    torch.testing.assert_close(quantizer(once), once)


@given(w=tensors())
def test_gradient_passes(w: Tensor) -> None:
    grad = torch.arange(1, w.numel() + 1).to(w.dtype)
    assert gradient_of(MinMaxUniform(3), w, grad).tolist() == grad.tolist()


def test_every_code_is_reached() -> None:
    for bit_width in range(1, 9):
        codes = MinMaxUniform(bit_width).quantize(torch.linspace(-0.3, 0.9, 4001)).code
        assert codes.unique().tolist() == list(range(2**bit_width))


def test_float16_range_does_not_overflow() -> None:
    w = torch.tensor([-60000.0, 0.0, 60000.0], dtype=torch.float16)
    assert MinMaxUniform(1)(w).tolist() == [-60000.0, -60000.0, 60000.0]


@pytest.mark.parametrize("bit_width", [0, 9, 32, 2.0, None])
def test_bad_bit_width(bit_width: int) -> None:
    with pytest.raises(InputError, match="`bit_width` to be an integer from 1 to 8"):
        MinMaxUniform(bit_width)
