"""A cache changes what is computed, and nothing else."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.targets import QueryCache

SHAPE = (2, 2, 3)


class Sums:
    """Answers that tell images apart, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.asked += [image.tobytes() for image in images]
        weights = np.arange(1, 13)[:, None] ** np.arange(1, 4)
        return (images.reshape(len(images), 12).astype(np.int64) @ weights).astype(np.int32)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=8), st.sampled_from((0, 500, 900, 1 << 20)))
def test_any_batches_with_any_room(batches: list[list[int]], limit: int) -> None:
    kinds = np.random.default_rng(0).integers(0, 256, (10, *SHAPE), dtype=np.uint8)
    cache, query = QueryCache(limit), Sums()
    total = 0
    for numbers in batches:
        images = kinds[numbers]
        answers, computed = cache(images, query)
        assert answers.dtype == np.int32
        assert (answers == Sums()(images)).all()
        assert answers.shape == (len(numbers), 3)
        assert computed <= len(set(numbers))
        total += computed
        answers[:] = -1  # whoever gets them may write to them
    assert total == len(query.asked)
    if limit == 1 << 20:
        assert total == len({number for numbers in batches for number in numbers})
    assert len(cache) * (12 + 12 + 200) <= limit


def test_the_images_not_seen_for_the_longest_time_are_forgotten() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] + np.zeros((4, *SHAPE), np.uint8)
    cache, query = QueryCache(3 * (12 + 12 + 200)), Sums()
    cache(images[:3], query)
    cache(images[:1], query)
    cache(images[3:], query)  # in place of image 1
    assert [cache(images[number : number + 1], query)[1] for number in (0, 2, 3)] == [0, 0, 0]
    assert cache(images[1:2], query)[1] == 1


def test_threads() -> None:
    kinds = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)
    cache, together = QueryCache(20 * (12 + 12 + 200)), threading.Barrier(4)

    def ask(seed: int) -> bool:
        rng, query = np.random.default_rng(seed), Sums()
        together.wait()
        for _ in range(100):
            images = kinds[rng.integers(0, 40, 16)]
            if not (cache(images, query)[0] == Sums()(images)).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert len(cache) <= 20


def test_a_copy_is_empty() -> None:
    cache = QueryCache(10_000)
    cache(np.zeros((1, *SHAPE), np.uint8), Sums())
    copy = pickle.loads(pickle.dumps(cache))
    assert (len(cache), len(copy), copy.limit) == (1, 0, 10_000)


@pytest.mark.parametrize("limit", [-1, 1.5, True, None])
def test_bad_limits(limit: object) -> None:
    with pytest.raises(InputError, match="`cache_bytes` to be a whole number"):
        QueryCache(limit)  # type: ignore[arg-type]
