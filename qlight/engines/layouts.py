"""How the packed engine keeps a feature map in memory: whole bytes, or bit planes in 32-bit words; with its borders already around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlight.intgraph.nodes import Array

WORD = 4


@dataclass(frozen=True)
class Layout:
    """One image's map of codes or sums.

    Attributes:
        shape: (height, width, channels) without borders.
        item: bytes of an element, 1 (codes) or 4 (sums); 0 for bit planes.
        planes: bit planes of a code, or 0. A pixel is plane after plane, each of whole words; the rest of a word is 0.
        padding: (top, bottom, left, right) borders, which hold the code ``pad_code``.
    """

    shape: tuple[int, int, int]
    item: int = 1
    planes: int = 0
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_code: int = 0

    @property
    def plane_bytes(self) -> int:
        """Bytes of one bit plane of a pixel."""
        return -(-self.shape[2] // (8 * WORD)) * WORD

    @property
    def pixel_bytes(self) -> int:
        """From a pixel to the next."""
        return self.planes * self.plane_bytes if self.planes else self.item * self.shape[2]

    @property
    def rows(self) -> int:
        """Rows with borders."""
        return self.shape[0] + self.padding[0] + self.padding[1]

    @property
    def row_bytes(self) -> int:
        """From a row to the next, with borders."""
        return (self.shape[1] + self.padding[2] + self.padding[3]) * self.pixel_bytes

    @property
    def image_bytes(self) -> int:
        """From an image to the next: whole cache lines."""
        return -(-self.rows * self.row_bytes // 64) * 64

    @property
    def plain(self) -> bool:
        """Whether the map is elements one after the other, without borders."""
        return not self.planes and not any(self.padding)

    def places(self, ys: Array, xs: Array) -> Array:
        """int64, len(ys) * len(xs): where the pixels of these rows and columns (without borders) begin."""
        rows = (ys + self.padding[0]) * self.row_bytes
        return (rows[:, None] + (xs + self.padding[2]) * self.pixel_bytes).astype(np.int64).ravel()

    def empty_image(self) -> Array:
        """uint8, image_bytes: a map of which only the borders are written."""
        image = np.zeros(self.image_bytes, np.uint8)
        if any(self.padding) and self.pad_code:
            if self.planes:
                bits = np.zeros(8 * self.plane_bytes, np.uint8)
                bits[: self.shape[2]] = 1
                plane = np.packbits(bits, bitorder="little")
                pixel = np.concatenate([plane * (self.pad_code >> index & 1) for index in range(self.planes)])
            else:
                pixel = np.full(self.shape[2], self.pad_code, np.uint8)
            row_pixels = self.row_bytes // self.pixel_bytes
            image[: self.rows * self.row_bytes] = np.tile(pixel, self.rows * row_pixels)
        return image
