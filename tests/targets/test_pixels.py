"""One rounding, u = round(255 x), for what a target sees, what is recorded, and what provably changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qlight.errors import InputError
from qlight.targets.pixels import from_pixels, levels, to_pixels

SHAPE = (4, 5, 3)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def image(values: Tensor) -> Tensor:
    """60 values as 1 x 3 x 4 x 5."""
    return values.reshape(1, 3, 4, 5)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(DTYPES), st.sampled_from((0.0, 0.4)))
def test_rounding_is_numpy_s_of_255_x_and_stays(seed: int, dtype: torch.dtype, beyond: float) -> None:
    rng = np.random.default_rng(seed)
    given_values = torch.from_numpy(rng.uniform(-beyond, 1 + beyond, 60))
    ties = torch.from_numpy((rng.integers(0, 255, 60) + 0.5) / 255)
    images = image(torch.where(torch.from_numpy(rng.random(60) < 0.3), ties, given_values)).to(dtype)
    pixels = to_pixels(images, SHAPE)
    wide = images.double() if dtype == torch.float64 else images.float()
    expected = np.clip(np.rint(wide.numpy() * wide.numpy().dtype.type(255)), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    assert (pixels.numpy() == expected).all()
    assert pixels.is_contiguous()
    assert (levels(images).permute(0, 2, 3, 1) == pixels).all()
    seen = from_pixels(pixels, dtype)
    assert seen.dtype == dtype
    assert 0 <= seen.min() <= seen.max() <= 1
    assert (to_pixels(seen, SHAPE) == pixels).all(), "what is recorded is what was seen"
    assert torch.equal(from_pixels(to_pixels(seen, SHAPE), dtype), seen)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_levels_stay(dtype: torch.dtype) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert (to_pixels(from_pixels(pixels, dtype), (16, 16, 1)) == pixels).all()


def test_images_lie_anyhow_in_memory_and_may_be_none() -> None:
    images = torch.rand(6, 3, 4, 5)
    expected = to_pixels(images, SHAPE)
    assert (to_pixels(images.to(memory_format=torch.channels_last), SHAPE) == expected).all()
    assert (to_pixels(images.flip(3).flip(3)[::2], SHAPE) == expected[::2]).all()
    assert to_pixels(images[:0], SHAPE).shape == (0, *SHAPE)
    assert from_pixels(expected, torch.float32).is_contiguous()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 3, 5, 4), r"N x 3 x 4 x 5 in \[0, 1\].*torch.float32 of shape \(2, 3, 5, 4\)"),
        (torch.zeros(3, 4, 5), r"shape \(3, 4, 5\)"),
        (torch.zeros(2, 3, 4, 5, dtype=torch.uint8), "torch.uint8"),
        (np.zeros((2, 3, 4, 5)), "a ndarray"),
        (torch.full((2, 3, 4, 5), torch.nan), "nan"),
        (torch.full((2, 3, 4, 5), torch.inf), "inf; divide pixels by 255"),
        (torch.full((2, 3, 4, 5), 200.0), "200; divide pixels by 255"),
        (torch.full((2, 3, 4, 5), -0.6), "-0.6 to -0.6"),
    ],
)
def test_what_are_no_images(images: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_pixels(images, SHAPE)
