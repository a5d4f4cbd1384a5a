"""BinaryConnect and BinaryNet: sign, equation (1), and the stochastic sign's probability."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qlight.quantization import BinaryConnect, BinaryNet

from .helpers import DTYPES, check_promises, gradient_of, same_bits, tensors

both = pytest.mark.parametrize("kind", [BinaryConnect, BinaryNet])


@both
@given(x=tensors())
def test_value_and_code(kind: type[BinaryConnect] | type[BinaryNet], x: Tensor) -> None:
    quantized = check_promises(kind(), x)
    assert quantized.value.tolist() == [-1.0 if number < 0 else 1.0 for number in x.tolist()]
    assert quantized.code.tolist() == [0 if number < 0 else 1 for number in x.tolist()]


@both
@pytest.mark.parametrize("stochastic", [False, True])
@given(x=tensors())
def test_gradient_is_equation_1(kind: type[BinaryConnect] | type[BinaryNet], stochastic: bool, x: Tensor) -> None:
    grad = torch.arange(1, x.numel() + 1).to(x.dtype)
    expected = [g if abs(number) <= 1 else 0.0 for number, g in zip(x.tolist(), grad.tolist(), strict=True)]
    assert gradient_of(kind(stochastic), x, grad).tolist() == expected


@both
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_stochastic_probability(kind: type[BinaryConnect] | type[BinaryNet], dtype: torch.dtype) -> None:
    draws = 20_000
    torch.manual_seed(0)
    for number in (-2.0, -1.0, -0.75, -0.25, 0.0, 0.5, 1.0, 3.0):
        share = kind(stochastic=True)(torch.full((draws,), number, dtype=dtype)).eq(1).double().mean().item()
        probability = min(1.0, max(0.0, (number + 1) / 2))
        sigma = math.sqrt(probability * (1 - probability) / draws)
        assert abs(share - probability) <= 5 * sigma, number


def test_the_sign_has_the_mean_of_the_latent_weight() -> None:
    """The reason for the stochastic sign: inside [-1, 1] its expectation is x."""
    torch.manual_seed(1)
    x = torch.linspace(-0.9, 0.9, 7)
    mean = BinaryConnect(stochastic=True)(x.expand(40_000, 7)).mean(dim=0)
    assert float((mean - x).abs().max()) <= 5 / math.sqrt(40_000)


def test_stochastic_is_deterministic_in_evaluation_and_seeded_in_training() -> None:
    x = torch.linspace(-0.9, 0.9, 500)
    quantizer = BinaryNet(stochastic=True)
    torch.manual_seed(5)
    first, second = quantizer(x), quantizer(x)
    torch.manual_seed(5)
    assert same_bits(quantizer(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(quantizer.eval()(x), BinaryNet()(x))


@given(st.sampled_from([BinaryConnect, BinaryNet]), tensors())
def test_idempotent(kind: type[BinaryConnect], x: Tensor) -> None:
    once = kind()(x)
    assert same_bits(kind()(once), once)


def test_what_networks_ask() -> None:
    assert BinaryNet().pad_value == -1.0
    assert BinaryConnect().pad_value == 0.0
    assert BinaryNet().clip_latent
    assert BinaryConnect().clip_latent
