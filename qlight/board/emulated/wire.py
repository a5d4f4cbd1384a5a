"""A network that can damage what passes: a relay between a client and a board server."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable

#: kind -> what happens to the bytes
WIRE_KINDS = {"corrupt_packet": "a bit of what passes is flipped", "cut_packet": "the connection ends in the middle of a frame"}
_CALL = "call"


class Wire:
    """Relays TCP connections to a server. One fault at a time: armed, it comes once so many bytes have passed.

    Args:
        target: (host, port) of the server.

    Attributes:
        address: host:port that clients connect to.
    """

    def __init__(self, target: tuple[str, int], seed: int = 0) -> None:
        self.target = target
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._kind = ""
        self._left = 0
        self._work: Callable[[], None] = lambda: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, kind: str, after: int) -> None:
        """Let a fault of `WIRE_KINDS` come after so many bytes, both directions together."""
        assert kind in WIRE_KINDS
        with self._lock:
            self._kind, self._left = kind, after

    def call(self, work: Callable[[], None], after: int) -> None:
        """Let `work` be called, in a thread of its own, after so many bytes."""
        with self._lock:
            self._kind, self._left, self._work = _CALL, after, work

    @property
    def waiting(self) -> bool:
        """Whether a fault is armed."""
        return bool(self._kind)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=10)
            except OSError:
                client.close()
                continue
            for source, target in ((client, server), (server, client)):
                source.settimeout(None)
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._relay, args=(source, target), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                damaged = self._damaged(bytearray(piece))
                if damaged is None:
                    target.sendall(piece[: len(piece) // 2])
                    break
                target.sendall(damaged)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _damaged(self, piece: bytearray) -> bytearray | None:
        """What arrives of a piece; None: half of it, and then nothing."""
        with self._lock:
            if not self._kind:
                return piece
            self._left -= len(piece)
            if self._left > 0:
                return piece
            kind, self._kind = self._kind, ""
            at = self._random.randrange(len(piece))
        if kind == _CALL:
            threading.Thread(target=self._work, daemon=True).start()
            return piece
        if kind == "cut_packet":
            return None
        piece[at] ^= 1 << self._random.randrange(8)
        return piece
