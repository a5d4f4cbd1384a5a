"""Between images in [0, 1] and 8-bit pixels: u = round(255 x), half to even, and x = u / 255. The one place that rounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qlight.errors import InputError

LEVELS = 256
#: how far a probe of an attack may be outside [0, 1] (SPSA's by its delta); pixels from 0 to 255 and normalized images are farther
_BEYOND = 0.5


def to_pixels(images: Any, shape: tuple[int, ...]) -> Tensor:
    """8-bit pixels as a device takes them: values outside [0, 1] saturate.

    Args:
        images: N x C x H x W, floating-point, at most 0.5 outside [0, 1].
        shape: (H, W, C) of one image.

    Returns:
        uint8, N x H x W x C, contiguous, on the device of ``images``.

    Raises:
        InputError: anything else.

    >>> to_pixels(torch.tensor([[[[0.0, 0.5 / 255, 1.5 / 255, 1.01]]]]), (1, 4, 1)).flatten()
    tensor([  0,   0,   2, 255], dtype=torch.uint8)
    """
    height, width, channels = shape
    wanted = f"floating-point N x {channels} x {height} x {width} in [0, 1]"
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.shape[1:] != (channels, height, width):
        got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise InputError(f"Expected `images` to be {wanted}, as the target's graph takes them, but got {got}; use data of this shape.")
    images = images.detach()
    if not images.numel():
        return torch.empty((len(images), *shape), dtype=torch.uint8, device=images.device)
    low, high = (end.item() for end in images.aminmax())
    if not (low >= -_BEYOND and high <= 1 + _BEYOND):  # written so that NaN is refused
        raise InputError(f"Expected `images` to be {wanted}, but got {low:g} to {high:g}; divide pixels by 255 and do not normalize.")
    images = images.to(_working(images))  # before the product, which `out` would only store more widely
    scaled = torch.empty((len(images), *shape), dtype=images.dtype, device=images.device)
    torch.mul(images.permute(0, 2, 3, 1), LEVELS - 1, out=scaled)
    scaled.round_()
    if low < 0 or high > 1:
        scaled.clamp_(0, LEVELS - 1)
    return scaled.to(torch.uint8)


def from_pixels(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """The images that pixels stand for: uint8 N x H x W x C -> N x C x H x W, u / 255; `to_pixels` gives the pixels back in any dtype."""
    return pixels.permute(0, 3, 1, 2).to(dtype, memory_format=torch.contiguous_format).div_(LEVELS - 1)


def levels(values: Tensor) -> Tensor:
    """The pixel, 0 to 255, that `to_pixels` makes of each value; of the same shape. NaN stays NaN.

    >>> levels(torch.tensor([0.1, 0.1001, 0.102]))
    tensor([26., 26., 26.])
    """
    return (values.to(_working(values)) * (LEVELS - 1)).round().clamp(0, LEVELS - 1)


def _working(values: Tensor) -> torch.dtype:
    """Where 255 x is computed: float16 and bfloat16 would round it."""
    return torch.promote_types(values.dtype, torch.float32)
