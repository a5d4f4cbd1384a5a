"""The accelerator behind pynq, on the board itself or through PYNQ.remote: every call ends by its deadline, whatever pynq does."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qlight.board.accelerator import COUNTER_SECONDS, LOAD_SECONDS, RESET_SECONDS, DeviceError, DeviceTimeout, Parameters
from qlight.board.overlay import find_overlay, named_by_content
from qlight.board.pynq_session import Session
from qlight.errors import InputError
from qlight.files import cache_folder
from qlight.hardware import registers

OPEN_SECONDS, CLOSE_SECONDS = 120.0, 2.0
#: bytes that one transfer of the DMA may have (c_sg_length_width = 26)
MOST_BYTES = 2**26 - 1
_Found = TypeVar("_Found")


class PynqAccelerator:
    """An `Accelerator` of an overlay: loads the bitstream, moves images through the DMA, and checks after every run that the registers are
    still those of the same design and network, and count the images that were sent.

    pynq waits for ever where a board does not answer. So it is called in a thread. Before a remote board that can be left behind: the
    connection is cut, which ends what it does, and the accelerator must be opened anew. On the board itself nothing could keep it from
    touching the fabric later, beside its successor; there such a call does not end, and the process must (`Owner.stuck`).

    Args:
        folder: with the overlay's bitstream and .hwh (`find_overlay`).
        most_images: at once; for so many, buffers are made as they are needed.
        remote: address of a PYNQ.remote daemon; None: the board that this runs on.
        seconds: that opening may take.

    Raises:
        InputError: there is no overlay in the folder.
        DeviceError, DeviceTimeout: the board cannot be opened.
    """

    def __init__(self, folder: str | Path, most_images: int = 1024, remote: str | None = None, seconds: float = OPEN_SECONDS) -> None:
        cache = cache_folder()
        overlay = named_by_content(find_overlay(folder), cache / "overlays")
        self._thread = _Worker(replaceable=remote is not None)
        self._session: Session | None = None
        self._closed = ""  # why there is none

        def open_session(until: float) -> Session:
            self._session = Session(overlay, remote, cache / "pynq.lock")
            return self._session

        try:
            session = self._call(open_session, seconds)
            self.bitstream_hash = overlay.bitstream_hash
            self.image_bytes, self.classes, self.weight_bytes = session.image_bytes, session.classes, session.weights.sizes
            self.most_images = max(1, min(most_images, MOST_BYTES // max(self.image_bytes, 4 * self.classes)))
            self.parameter_words, self.graph_hash, self.geometry_hash = self._call(
                lambda until: (
                    session.read(registers.PARAMETER_WORDS),
                    session.read_hash(registers.GRAPH_HASH),
                    session.read_hash(registers.GEOMETRY_HASH),
                ),
                seconds,
            )
        except BaseException:
            self.close()
            raise
        self.description = f"pynq {session.version}, {getattr(session.device, 'name', 'a board')}" + (f" at {remote}" if remote else "")

    def run(self, pixels: np.ndarray[Any, Any], deadline: float) -> np.ndarray[Any, Any]:
        """See `Accelerator.run`."""
        session = self._open()

        def work(until: float) -> np.ndarray[Any, Any]:
            found = session.run(pixels, until, self.most_images)
            self._check(session)
            return found

        return self._call(work, deadline)

    def load(self, parameters: Parameters, deadline: float = LOAD_SECONDS) -> None:
        """See `Accelerator.load`."""
        words, sizes = parameters.words, tuple(weights.nbytes for weights in parameters.weights)
        if len(words) != self.parameter_words or words.dtype != np.uint32:
            raise InputError(
                f"Expected `words` to be {self.parameter_words} uint32, as the accelerator says, but got {len(words)} {words.dtype}; "
                "give parameters.bin of a build of the same geometry."
            )
        if sizes != self.weight_bytes:
            raise InputError(
                f"Expected `weights` of {_listed(self.weight_bytes)} bytes for the streamed layers, as the accelerator says, but got "
                f"{_listed(sizes)}; give dram/ of a build of the same geometry."
            )
        session = self._open()
        self._call(lambda until: session.load(parameters, until), deadline)
        self.graph_hash = parameters.graph_hash

    def reset(self, deadline: float = RESET_SECONDS) -> None:
        """See `Accelerator.reset`. Where the connection is lost, or another design answers, it raises: then open it anew."""
        session = self._open()

        def work(until: float) -> None:
            session.check_identity()
            session.rest()
            self._check(session, graph=False)  # the owner loads again

        self._call(work, deadline)

    def counters(self, deadline: float = COUNTER_SECONDS) -> dict[str, Any]:
        """See `Accelerator.counters`."""
        session = self._open()
        return self._call(lambda until: session.counters(), deadline)

    def close(self) -> None:
        """See `Accelerator.close`."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):
                self._thread.call(lambda: session.close(), CLOSE_SECONDS)
            with contextlib.suppress(Exception):
                session.cut()
        self._thread.end()

    def _check(self, session: Session, graph: bool = True) -> None:
        """See that the design is still that of the start, and the network the one that was loaded: 32 bits of each hash."""
        stated = [(registers.GEOMETRY_HASH[0], self.geometry_hash, "design")]
        stated += [(registers.GRAPH_HASH[0], self.graph_hash, "network")] if graph else []
        for offset, due, what in stated:
            found = session.read(offset)
            if found != int(due[:8], 16):
                raise DeviceError(f"the fabric holds another {what}: {found:08x} where {due[:8]} must be")

    def _open(self) -> Session:
        if self._session is None:
            raise DeviceError(f"the connection to the accelerator is closed{self._closed}; open it anew")
        return self._session

    def _call(self, work: Callable[[float], _Found], seconds: float) -> _Found:
        """Work with a deadline; a thread that does not come back is left behind, and the connection cut so that it ends."""
        until = time.monotonic() + seconds
        try:
            return self._thread.call(lambda: work(until), seconds)
        except (DeviceError, InputError) as error:
            if self._thread.lost and self._session is not None:
                self._closed = f" ({error})"
                with contextlib.suppress(Exception):
                    self._session.cut()
                self._session = None
            raise
        except Exception as error:  # pynq, its gRPC, the system: anything
            details = getattr(error, "details", None)
            text = str(details()) if callable(details) else str(error)
            raise DeviceError(f"pynq failed: {' '.join(text.split()) or type(error).__name__}") from error


