"""Images as a graph takes them (uint8, channels last) and as a torch network does (x = u/255, channels first)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from qlight.errors import InputError
from qlight.models.network import IMAGE_SHAPE

CHANNELS, HEIGHT, WIDTH = IMAGE_SHAPE


def pixels(name: str, images: Any) -> np.ndarray:
    """uint8 pixels, N x 32 x 32 x 3.

    Args:
        name: of the argument, for the error.
        images: a tensor or array N x 3 x 32 x 32 or N x 32 x 32 x 3, uint8, or real numbers in [0, 1], which are rounded to u/255.

    Raises:
        InputError: anything else, or no image at all.

    >>> pixels("images", torch.full((1, 3, 32, 32), 0.5)).max()
    np.uint8(128)
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
    wanted = f"Expected `{name}` to be images N x {CHANNELS} x {HEIGHT} x {WIDTH}, uint8 or real numbers in [0, 1]"
    if not isinstance(array, np.ndarray):
        raise InputError(f"{wanted}, but got {type(images).__name__}; give a tensor or an array.")
    first, last = (CHANNELS, HEIGHT, WIDTH), (HEIGHT, WIDTH, CHANNELS)
    if array.ndim != 4 or array.shape[1:] not in (first, last) or not len(array):
        raise InputError(f"{wanted}, but got the shape {' x '.join(map(str, array.shape))}; give at least one such image.")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # false for NaN
            raise InputError(f"{wanted}, but got real numbers from {low:g} to {high:g}; divide pixels by 255.")
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"{wanted}, but got {array.dtype}; convert pixels to uint8.")
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if array.shape[1:] == first else array)


def unit_images(array: np.ndarray) -> Tensor:
    """float32 images in [0, 1], N x 3 x 32 x 32 in channels_last, of uint8 pixels N x 32 x 32 x 3: what the networks are trained on."""
    return torch.from_numpy(array).permute(0, 3, 1, 2).float().div_(255)
