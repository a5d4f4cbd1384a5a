"""The client of a board server: batches of images in, accumulators out, two batches in flight, through restarts of the server."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from typing import Any

import numpy as np

from qlight.board.link import BoardError, BoardTimeout, Link, LinkLost, parse_address
from qlight.board.messages import FILES, MOST_PIECE, Answer, Code, ask_file_payload, json_object, read_error
from qlight.board.protocol import Frame, FrameType, ProtocolError
from qlight.board.reconnecting import Flight, Reconnecting
from qlight.board.security import credentials
from qlight.errors import InputError

#: the most bytes of a file that are fetched
_MOST_FILE = 1 << 30
#: how often a batch is sent again because the server took a frame for no protocol: a wire that damages frames, or a bug
_MOST_REFUSED = 3


class BoardClient(Reconnecting):
    """Queries a board server.

    Batches that a lost connection leaves unanswered are sent again when it is back, until each batch's deadline; every image gets one
    answer, and `traffic` counts what was repeated. A server that comes back with another network is refused. Several threads may share a
    client, and copies are the same one: their queries take turns. A pickled client, and one in a forked process, connects anew.

    Args:
        address: ``board://host:port`` or ``host:port``.
        token: the server's secret; None: what the environment holds (`qlight.board.security.credentials`), or none.
        tls: a client's context (`qlight.board.security.client_tls`); None: what the environment holds, or plain TCP.
        graph_hash: of the graph that the board must run; None: whatever it runs.
        deadline: seconds from a batch's first sending to its answer, reconnections included.
        batch: the most images in a frame; the server may allow fewer.
        in_flight: the most frames that are unanswered.

    Attributes:
        welcome: what the server serves (`qlight.board.messages.Welcome`).
        traffic: what was asked, and how long it took.

    Raises:
        BoardError: nobody answers there, or not as a board server.
        InputError: an argument is wrong, or the board runs another graph.
    """

    def __init__(
        self,
        address: str,
        *,
        token: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        graph_hash: str | None = None,
        deadline: float = 60.0,
        batch: int = 512,
        in_flight: int = 2,
    ) -> None:
        for name, value, kind in (("deadline", deadline, int | float), ("batch", batch, int), ("in_flight", in_flight, int)):
            if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < 1e6:
                number = "whole number" if kind is int else "number of seconds"
                raise InputError(f"Expected `{name}` to be a {number} above 0 and below 1,000,000, but got {value!r}.")
        self._lock = threading.Lock()
        self._asked = {"token": token, "tls": tls, "graph_hash": graph_hash, "deadline": deadline, "batch": batch, "in_flight": in_flight}
        shown = credentials()
        super().__init__(parse_address(address), shown.token if token is None else token, tls or shown.tls, float(deadline))
        if graph_hash is not None and graph_hash != self.welcome.graph_hash:
            self.close()
            raise InputError(
                f"Expected the board at {self.address} to run the graph {graph_hash[:16]}, but it runs {self.welcome.graph_hash[:16]}; "
                "serve that one's build, or give the graph that the board runs."
            )
        self.batch, self.in_flight = min(batch, self.welcome.most_images), min(in_flight, self.welcome.in_flight)

    def query(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The accumulators of the logits.

        Args:
            pixels: uint8, N x H x W x C or N x image_bytes; N may be 0.

        Returns:
            int32, N x classes.

        Raises:
            InputError: they are no such pixels.
            BoardTimeout: the server was not there, or too slow, until the deadline of a batch.
            BoardError: the accelerator failed, or the server came back with another network.
        """
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels[:1].size != self._size(pixels):
            got = f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else f"a {type(pixels).__name__}"
            raise InputError(f"Expected `pixels` to be uint8, N images of {self.welcome.image_bytes} bytes, but got {got}.")
        images = np.ascontiguousarray(pixels).reshape(len(pixels), self.welcome.image_bytes)
        found = np.empty((len(images), self.welcome.classes), np.int32)
        with self._lock:
            self._in_this_process()
            try:
                self._run(images, found)
            except BaseException:
                self._drop()  # whatever is still on its way belongs to nobody
                raise
        return found

    def execute(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`query`, by the name that FINN's driver gives it."""
        return self.query(pixels)

    def throughput_test(self, images: int = 1000) -> dict[str, float]:
        """Time random images, by the keys of FINN's driver, and what of it was not the accelerator.

        Raises:
            InputError: ``images`` is no positive number.
            BoardError: see `query`.
        """
        if isinstance(images, bool) or not isinstance(images, int) or images < 1:
            raise InputError(f"Expected `images` to be a whole number from 1, but got {images!r}.")
        pixels = np.random.default_rng(0).integers(0, 256, (images, self.welcome.image_bytes), np.uint8)
        before, start = self.traffic.copy(), time.perf_counter()
        self.query(pixels)
        seconds = time.perf_counter() - start
        spent = self.traffic.since(before)
        return {
            "runtime[ms]": 1e3 * seconds,
            "throughput[images/s]": images / seconds,
            "DRAM_in_bandwidth[MB/s]": pixels.nbytes / seconds / 1e6,
            "DRAM_out_bandwidth[MB/s]": 4.0 * images * self.welcome.classes / seconds / 1e6,
            "batch_size": float(min(images, self.batch)),
            "batch_median[ms]": spent.summary()["batch_ms_median"],
            "batch_p99[ms]": spent.summary()["batch_ms_p99"],
            "accelerator[ms]": 1e3 * spent.device_seconds,
            "overhead[ms]": 1e3 * (seconds - spent.device_seconds),
        }

    def status(self) -> dict[str, Any]:
        """What the server counted since its start."""
        with self._lock:
            self._in_this_process()
            try:
                return json_object(self._ask(FrameType.ASK_STATUS, FrameType.STATUS))
            except ProtocolError as error:
                raise BoardError(f"The board server at {self.address} does not say how it is: {error}.") from error

    def file(self, name: str) -> bytes:
        """One of the graph's files that the server offers (`welcome.files`).

        Raises:
            InputError: it does not offer that.
            BoardError: it cannot be fetched whole.
        """
        size = self.welcome.files.get(name)
        if name not in FILES or size is None:
            raise InputError(
                f"Expected the board at {self.address} to offer {name!r}, but it does not; give the graph's folder, "
                f"board://{self.address}?graph=FOLDER."
            )
        if size > _MOST_FILE:
            raise BoardError(f"The board at {self.address} states {size} bytes for {name}, more than are taken.")
        content = bytearray()
        with self._lock:
            self._in_this_process()
            while len(content) < size:
                piece = self._ask(FrameType.ASK_FILE, FrameType.FILE, ask_file_payload(FILES.index(name), len(content)))
                if not 0 < len(piece) <= min(MOST_PIECE, size - len(content)):
                    raise BoardError(f"The board at {self.address} offers {name} with {size} bytes, but sent another number.")
                content += piece
        return bytes(content)

    def close(self) -> None:
        """Close the connection; the next query opens it again."""
        with self._lock:
            self._drop()

    def __enter__(self) -> BoardClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> BoardClient:
        return self  # copies take turns on the connection

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (f"board://{self.address}", self._asked)

    def __repr__(self) -> str:
        return f"BoardClient({self.address}, graph={self.welcome.graph_hash[:12]})"

    # in flight

    def _run(self, images: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> None:
        """Fill `found`; at most `in_flight` batches are unanswered at any time."""
        waiting = deque(slice(start, min(start + self.batch, len(images))) for start in range(0, len(images), self.batch))
        flying: dict[int, Flight] = {}
        while waiting or flying:
            link = self._linked(flying.values())
            try:
                while waiting and len(flying) < self.in_flight:
                    at = waiting.popleft()
                    flight = Flight(self._number(), images[at], found[at], time.monotonic() + self.deadline)
                    flying[flight.number] = flight
                    flight.send(link)
                self._land(self._next_frame(link, flying), flying)
            except LinkLost as error:
                self._lost(str(error))

    def _next_frame(self, link: Link, flying: dict[int, Flight]) -> Frame:
        try:
            return link.receive(min(flight.deadline for flight in flying.values()))
        except BoardTimeout as error:
            raise self._late(flying.values()) from error

    def _land(self, frame: Frame, flying: dict[int, Flight]) -> None:
        """Take an answer, once."""
        if frame.type is FrameType.BYE:
            raise LinkLost("the server stopped")
        if frame.type is FrameType.ERROR:
            code, text = read_error(frame.payload)
            if code in (Code.STOPPING, Code.BUSY) or (code == Code.PROTOCOL and self._again_refused(flying)):
                raise LinkLost(text)
            if code == Code.DEADLINE:
                raise BoardTimeout(f"The board server at {self.address} did not answer within {self.deadline:g} s: {text}.")
            raise BoardError(f"The board server at {self.address} could not answer: {text}.")
        flight = flying.get(frame.request)
        try:
            answer = Answer.read(frame.payload) if frame.type is FrameType.ANSWER else None
        except ProtocolError as error:
            raise LinkLost(str(error)) from error
        if flight is None or answer is None or answer.accumulators.shape != flight.found.shape:
            raise LinkLost("the server answered something that was not asked")
        flight.found[:] = answer.accumulators
        del flying[flight.number]
        self.traffic.answered(len(answer.accumulators), time.monotonic() - flight.sent, answer.waited, answer.device)

    def _again_refused(self, flying: dict[int, Flight]) -> bool:
        """Count a refusal of whatever was sent; whether it is worth sending again."""
        for flight in flying.values():
            flight.refused += 1
        return max(flight.refused for flight in flying.values()) <= _MOST_REFUSED

    def _size(self, pixels: np.ndarray[Any, Any]) -> int:
        return self.welcome.image_bytes * len(pixels[:1])


def _again(address: str, asked: dict[str, Any]) -> BoardClient:
    return BoardClient(address, **asked)