def _listed(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes)) or "no"


class _Worker:
    """A thread that does what it is given, one thing after the other.

    Args:
        replaceable: give it up where it does not finish in time.

    Attributes:
        lost: whether it was given up; it is of no more use then.
    """

    #: what a call may take longer than its own deadline, which it watches itself, until it is given up
    GRACE = 1.0

    def __init__(self, replaceable: bool) -> None:
        self.replaceable, self.lost = replaceable, False
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], _Outcome] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="qlight-pynq", daemon=True).start()

    def call(self, work: Callable[[], _Found], seconds: float) -> _Found:
        """What `work` returns or raises.

        Raises:
            DeviceTimeout: it does neither in time, and is given up.
        """
        if self.lost:
            raise DeviceError("the connection to the accelerator is lost; open it anew")
        outcome = _Outcome()
        self._work.put((work, outcome))
        if not outcome.there.wait(seconds + self.GRACE if self.replaceable else None):
            self.lost = True
            raise DeviceTimeout(f"the board did not answer within {seconds:g} s")
        if outcome.error is not None:
            raise outcome.error
        return outcome.found

    def end(self) -> None:
        """End it once it has nothing to do."""
        self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, outcome = item
            try:
                outcome.found = work()
            except BaseException as error:
                outcome.error = error
            outcome.there.set()


class _Outcome:
    """What a call gave."""

    def __init__(self) -> None:
        self.there = threading.Event()
        self.found: Any = None
        self.error: BaseException | None = None
