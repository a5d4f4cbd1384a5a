"""Random numbers as a pure function of a seed and counters, the same on every machine, worker, process and restart.

SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), its finalizer applied once per counter.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What a random number is for, so that two uses of one seed are independent."""

    SHUFFLE = 1
    AUGMENT = 2
    VALIDATION = 3
    LIMIT = 4
    DIGITS = 5


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def random_bits(seed: int, *counters: int | NDArray[np.integer]) -> NDArray[np.uint64]:
    """64 random bits for each element of the broadcast `counters`; shape: the broadcast shape, at least one-dimensional.

    >>> random_bits(0, Stream.SHUFFLE, np.arange(3)) % np.uint64(10)
    array([2, 3, 4], dtype=uint64)
    """
    bits = _mix(np.array([seed & _MASK], dtype=np.uint64) + _GOLDEN)
    for counter in counters:
        value = np.array([counter & _MASK], dtype=np.uint64) if isinstance(counter, int) else counter.astype(np.uint64)
        bits = _mix((bits ^ value) + _GOLDEN)
    return bits
