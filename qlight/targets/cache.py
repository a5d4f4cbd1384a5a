"""Answers to images that were asked before: found by the pixels themselves, so that no two images are ever confused."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.intgraph.nodes import Array

#: what an entry takes besides its pixels and its answer: two bytes objects and its place in the dictionary
_ENTRY_BYTES = 200


class QueryCache:
    """Keeps the answers to the images last seen; equal images of one batch are asked once.

    Several threads may use one at a time. A copy, or a pickled one, is empty.

    Args:
        limit: bytes that pixels and answers may take; the images that were not seen for the longest time are forgotten first.

    Raises:
        InputError: ``limit`` is no whole number from 0.

    >>> cache = QueryCache(2**20)
    >>> cache(np.array([[[[1]]], [[[2]]], [[[1]]]], np.uint8), lambda images: images.reshape(-1, 1).astype(np.int32) * 10)
    (array([[10],
           [20],
           [10]], dtype=int32), 2)
    """

    def __init__(self, limit: int) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise InputError(f"Expected `cache_bytes` to be a whole number of bytes, 0 for no cache, but got {limit!r}; try 67108864.")
        self.limit = limit
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0

    def __call__(self, images: Array, query: Callable[[Array], Array]) -> tuple[Array, int]:
        """The answers, int32 N x classes, and how many images were asked for them.

        Args:
            images: uint8, N x H x W x C, contiguous.
            query: answers images that are not known: uint8 n x H x W x C -> int32 n x classes.
        """
        pixels, size = images.tobytes(), images[:1].nbytes
        keys = [pixels[start : start + size] for start in range(0, len(pixels), size)] if size else []
        found: list[bytes | None] = []
        with self._lock:
            for key in keys:
                answer = self._answers.get(key)
                if answer is not None:
                    self._answers.move_to_end(key)
                found.append(answer)
        new: dict[bytes, int] = {}  # pixels -> which image of the batch has them first
        for place, (key, answer) in enumerate(zip(keys, found, strict=True)):
            if answer is None:
                new.setdefault(key, place)
        if len(new) == len(images):  # nothing to put together; also a batch of none, whose number of classes only `query` knows
            answers = query(images)
            self._remember(list(new), answers)
            return answers, len(new)
        if new:
            answers = query(images[list(new.values())])
            rows = self._remember(list(new), answers)
            found = [rows[key] if answer is None else answer for key, answer in zip(keys, found, strict=True)]
        return np.frombuffer(b"".join(found), np.int32).reshape(len(images), -1).copy(), len(new)  # type: ignore[arg-type]

    def _remember(self, keys: list[bytes], answers: Array) -> dict[bytes, bytes]:
        """Keep these answers, as far as there is room; the rows by pixels."""
        rows = {key: row.tobytes() for key, row in zip(keys, np.ascontiguousarray(answers, np.int32), strict=True)}
        with self._lock:
            for key, row in rows.items():
                entry = len(key) + len(row) + _ENTRY_BYTES
                if entry > self.limit or key in self._answers:  # another thread may have asked for it meanwhile
                    continue
                self._answers[key] = row
                self._size += entry
                while self._size > self.limit:
                    old, answer = self._answers.popitem(last=False)
                    self._size -= len(old) + len(answer) + _ENTRY_BYTES
        return rows

    def __len__(self) -> int:
        return len(self._answers)

    def __reduce__(self) -> tuple[Any, ...]:
        return QueryCache, (self.limit,)
