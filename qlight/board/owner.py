"""The one thread that touches the accelerator: it runs pieces of batches, and brings the accelerator back when it fails."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qlight.board.accelerator import COUNTER_SECONDS, LOAD_SECONDS, RESET_SECONDS, Accelerator, DeviceError, Parameters
from qlight.board.fair_queue import FairQueue, Piece, Request
from qlight.errors import InputError

log = logging.getLogger("qlight.board")

#: seconds that opening an accelerator may take (a bitstream over PYNQ.remote is slow), and those after a deadline until a call is stuck
OPEN_SECONDS, GRACE_SECONDS = 120.0, 5.0
#: seconds between attempts to bring an accelerator back, at first and at most
_PAUSES = (0.05, 2.0)
#: seconds between two readings of the accelerator's counters while it works
_COUNTED_EVERY = 1.0


@dataclass(frozen=True)
class Care:
    """How the accelerator is treated.

    Attributes:
        device_seconds: that a piece may take on the accelerator.
        attempts: how often a piece is run before its request fails, resets and reloads in between.
        verify: run every piece twice, and take the answer only where both are equal.
    """

    device_seconds: float = 10.0
    attempts: int = 3
    verify: bool = False


@dataclass
class Counts:
    """What happened since the start: images and pieces answered, failures seen, resets and new starts of the accelerator after them."""

    images: int = 0
    pieces: int = 0
    failures: int = 0
    resets: int = 0
    reopened: int = 0
    device_seconds: float = 0.0
    last_failure: str = ""


class Owner:
    """Opens an accelerator, loads it, and runs what a queue holds, in a thread of its own.

    After a failure the accelerator is reset, its parameters are loaded again, and it must give a canary, an image of noise, the answer that
    it gave at the start: a stream that lost or gained a word would give every later image the answer of another. Where that does not help,
    it is closed and opened anew, until it works or nobody waits.

    Args:
        open_accelerator: makes one; called again after a failure that a reset does not mend.
        done: called in the owner's thread with a request and None when it is answered, or why it failed.
        parameters: to be loaded; None: the accelerator holds its network already.

    Attributes:
        counts: what happened.
        counters: of the hardware, as they were last read (`Accelerator.counters`): once a second, and when the queue is empty.
        trouble: what is wrong with the accelerator now; "" where nothing is.
    """

    def __init__(
        self,
        open_accelerator: Callable[[], Accelerator],
        done: Callable[[Request, Exception | None], None],
        parameters: Parameters | None = None,
        care: Care | None = None,
        shared_images: int = 256,
    ) -> None:
        self._open_accelerator, self._done, self._parameters, self._care = open_accelerator, done, parameters, care or Care()
        self._shared_images = shared_images
        self.counts, self.trouble = Counts(), ""
        self.counters: dict[str, Any] = {}
        self._counted = (0, 0.0)  # after which piece, and at what `time.monotonic()`
        self._accelerator: Accelerator | None = None
        self._first: tuple[Any, np.ndarray[Any, Any]] | None = None  # what it was, and its answer to the canary, at the start
        self._overdue = float("inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="qlight-accelerator", daemon=True)
        self._opened = threading.Event()
        self._refused: DeviceError | InputError | None = None
        self.queue: FairQueue

    def start(self) -> Accelerator:
        """Open and load the accelerator; what it is.

        Raises:
            DeviceError, InputError: it cannot be opened, or does not take the parameters.
        """
        self._thread.start()
        if not self._opened.wait(OPEN_SECONDS + LOAD_SECONDS):
            raise DeviceError(f"The accelerator did not start within {OPEN_SECONDS + LOAD_SECONDS:g} s.")
        if self._refused is not None:
            raise self._refused
        assert self._accelerator is not None
        return self._accelerator

    def stop(self, seconds: float = GRACE_SECONDS) -> bool:
        """End the thread and close the accelerator; whether that worked in time."""
        self._stopping.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def stuck(self) -> float:
        """Seconds since a call of the accelerator should have ended by its own deadline and a grace; 0 where none is late."""
        return max(0.0, time.monotonic() - self._overdue)

    def _work(self) -> None:
        try:
            accelerator = self._opened_anew()
            self.queue = FairQueue(accelerator.most_images, self._shared_images)
        except Exception as error:
            self._refused = error if isinstance(error, DeviceError | InputError) else DeviceError(_words(error))
            return
        finally:
            self._opened.set()
        while not self._stopping.is_set():
            piece = self.queue.take(timeout=0.1)
            if piece is not None:
                self._serve(piece)
            self._count(idle=piece is None)
        self._close()

    def _serve(self, piece: Piece) -> None:
        request = piece.request
        try:
            start = time.monotonic_ns()
            found = self._answer(piece)
            request.device += time.monotonic_ns() - start
        except Exception as error:
            if not request.dropped:
                self.queue.drop(request)
                self._done(request, error)
            return
        if request.found is None:
            request.found = np.empty((len(request.pixels), found.shape[1]), np.int32)
        request.found[piece.start : piece.stop] = found
        request.done = piece.stop
        if request.done == len(request.pixels) and not request.dropped:
            self._done(request, None)

    def _count(self, idle: bool) -> None:
        """Read the accelerator's counters where they are old; a failure is one of the accelerator's, which the next piece mends."""
        pieces, at = self._counted
        fresh = pieces != self.counts.pieces and (idle or time.monotonic() > at + _COUNTED_EVERY)
        if self.trouble or self._accelerator is None or not fresh:
            return
        try:
            with self._watched(COUNTER_SECONDS):
                self.counters = self._accelerator.counters(COUNTER_SECONDS)
        except Exception as error:  # pynq and its gRPC raise anything
            self._failed(error)
        self._counted = self.counts.pieces, time.monotonic()

    def _answer(self, piece: Piece) -> np.ndarray[Any, Any]:
        """The accumulators of a piece, whatever it takes until its request's deadline."""
        runs, pause = 0, _PAUSES[0]
        while True:
            healthy = False
            try:
                accelerator = self._healthy()
                healthy = True
                found = self._run(accelerator, piece.pixels)
                if self._care.verify and not np.array_equal(found, self._run(accelerator, piece.pixels)):
                    raise DeviceError("two runs of the same images gave different answers")
                self.counts.images += len(found)
                self.counts.pieces += 1
                return found
            except Exception as error:  # pynq and its gRPC raise anything
                self._failed(error)
                runs += healthy
                if runs >= self._care.attempts:
                    raise DeviceError(f"the accelerator failed {runs} times, resets in between: {self.trouble}") from error
            if piece.request.dropped or time.monotonic() + pause > piece.request.deadline or self._stopping.wait(pause):
                raise DeviceError(f"the accelerator did not come back in time: {self.trouble}")
            pause = min(2 * pause, _PAUSES[1])

    def _run(self, accelerator: Accelerator, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with self._watched(self._care.device_seconds):
            start = time.monotonic()
            found = accelerator.run(pixels, self._care.device_seconds)
            self.counts.device_seconds += time.monotonic() - start
        if not isinstance(found, np.ndarray) or found.dtype != np.int32 or found.shape != (len(pixels), accelerator.classes):
            raise DeviceError(f"the answer to {len(pixels)} images is not int32 {len(pixels)} x {accelerator.classes}")
        return found

    def _failed(self, error: Exception) -> None:
        self.trouble = self.counts.last_failure = _words(error)
        self.counts.failures += 1
        log.warning("accelerator: %s", self.trouble)

    def _healthy(self) -> Accelerator:
        """The accelerator, reset or opened anew where it is in trouble."""
        accelerator = self._accelerator
        if accelerator is None:
            accelerator = self._opened_anew()
            self.counts.reopened += 1
        elif self.trouble:
            try:
                with self._watched(RESET_SECONDS):
                    accelerator.reset(RESET_SECONDS)
                self._prepare(accelerator)
                self.counts.resets += 1
            except Exception:
                self._close()
                raise
        self.trouble = ""
        return accelerator

    def _opened_anew(self) -> Accelerator:
        with self._watched(OPEN_SECONDS):
            accelerator = self._open_accelerator()
        try:
            self._prepare(accelerator)
        except BaseException:
            accelerator.close()
            raise
        self._accelerator = accelerator
        return accelerator

    def _prepare(self, accelerator: Accelerator) -> None:
        """Load the parameters, and see that the network is what it was at the start."""
        if self._parameters is not None:
            with self._watched(LOAD_SECONDS):
                accelerator.load(self._parameters, LOAD_SECONDS)
        hashes = (accelerator.graph_hash, accelerator.geometry_hash, accelerator.bitstream_hash)
        identity = (*hashes, accelerator.image_bytes, accelerator.classes, accelerator.most_images)
        noise = np.random.default_rng(0).integers(0, 256, (1, accelerator.image_bytes)).astype(np.uint8)
        answer = self._run(accelerator, noise)
        if self._first is None:
            self._first = identity, answer
        if identity != self._first[0]:
            raise DeviceError("the accelerator came back as another one")
        if not np.array_equal(answer, self._first[1]):
            raise DeviceError("the accelerator gives the canary another answer than at the start")

    @contextlib.contextmanager
    def _watched(self, seconds: float) -> Iterator[None]:
        self._overdue = time.monotonic() + seconds + GRACE_SECONDS
        try:
            yield
        finally:
            self._overdue = float("inf")

    def _close(self) -> None:
        accelerator, self._accelerator = self._accelerator, None
        if accelerator is not None:
            with contextlib.suppress(Exception), self._watched(RESET_SECONDS):
                accelerator.close()


def _words(error: Exception) -> str:
    """An error in one line."""
    return " ".join((str(error) or type(error).__name__).split())[:300]
