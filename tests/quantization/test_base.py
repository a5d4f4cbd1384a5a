"""The checks of arguments that all quantizers share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.quantization.base import check_bit_width, check_floating, widen

from .helpers import DTYPES


@given(st.integers(-5, 40))
def test_bit_width_range(bit_width: int) -> None:
    if 1 <= bit_width <= 8:
        assert check_bit_width("bits", bit_width) == bit_width
    else:
        with pytest.raises(InputError, match=f"`bits` to be an integer from 1 to 8, but got {bit_width}"):
            check_bit_width("bits", bit_width)


def test_full_precision_only_on_request() -> None:
    assert check_bit_width("bits", 32, full_precision=True) == 32
    with pytest.raises(InputError, match="from 1 to 8, or 32 for full precision, but got 16"):
        check_bit_width("bits", 16, full_precision=True)


@pytest.mark.parametrize("wrong", [2.0, "2", None, True, [2]])
def test_bit_width_of_another_type(wrong: object) -> None:
    with pytest.raises(InputError, match="to be an integer"):
        check_bit_width("bits", wrong)  # type: ignore[arg-type]


def test_floating() -> None:
    for dtype in DTYPES:
        check_floating("x", torch.zeros(1, dtype=dtype))
    for dtype in (torch.int32, torch.uint8, torch.bool, torch.complex64):
        with pytest.raises(InputError, match="`x` to be a floating-point tensor"):
            check_floating("x", torch.zeros(1, dtype=dtype))


def test_widen() -> None:
    assert [widen(torch.zeros(1, dtype=dtype)).dtype for dtype in DTYPES] == [torch.float32] * 3 + [torch.float64]
