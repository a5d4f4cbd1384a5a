"""The data set that needs no file."""

from __future__ import annotations

import functools
from typing import Any

from qlight.data.module import ImageDataModule, Source
from qlight.data.rendering import labels, render
from qlight.errors import InputError

#: a process that reads the data set many times, as a worker of a study does, renders it once
_rendered = functools.lru_cache(maxsize=4)(render)


class SyntheticDigits(ImageDataModule):
    """House-number-like 32x32 colour digits, rendered from fonts when first used and kept in memory.

    The label is the digit in the middle; parts of neighbours may show on either side. Font, size, slant, position, colours of either
    polarity, gradients, an edge in the background, blur and noise vary. Every ten consecutive images hold each digit once, and a larger
    data set begins with the images of a smaller one.

    Args:
        train_size: Training images, the validation split included.
        test_size: Test images.
        **kwargs: See `ImageDataModule`; `seed` chooses the images too. A mirrored digit is no digit, so `augment` only crops.
    """

    def __init__(self, train_size: int = 20_000, test_size: int = 2_000, **kwargs: Any) -> None:
        super().__init__(flip=False, **kwargs)
        for name, size in (("train_size", train_size), ("test_size", test_size)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise InputError(f"Expected `{name}` to be a whole number of at least 1, but got {size!r}.")
        self.train_size = train_size
        self.test_size = test_size

    def load(self) -> Source:
        splits = []
        for split, size in enumerate((self.train_size, self.test_size)):
            splits += [_rendered(self.seed, split, size), labels(self.seed, split, size)]
        return Source(*splits)
