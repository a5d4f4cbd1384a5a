"""Batches of images: what a loader gives, checked."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from qlight.errors import InputError


def unpack(batch: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Images, labels and, where the batch has them, indices.

    Raises:
        InputError: the batch is something else, or its images are not floats in [0, 1].
    """
    if not isinstance(batch, list | tuple) or len(batch) < 2 or not all(isinstance(part, Tensor) for part in batch[:3]):
        raise InputError(
            f"Expected a batch of (images, labels) or (images, labels, index), but got a {type(batch).__name__}; change the loader."
        )
    images, labels = batch[0], batch[1]
    if not images.is_floating_point() or images.ndim < 2:
        raise InputError(
            f"Expected `images` to be floats N x C x H x W, but got {images.dtype} {tuple(images.shape)}; divide pixels by 255."
        )
    if labels.ndim != 1 or len(labels) != len(images) or labels.is_floating_point():
        raise InputError(
            f"Expected `labels` to be {len(images)} integers, but got {labels.dtype} {tuple(labels.shape)}; pass class indices."
        )
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        raise InputError(
            f"Expected `images` in [0, 1], but got {images.min().item():g} to {images.max().item():g}; "
            "divide pixels by 255 and leave normalization to the network."
        )
    return images, labels.long(), batch[2] if len(batch) > 2 else None


class Images(NamedTuple):
    """Images N x C x H x W in [0, 1], labels and indices (int64, N)."""

    images: Tensor
    labels: Tensor
    index: Tensor


def first_images(datamodule: LightningDataModule, count: int, split: Literal["test", "val"] = "test") -> Images:
    """The first `count` images of a data module's test (or validation) data, all where there are fewer.

    Raises:
        InputError: there is none, or they are not images in [0, 1] with labels.
    """
    datamodule.prepare_data()
    datamodule.setup("test" if split == "test" else "fit")
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    seen = 0
    for batch in datamodule.test_dataloader() if split == "test" else datamodule.val_dataloader():
        images, labels, index = unpack(batch)
        index = torch.arange(seen, seen + len(labels)) if index is None else index
        found.append((images[: count - seen], labels[: count - seen], index[: count - seen]))
        seen += len(found[-1][1])
        if seen >= count:
            break
    if not seen:
        raise InputError(f"Expected {split} data with at least one image, but got none; check the data module.")
    images, labels, index = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Images(images, labels, index)
