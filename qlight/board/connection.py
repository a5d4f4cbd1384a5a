"""One client's connection, as the server sees it: who is there, what it may send, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from typing import TYPE_CHECKING, cast

from qlight.board import messages
from qlight.board.fair_queue import Request
from qlight.board.messages import FILES, MOST_PIECE, NONCE_BYTES, Answer, Code, Query, proof, same
from qlight.board.protocol import Frame, FrameReader, FrameType, ProtocolError, pack

if TYPE_CHECKING:
    from qlight.board.server import BoardServer

log = logging.getLogger("qlight.board")

#: bytes of answers that a client may leave unread before it is cut off
_MOST_UNREAD = 8 << 20
#: seconds for a client to read what it is told at the end, and where what it says meanwhile goes
_PARTING_SECONDS, _NOWHERE = 1.0, memoryview(bytearray(1 << 16))
#: the longest that a request may ask to wait, in milliseconds
_LONGEST = 24 * 3600 * 1000


class Connection(asyncio.BufferedProtocol):
    """Frames of one client, in the thread of the server's event loop.

    Before a client has proved that it knows the token nothing but its nonces is looked at, and whatever is wrong is answered by silence:
    the connection ends. Memory is bounded: 64 bytes before that, afterwards the frames that `in_flight` allows and one that comes in.

    Attributes:
        known: whether the client has proved itself.
        since: `time.monotonic()` at which the connection, or the frame that is coming in, began; None where nothing is late.
    """

    def __init__(self, server: BoardServer) -> None:
        self._server = server
        self._reader = FrameReader(messages.HELLO_LIMITS)
        self._requests: dict[int, tuple[Request, asyncio.TimerHandle]] = {}
        self._nonces = b""
        self._ended = False
        self.known = False
        self.since: float | None = time.monotonic()
        self.peer = "?"

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "local"
        if not self._server.admit(self):
            self._end()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _NOWHERE if self._ended else self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        if self._ended:
            return
        try:
            frame = self._reader.filled(nbytes)
            if frame is not None:
                self._take(frame)
        except ProtocolError as error:
            self._broken(error)
        if self.known:
            self.since = (self.since or time.monotonic()) if self._reader.inside else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        for request, timer in self._requests.values():
            timer.cancel()
            request.dropped = True
        self._requests.clear()
        self._server.leave(self)

    # what the server calls

    def answered(self, request: Request, error: Exception | None) -> None:
        """The owner is done with a request."""
        if self._settle(request):
            if error is None:
                assert request.found is not None
                self._send(FrameType.ANSWER, request.number, *Answer(request.waited, request.device, request.found).parts())
            else:
                self._refuse(request.number, Code.DEVICE, str(error))

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return len(self._requests)

    def goodbye(self) -> None:
        """Tell a client that the server stops, and close when that is sent."""
        for request, _ in list(self._requests.values()):
            self._settle(request)
            self._refuse(request.number, Code.STOPPING, "the server stops")
        if self.known:
            self._send(FrameType.BYE, 0)
        self._end(politely=True)

    def cut(self, reason: str) -> None:
        """End the connection without a word."""
        log.info("%s: %s", self.peer, reason)
        self._end()

    # frames

    def _take(self, frame: Frame) -> None:
        if self._transport.get_write_buffer_size() > _MOST_UNREAD:
            self.cut("does not read its answers")
        elif frame.type is FrameType.HELLO:
            self._hello(bytes(frame.payload))
        elif frame.type is FrameType.PROOF:
            self._prove(bytes(frame.payload))
        elif frame.type is FrameType.QUERY:
            self._query(frame)
        elif frame.type is FrameType.ASK_FILE:
            self._file(frame)
        else:  # ASK_STATUS: the reader lets nothing else through
            self._send(FrameType.STATUS, frame.request, json.dumps(self._server.status()).encode("ascii"))

    def _hello(self, payload: bytes) -> None:
        theirs, shown = payload[:NONCE_BYTES], payload[NONCE_BYTES:]
        if not same(shown, proof(self._server.token, "hello", theirs)):
            raise ProtocolError("a client that does not know the token")
        ours = secrets.token_bytes(NONCE_BYTES)
        self._nonces = ours + theirs
        self._reader.limits = messages.PROOF_LIMITS
        self._send(FrameType.CHALLENGE, 0, ours, proof(self._server.token, "challenge", self._nonces))

    def _prove(self, payload: bytes) -> None:
        if not same(payload, proof(self._server.token, "proof", self._nonces)):
            raise ProtocolError("a client that does not know the token")
        self.known, self.since = True, None
        if not self._server.welcome(self):
            self._refuse(0, Code.BUSY, "all places of clients are taken")
            self._end(politely=True)
            return
        stated = self._server.stated
        self._reader.limits = messages.query_limits(stated.image_bytes, stated.most_images)
        self._send(FrameType.WELCOME, 0, stated.to_bytes())
        log.info("%s: welcome", self.peer)

    def _query(self, frame: Frame) -> None:
        if frame.request in self._requests:
            raise ProtocolError(f"the request {frame.request} came twice")
        if len(self._requests) >= self._server.stated.in_flight:
            raise ProtocolError(f"more than {self._server.stated.in_flight} requests were sent before they were answered")
        query = Query.read(frame.payload, self._server.stated.image_bytes)
        if self._server.stopping:
            self._refuse(frame.request, Code.STOPPING, "the server stops")
            return
        seconds = min(query.milliseconds, _LONGEST) / 1000
        request = Request(self, frame.request, query.pixels, time.monotonic() + seconds)
        timer = asyncio.get_running_loop().call_later(seconds, self._expired, request)
        self._requests[frame.request] = request, timer
        self._server.put(request)

    def _expired(self, request: Request) -> None:
        if self._settle(request):
            self._refuse(request.number, Code.DEADLINE, self._server.why_late(request))
            self._server.drop(request)

    def _file(self, frame: Frame) -> None:
        number, offset = messages.read_ask_file(frame.payload)
        piece = self._server.read_file(FILES[number], offset, MOST_PIECE) if number < len(FILES) else None
        if piece is None:
            self._refuse(frame.request, Code.FILE, "this server does not offer that file")
        else:
            self._send(FrameType.FILE, frame.request, piece)

    # the wire

    def _settle(self, request: Request) -> bool:
        """Take a request off the list; whether it was there: each gets one answer, whoever has its number by then."""
        found, timer = self._requests.get(request.number, (None, None))
        if found is not request or timer is None:
            return False
        timer.cancel()
        del self._requests[request.number]
        return True

    def _refuse(self, number: int, code: Code, text: str) -> None:
        self._send(FrameType.ERROR, number, messages.error_payload(code, text))

    def _send(self, kind: FrameType, number: int, *parts: bytes | memoryview) -> None:
        if not self._ended:
            self._transport.write(b"".join(pack(kind, number, *parts)))

    def _broken(self, error: ProtocolError) -> None:
        """What came is not the protocol: known clients are told, others are not."""
        log.info("%s: %s", self.peer, error)
        if self.known:
            self._refuse(0, Code.PROTOCOL, str(error))
        self._end(politely=self.known)

    def _end(self, politely: bool = False) -> None:
        self._ended = True
        if not self.known:
            self._server.leave(self)
        if politely and self._transport.can_write_eof():
            # closing while something is unread would take back what was said: read on, into nowhere, for a moment
            with contextlib.suppress(OSError):  # who is gone meanwhile needs no end
                self._transport.write_eof()
            asyncio.get_running_loop().call_later(_PARTING_SECONDS, self._transport.abort)
        elif politely:
            self._transport.close()
        else:
            self._transport.abort()
