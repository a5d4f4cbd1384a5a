"""Are two engines the same? Queries of a run on the one are kept at random, and replayed on the other, integer by integer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from qlight.errors import HardwareError, InputError
from qlight.intgraph.nodes import Array

Query = Callable[[Array], Array]
#: images replayed at a time
_BATCH = 16


class CertificationError(HardwareError):
    """Two engines gave different integers for one image."""


class Sample:
    """Answers queries with another function, and keeps a random sample of them: every image that came is in it with the same chance.

    Put it around the query of a `PixelTarget`: ``target.query = Sample(target.query, 100)``. Images that the target's cache answers do not
    come here, so no image is kept twice for that reason. Threads may share one; a copy or a pickled one begins empty.

    Args:
        query: uint8 N x H x W x C -> int32 N x classes.
        size: images that are kept.
        seed: of the choice.

    Raises:
        InputError: ``size`` or ``seed`` is no whole number from 1, or from 0.

    >>> sample = Sample(lambda images: np.zeros((len(images), 2), np.int32), 3)
    >>> _ = sample(np.zeros((5, 1, 1, 1), np.uint8))
    >>> sample.images.shape, sample.seen
    ((3, 1, 1, 1), 5)
    """

    def __init__(self, query: Query, size: int, seed: int = 0) -> None:
        for name, value, least in (("size", size, 1), ("seed", seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"Expected `{name}` to be a whole number from {least}, but got {value!r}.")
        self.query, self.size, self.seed, self.seen = query, size, seed, 0
        self._kept: list[Array] = []
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()

    @property
    def images(self) -> Array:
        """uint8, n x H x W x C, n at most ``size``: the sample so far.

        Raises:
            InputError: nothing was queried.
        """
        with self._lock:
            if not self._kept:
                raise InputError("Expected queries to certify, but none was made; attack images that are classified correctly.")
            return np.stack(self._kept)

    def __call__(self, images: Array) -> Array:
        found = self.query(images)
        with self._lock:
            for image in images:
                if len(self._kept) < self.size:
                    self._kept.append(image.copy())
                else:
                    place = int(self._random.integers(self.seen + 1))
                    if place < self.size:
                        self._kept[place] = image.copy()
                self.seen += 1
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return Sample, (self.query, self.size, self.seed)


def certify(reference: Query, engine: Query, images: Array) -> int:
    """Replay images on both engines up to the first different integer.

    Args:
        reference: what answered them, such as a `PackedEngine`.
        engine: what must give the same, such as an `RtlSimEngine`.
        images: uint8, N x H x W x C, N at least 1.

    Returns:
        How many images gave the same integers: all.

    Raises:
        InputError: there are no images, or they do not fit the engines.
        CertificationError: an integer differs; the message says which.

    >>> certify(lambda x: x.reshape(len(x), -1), lambda x: x.reshape(len(x), -1), np.zeros((3, 1, 1, 2), np.uint8))
    3
    """
    if not isinstance(images, np.ndarray) or not len(images):
        raise InputError("Expected `images` to hold at least one image, but got none.")
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        expected, found = reference(batch), engine(batch)
        if expected.shape != found.shape:
            raise CertificationError(f"The engines give accumulators of different shapes, {expected.shape} and {found.shape}.")
        different = np.argwhere(expected != found)
        if len(different):
            image, place = different[0]
            raise CertificationError(
                f"Image {start + image} of {len(images)}: accumulator {place} is {expected[image, place]} on {_name(reference)}, but "
                f"{found[image, place]} on {_name(engine)}; {start + image} images before it are equal."
            )
    return len(images)


def _name(engine: Any) -> str:
    return type(engine).__name__
