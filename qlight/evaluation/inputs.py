"""The images that something is measured on, and their labels, checked."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from qlight.errors import InputError


def check_images(images: Any, labels: Any) -> None:
    """Refuse what are no images in [0, 1] with a class index from 0 each.

    Raises:
        InputError: another type, shape or range, or no image.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4 or not len(images):
        got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"Expected `images` to be at least one floating-point image, N x C x H x W, but got {got}; divide pixels by 255.")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise InputError("Expected `images` in [0, 1], but got a value outside or NaN; divide pixels by 255 and do not normalize.")
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (len(images),):
        got = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise InputError(f"Expected `labels` to be {len(images)} class indices, but got {got}; pass the labels of the images.")
    if int(labels.min()) < 0:
        raise InputError(f"Expected `labels` to be class indices from 0, but got {int(labels.min())}; relabel or drop these images.")
