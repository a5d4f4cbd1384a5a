"""Small image sets for the tests of the data modules."""

from __future__ import annotations

import numpy as np
import pytest

from qlight.data import ImageDataModule
from qlight.data.module import Source


def random_source(train: int = 50, test: int = 23, seed: int = 0) -> Source:
    """Random pixels, labels 0 to 9 in turn."""
    generator = np.random.default_rng(seed)

    def images(count: int) -> np.ndarray:
        return generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)

    return Source(images(train), np.arange(train) % 10, images(test), np.arange(test) % 10)


class InMemory(ImageDataModule):
    """The smallest data module: `random_source`."""

    def load(self) -> Source:
        return random_source()


@pytest.fixture
def source() -> Source:
    return random_source()


@pytest.fixture
def in_memory() -> type[InMemory]:
    return InMemory
