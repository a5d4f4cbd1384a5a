"""Images in memory: a whole batch is gathered, augmented and converted at once, with no Python work per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qlight.data.batch import Batch
from qlight.data.counter import Stream, random_bits


class Augmentation(NamedTuple):
    """Random crop after `padding` pixels of zero padding, and a horizontal flip where `flip`, keyed by (seed, epoch, index)."""

    seed: int
    flip: bool
    padding: int = 4

    def __call__(self, images: NDArray[np.uint8], epoch: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """`images`: N x H x W x C; `epoch`, `index`: N. Returns the same shape."""
        bits = random_bits(self.seed, Stream.AUGMENT, epoch, index)
        offsets = np.uint64(2 * self.padding + 1)
        # Disjoint parts of the 64 bits; the bias of the remainder is below 1e-8.
        top = ((bits & np.uint64(0x7FFFFFFF)) % offsets).astype(np.intp)
        left = (((bits >> np.uint64(31)) & np.uint64(0x7FFFFFFF)) % offsets).astype(np.intp)
        count, height, width, channels = images.shape
        padded = np.zeros((count, height + 2 * self.padding, width + 2 * self.padding, channels), dtype=np.uint8)
        inner = padded[:, self.padding : self.padding + height, self.padding : self.padding + width]
        inner[:] = images
        if self.flip:
            mirrored = (bits >> np.uint64(63)).astype(bool)
            inner[mirrored] = images[mirrored, :, ::-1]
        # All crops as views, the last axis a run of width * channels bytes in memory, so that a crop is copied row by row.
        by_image, by_row, by_pixel, by_byte = padded.strides
        crops = np.lib.stride_tricks.as_strided(
            padded,
            shape=(count, 2 * self.padding + 1, 2 * self.padding + 1, height, width * channels),
            strides=(by_image, by_row, by_pixel, by_row, by_byte),
            writeable=False,
        )
        return crops[np.arange(count), top, left].reshape(images.shape)


class ImageDataset(Dataset[Batch]):
    """A part of a set of 8-bit images.

    `images`: uint8, M x 32 x 32 x 3; `labels`: M; `index`: the rows that belong to this part (all where None), kept as `Batch.index`.
    A key is a position in this part or a pair (epoch, position); `__getitems__` takes a list of keys and returns one `Batch`.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        index: NDArray[np.int64] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.images = images
        self.labels = np.ascontiguousarray(labels, dtype=np.int64)
        self.index = np.arange(len(images)) if index is None else index
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | tuple[int, int]) -> Batch:
        """One image, as a batch without its first dimension."""
        return Batch(*(value[0] for value in self.__getitems__([key])))

    def __getitems__(self, keys: Sequence[int] | Sequence[tuple[int, int]] | Sequence[int | tuple[int, int]]) -> Batch:
        table = np.asarray(keys, dtype=np.int64)
        epoch, position = (np.zeros_like(table), table) if table.ndim == 1 else (table[:, 0], table[:, 1])
        index = self.index[position]
        images = self.images[index]
        if self.augmentation is not None:
            images = self.augmentation(images, epoch, index)
        return Batch(to_float(images), torch.from_numpy(self.labels[index]), torch.from_numpy(index))


def to_float(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8, N x H x W x C -> float32, N x C x H x W, u/255 correctly rounded."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return tensor.to(torch.float32).div_(255)
