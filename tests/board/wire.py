"""A bad wire: passes what two sides say on, and cuts or changes it where it is told to."""

from __future__ import annotations

import contextlib
import random
import socket
import threading

from qlight.board.link import parse_address


class BadWire:
    """Listens on a port of its own, and for each connection decides after how many bytes of the server's words it breaks, and how.

    Args:
        address: of the server.
        mean: bytes from the server between faults, on average.
        seed: of what happens.

    Attributes:
        address: where clients connect.
        faults: that happened.
    """

    def __init__(self, address: str, mean: int, seed: int) -> None:
        self._server, self._mean, self._rng = parse_address(address), mean, random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults = 0
        self._threads = [threading.Thread(target=self._listen)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def __enter__(self) -> BadWire:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._open:
            each.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._server, 10)
                self._open += [near, far]
                for source, sink, bad in ((near, far, False), (far, near, True)):
                    self._threads.append(threading.Thread(target=self._pass, args=(source, sink, bad)))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, sink: socket.socket, bad: bool) -> None:
        left = self._rng.randrange(2 * self._mean) if bad else -1
        source.settimeout(None)
        with contextlib.suppress(OSError):
            while piece := source.recv(4096):
                if bad and left < len(piece):
                    self.faults += 1
                    if self._rng.random() < 0.5:
                        sink.sendall(piece[:left])
                        break
                    broken = bytearray(piece)
                    broken[left] ^= 1 << self._rng.randrange(8)
                    piece, left = bytes(broken), self._rng.randrange(2 * self._mean) + len(piece)
                left -= len(piece) if bad else 0
                sink.sendall(piece)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
