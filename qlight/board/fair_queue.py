"""Whose images the accelerator takes next: every client that waits gets the same share of images, whatever its batches are."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass(eq=False)
class Request:
    """A batch of one client.

    Attributes:
        client: whose.
        number: what the client calls it.
        pixels: uint8 N x image_bytes.
        deadline: `time.monotonic()` after which nobody waits for it.
        found: int32 N x classes; None until the first piece is done.
        taken: images that were given out, `done`: that are answered.
        asked: `time.monotonic_ns()` at which it came; waited: nanoseconds until its first image was taken; device: on the accelerator.
        dropped: nobody waits for it any more.
    """

    client: Hashable
    number: int
    pixels: np.ndarray[Any, Any]
    deadline: float
    found: np.ndarray[Any, Any] | None = None
    taken: int = 0
    done: int = 0
    asked: int = field(default_factory=time.monotonic_ns)
    waited: int = 0
    device: int = 0
    dropped: bool = False


class Piece(NamedTuple):
    """Images of a request that go to the accelerator together."""

    request: Request
    start: int
    stop: int

    @property
    def pixels(self) -> np.ndarray[Any, Any]:
        return self.request.pixels[self.start : self.stop]


class FairQueue:
    """Start-time fair queueing: each client has a virtual time, the images that it was given; who is behind is next.

    A client that waits for nothing saves up nothing: it comes back at the time of who was served last. Requests of one client keep their
    order. Batches are cut where several clients wait, so that one of thousands of images does not stand before another's single one.

    Args:
        most_images: of a piece.
        shared_images: of a piece while several clients wait.

    >>> queue = FairQueue(100, 10)
    >>> for client, images in (("a", 25), ("b", 5), ("b", 10)):
    ...     queue.put(Request(client, 0, np.zeros((images, 1), np.uint8), 0.0))
    >>> [(piece.request.client, piece.stop - piece.start) for piece in iter(lambda: queue.take(0), None)]
    [('a', 10), ('b', 5), ('b', 10), ('a', 15)]
    """

    def __init__(self, most_images: int, shared_images: int) -> None:
        self.most_images, self.shared_images = most_images, min(shared_images, most_images)
        self._waiting: dict[Hashable, deque[Request]] = {}
        self._times: dict[Hashable, int] = {}  # of clients that wait, and of those that did until the time that was served last
        self._now = 0
        self._changed = threading.Condition()
        self._images = 0

    @property
    def images(self) -> int:
        """That wait."""
        return self._images

    def put(self, request: Request) -> None:
        """Line a request up."""
        with self._changed:
            if request.client not in self._waiting:
                self._waiting[request.client] = deque()
                self._times[request.client] = max(self._now, self._times.get(request.client, 0))
            self._waiting[request.client].append(request)
            self._images += len(request.pixels)
            self._changed.notify()

    def take(self, timeout: float) -> Piece | None:
        """The next piece; None where there is none within `timeout` seconds."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout)
            self._clean()
            if not self._waiting:
                return None
            client = min(self._waiting, key=lambda each: self._times[each])  # the first of equals: who waits for longer
            requests = self._waiting[client]
            request = requests[0]
            most = self.most_images if len(self._waiting) == 1 else self.shared_images
            piece = Piece(request, request.taken, min(len(request.pixels), request.taken + most))
            images = piece.stop - piece.start
            if request.taken == 0:
                request.waited = time.monotonic_ns() - request.asked
            request.taken = piece.stop
            self._images -= images
            self._now = self._times[client]
            self._times[client] += images
            if request.taken == len(request.pixels):
                requests.popleft()
            # to the end of the order, so that equals take turns
            del self._waiting[client]
            if requests:
                self._waiting[client] = requests
            return piece

    def drop(self, request: Request) -> None:
        """Nobody waits for it any more: what is not taken of it stays where it is and is skipped."""
        request.dropped = True
        with self._changed:
            self._clean()

    def forget(self, client: Hashable) -> None:
        """A client has left: its requests are dropped."""
        with self._changed:
            for request in self._waiting.get(client, ()):
                request.dropped = True
            self._clean()
            self._times.pop(client, None)

    def _clean(self) -> None:
        """Take dropped requests out."""
        for client, requests in list(self._waiting.items()):
            if any(request.dropped for request in requests):
                kept = deque(request for request in requests if not request.dropped)
                self._images -= sum(len(request.pixels) - request.taken for request in requests if request.dropped)
                if kept:
                    self._waiting[client] = kept
                else:
                    del self._waiting[client]
