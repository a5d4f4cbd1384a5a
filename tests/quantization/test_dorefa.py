"""DoReFa weights and activations against scalar code, and the weight gradient against finite differences."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.quantization import DoReFaActivation, DoReFaWeight

from .helpers import EXACT_DTYPES, check_promises, fractions, gradient_of, tensors

bit_widths = st.integers(1, 8)


def unit_weights(w: list[float]) -> list[float]:
    """[13] equation (9) before rounding, in double precision; 1/2 everywhere for zeros."""
    largest = max(abs(math.tanh(number)) for number in w)
    return [math.tanh(number) / (2 * largest) + 0.5 if largest else 0.5 for number in w]


@given(w=tensors(dtypes=EXACT_DTYPES), bit_width=st.integers(2, 8))
def test_weight_codes(w: Tensor, bit_width: int) -> None:
    largest = w.abs().max().item() if w.numel() else 0.0
    assume(largest == 0 or largest >= torch.finfo(w.dtype).tiny)  # the norm of weights that are all subnormal is not taken below that
    quantized = check_promises(DoReFaWeight(bit_width), w)
    n = 2**bit_width - 1
    for code, value, unit in zip(quantized.code.tolist(), quantized.value.tolist(), unit_weights(w.tolist()), strict=True):
        assert abs(code - n * unit) <= 0.5 + 1e-4  # the nearest code, but for rounding at a tie
        assert value == pytest.approx((2 * code - n) / n, rel=1e-6, abs=1e-7)


@given(w=tensors(dtypes=(torch.float16, torch.bfloat16)), bit_width=st.integers(2, 8))
def test_weight_codes_in_half_precision(w: Tensor, bit_width: int) -> None:
    n = 2**bit_width - 1
    codes = check_promises(DoReFaWeight(bit_width), w).code.tolist()
    slack = 4 * n * torch.finfo(w.dtype).eps
    assert all(abs(code - n * unit) <= 0.5 + slack for code, unit in zip(codes, unit_weights(w.tolist()), strict=True))


@given(w=tensors())
def test_one_bit_weights_are_sign_times_mean(w: Tensor) -> None:
    quantized = check_promises(DoReFaWeight(1), w)
    mean = math.fsum(abs(number) for number in w.tolist()) / w.numel()
    eps = torch.finfo(w.dtype).eps
    for number, value, code in zip(w.tolist(), quantized.value.tolist(), quantized.code.tolist(), strict=True):
        assert code == (0 if number < 0 else 1)
        assert value == pytest.approx(-mean if number < 0 else mean, rel=2 * eps, abs=torch.finfo(w.dtype).tiny)


@given(w=tensors())
def test_one_bit_gradient_passes(w: Tensor) -> None:
    grad = torch.arange(1, w.numel() + 1).to(w.dtype)
    assert gradient_of(DoReFaWeight(1), w, grad).tolist() == grad.tolist()


@given(
    w=st.lists(st.floats(-2.5, 2.5), min_size=2, max_size=8),
    grad=st.lists(st.floats(-2, 2), min_size=8, max_size=8),
    bit_width=st.integers(2, 8),
)
def test_weight_gradient_is_that_of_the_function_before_rounding(w: list[float], grad: list[float], bit_width: int) -> None:
    sizes = sorted((abs(number) for number in w), reverse=True)
    if sizes[0] < 0.05 or sizes[0] - sizes[1] < 1e-3:  # max |tanh w| has a kink where two magnitudes are equal
        w = [*w, 2.75]
    grad = (grad * 2)[: len(w)]

    def smooth(weights: list[float]) -> float:
        return math.fsum(g * (2 * unit - 1) for g, unit in zip(grad, unit_weights(weights), strict=True))

    found = gradient_of(DoReFaWeight(bit_width), torch.tensor(w, dtype=torch.float64), torch.tensor(grad, dtype=torch.float64))
    step = 1e-5
    for i in range(len(w)):
        up, down = ([*w[:i], w[i] + sign * step, *w[i + 1 :]] for sign in (1, -1))
        assert found[i].item() == pytest.approx((smooth(up) - smooth(down)) / (2 * step), rel=1e-4, abs=1e-5)


@given(x=tensors(dtypes=EXACT_DTYPES), bit_width=bit_widths)
def test_activation_codes(x: Tensor, bit_width: int) -> None:
    quantized = check_promises(DoReFaActivation(bit_width), x)
    n = 2**bit_width - 1
    for number, code, value in zip(fractions(x), quantized.code.tolist(), quantized.value.tolist(), strict=True):
        steps = n * min(Fraction(1), max(Fraction(0), number))
        if number == Fraction(1, 2):  # a tie without any rounding error: to the even code
            assert code == round(steps)
        assert abs(code - steps) <= Fraction(1, 2) + Fraction(1, 10**4)
        assert value == pytest.approx(code / n, rel=2 * torch.finfo(x.dtype).eps)


@given(x=tensors(), bit_width=bit_widths)
def test_activation_gradient(x: Tensor, bit_width: int) -> None:
    grad = torch.arange(1, x.numel() + 1).to(x.dtype)
    expected = [g if 0 <= number <= 1 else 0.0 for number, g in zip(x.tolist(), grad.tolist(), strict=True)]
    assert gradient_of(DoReFaActivation(bit_width), x, grad).tolist() == expected


@given(x=tensors(dtypes=EXACT_DTYPES), bit_width=bit_widths)
def test_activation_is_idempotent(x: Tensor, bit_width: int) -> None:
    quantizer = DoReFaActivation(bit_width)
    once = quantizer(x)
    assert torch.equal(quantizer(once), once)


def test_every_activation_code_is_reached() -> None:
    for bit_width in range(1, 9):
        codes = DoReFaActivation(bit_width).quantize(torch.linspace(-0.5, 1.5, 4001)).code
        assert codes.unique().tolist() == list(range(2**bit_width))


@given(w=tensors(), bit_width=st.integers(2, 8))
def test_weights_lie_in_the_unit_range(w: Tensor, bit_width: int) -> None:
    assert float(DoReFaWeight(bit_width)(w).abs().max()) <= 1.0


@pytest.mark.parametrize("kind", [DoReFaWeight, DoReFaActivation])
@pytest.mark.parametrize("bit_width", [0, 9, -1, 32, 2.0, "2", None])
def test_bit_widths_outside_1_to_8(kind: type[DoReFaWeight], bit_width: int) -> None:
    with pytest.raises(InputError, match="`bit_width` to be an integer from 1 to 8"):
        kind(bit_width)
