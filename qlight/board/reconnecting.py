"""A client's side of the wire through lost connections: connect again, see that it is the same board, send again what is unanswered."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qlight.board.link import Address, BoardError, BoardTimeout, Link, LinkLost
from qlight.board.messages import Query, Welcome, read_error
from qlight.board.protocol import FrameType
from qlight.board.traffic import Traffic

#: seconds that the first connection may take, and between attempts to connect again, at first and at most
_CONNECT_SECONDS, _PAUSES = 10.0, (0.02, 0.5)


@dataclass(eq=False)
class Flight:
    """A batch that was sent, and is sent again where its connection is lost.

    Attributes:
        number: of the request.
        pixels: uint8 N x image_bytes.
        found: int32 N x classes, where its answer goes.
        deadline: `time.monotonic()` by which it must be answered.
        sent: `time.monotonic()` at which it was sent last.
        refused: how often the server ended the connection because a frame broke the protocol.
    """

    number: int
    pixels: np.ndarray[Any, Any]
    found: np.ndarray[Any, Any]
    deadline: float
    sent: float = 0.0
    refused: int = 0

    def send(self, link: Link) -> None:
        """Send it.

        Raises:
            LinkLost: the connection ended.
        """
        self.sent = time.monotonic()
        left = self.deadline - self.sent
        milliseconds = max(1, int(1000 * max(left - 1, 0.9 * left)))  # a little less, as the server should say itself why it is late
        link.send(self.deadline, FrameType.QUERY, self.number, Query.header(len(self.pixels), milliseconds), self.pixels.data.cast("B"))


class Reconnecting:
    """A connection to a board server that comes back; for one thread at a time.

    Attributes:
        address: of the server.
        deadline: seconds that an answer may take, reconnections included.
        welcome: what the server serves.
        traffic: what was asked, and how long it took.
        batch, in_flight: images of a frame, and frames unanswered, that a server which comes back must allow.

    Raises:
        BoardError: nobody answers there, or not as a board server.
    """

    batch: int = 1
    in_flight: int = 1

    def __init__(self, address: Address, token: bytes, tls: ssl.SSLContext | None, deadline: float) -> None:
        self.address, self._token, self._tls, self.deadline = address, token, tls, deadline
        self._process = os.getpid()
        self._last = 0
        self.traffic = Traffic()
        try:
            self._link: Link | None = Link(address, token, tls, time.monotonic() + min(_CONNECT_SECONDS, deadline))
        except LinkLost as error:
            raise BoardError(
                f"Expected a board server at {address}, but {error}; start one there (`python -m qlight.board serve --overlay DIR`)."
            ) from error
        self.welcome: Welcome = self._link.welcome

    def _number(self) -> int:
        """A number that no request of this client had."""
        self._last += 1
        return self._last

    def _linked(self, flying: Iterable[Flight] = ()) -> Link:
        """The connection; a new one where there is none, on which everything that is unanswered was sent again.

        Raises:
            BoardTimeout: the server is not back by the first deadline of what is unanswered.
            BoardError: it is back with another network.
        """
        pause = _PAUSES[0]
        unanswered = list(flying)
        until = min((flight.deadline for flight in unanswered), default=time.monotonic() + self.deadline)
        while self._link is None:
            try:
                self._link = Link(self.address, self._token, self._tls, until)
                self._same_network(self._link.welcome)
                for flight in unanswered:
                    flight.send(self._link)
                self.traffic.reconnected(sum(len(flight.pixels) for flight in unanswered))
            except LinkLost as error:
                self._lost(str(error))
                if time.monotonic() + pause > until:
                    raise self._late(unanswered) from error
                time.sleep(pause)
                pause = min(2 * pause, _PAUSES[1])
        return self._link

    def _same_network(self, new: Welcome) -> None:
        names = ("graph_hash", "geometry_hash", "bitstream_hash", "image_bytes", "classes")
        changed = [name for name in names if getattr(self.welcome, name) != getattr(new, name)]
        if changed or new.most_images < self.batch or new.in_flight < self.in_flight:
            what = f"another {', '.join(changed)}" if changed else "room for fewer images"
            raise BoardError(f"The board server at {self.address} came back with {what}; begin again with the network that it runs now.")
        self.welcome = new

    def _ask(self, kind: FrameType, wanted: FrameType, payload: bytes = b"") -> memoryview:
        """The answer to a short question while nothing is in flight; asked again where the connection is lost.

        Raises:
            BoardError: it is refused, or comes too late.
        """
        until = time.monotonic() + self.deadline
        while True:
            link, number = self._linked(), self._number()
            try:
                link.send(until, kind, number, payload)
                frame = link.receive(until)
            except LinkLost as error:
                self._lost(str(error))
                continue
            except BoardTimeout as error:
                raise self._late(()) from error
            if frame.type is FrameType.ERROR:
                raise BoardError(f"The board server at {self.address} could not answer: {read_error(frame.payload)[1]}.")
            if frame.type is wanted and frame.request == number:
                return frame.payload
            self._lost("the server stopped" if frame.type is FrameType.BYE else "the server answered something that was not asked")

    def _lost(self, reason: str) -> None:
        self.traffic.trouble = reason
        self._drop()

    def _late(self, flying: Iterable[Flight]) -> BoardTimeout:
        """The error of a deadline that has passed; what may still come belongs to nobody."""
        images = sum(len(flight.pixels) for flight in flying)
        trouble = f" ({self.traffic.trouble})" if self._link is None and self.traffic.trouble else ""
        self._drop()
        return BoardTimeout(
            f"Expected the board server at {self.address} to answer within {self.deadline:g} s, but it did not{trouble}; {images} images "
            "are unanswered. Start it again, or allow a longer deadline."
        )

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _in_this_process(self) -> None:
        """A forked process leaves its parent's connection alone."""
        if self._process != os.getpid():
            self._process, self._link = os.getpid(), None
