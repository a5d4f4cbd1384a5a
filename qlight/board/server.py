"""The board server: one owner of the accelerator, many clients, over TCP with framed messages (PROTOCOL.md)."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from qlight import __version__
from qlight.board.accelerator import Accelerator, Parameters
from qlight.board.connection import Connection
from qlight.board.fair_queue import Request
from qlight.board.messages import MOST_QUERY, Welcome
from qlight.board.owner import Owner
from qlight.board.settings import Settings
from qlight.errors import InputError

log = logging.getLogger("qlight.board")

#: connections that have not proved themselves yet, and the seconds that they have for it
_STRANGERS, _GREETING_SECONDS = 32, 10.0
#: seconds for a frame to come in whole
_FRAME_SECONDS = 30.0
_TICK_SECONDS = 0.5


class BoardServer:
    """Serves one accelerator. Its event loop runs in a thread of its own; every public method may be called by any thread.

    Args:
        open_accelerator: makes the accelerator; called in the owner's thread, again after failures that a reset does not mend.
        settings: see `Settings`.
        parameters: that are loaded at the start; None: the accelerator holds its network.
        files: the graph's files that clients may fetch, by name (`messages.FILES`).

    Raises:
        InputError: the settings do not do.

    >>> import numpy as np
    >>> from qlight.board.client import BoardClient
    >>> from qlight.board.engine import EngineAccelerator
    >>> def doubled(pixels):
    ...     return pixels.reshape(len(pixels), -1).astype(np.int32) * 2
    >>> with BoardServer(lambda: EngineAccelerator(doubled, (1, 2, 1), 2, "0" * 64), Settings(port=0)) as server:
    ...     with BoardClient(server.address) as client:
    ...         client.query(np.array([[1, 2], [3, 4]], np.uint8))
    array([[2, 4],
           [6, 8]], dtype=int32)
    """

    def __init__(
        self,
        open_accelerator: Callable[[], Accelerator],
        settings: Settings | None = None,
        *,
        parameters: Parameters | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.settings.check()
        self.token = self.settings.token
        self.owner = Owner(open_accelerator, self._done, parameters, self.settings.care)
        self.stopping = False
        self.stated: Welcome
        self.address = ""
        self._files = {name: path for name, path in (files or {}).items() if path.is_file()}
        self._strangers: dict[Connection, None] = {}  # the oldest first
        self._clients: set[Connection] = set()
        self._served = 0
        self._started = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event
        self._thread = threading.Thread(target=self._run, name="qlight-server", daemon=True)
        self._listening: Future[None] = Future()

    # for those who run it

    def start(self) -> BoardServer:
        """Open the accelerator and listen.

        Raises:
            DeviceError: the accelerator does not work.
            InputError: the address cannot be listened on, or so many clients do not fit into the memory.
        """
        accelerator = self.owner.start()
        try:
            self.stated = self._statement(accelerator)
            self._thread.start()
            self._listening.result()
        except BaseException:
            self.owner.stop()
            raise
        log.info("listening on %s: graph %s, %s", self.address, self.stated.graph_hash[:16], self.stated.description)
        return self

    def stop(self, drain: float = 10.0) -> None:
        """Take no more queries, answer those that wait for `drain` seconds at most, say goodbye, and close the accelerator."""
        self.stopping = True
        if self._loop is not None and self._thread.is_alive():
            limit = time.monotonic() + drain
            while time.monotonic() < limit and any(client.waiting for client in list(self._clients)):
                time.sleep(0.01)
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(5.0)
        if not self.owner.stop():
            log.warning("the accelerator was busy and could not be closed")

    def __enter__(self) -> BoardServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def status(self) -> dict[str, Any]:
        """What happened so far, as JSON can hold it."""
        return {
            "run": self.stated.run,
            "seconds": round(time.monotonic() - self._started, 3),
            "clients": len(self._clients),
            "clients_served": self._served,
            "images_waiting": self.owner.queue.images,
            "stopping": self.stopping,
            "trouble": self.owner.trouble,
            **asdict(self.owner.counts),
            "accelerator": self.owner.counters,
        }

    # for connections, in the loop's thread

    def admit(self, connection: Connection) -> bool:
        """Let a stranger introduce itself; the one who takes longest gives way. Whether it may."""
        if len(self._strangers) >= _STRANGERS:
            next(iter(self._strangers)).cut("made room for another that greets")
        if not self.stopping:
            self._strangers[connection] = None
        return not self.stopping

    def welcome(self, connection: Connection) -> bool:
        """Whether there is a place for a client that has proved itself."""
        self._strangers.pop(connection, None)
        if len(self._clients) >= self.settings.clients:
            return False
        self._clients.add(connection)
        self._served += 1
        return True

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        self._strangers.pop(connection, None)
        self._clients.discard(connection)
        self.owner.queue.forget(connection)

    def put(self, request: Request) -> None:
        """Line a request up for the accelerator."""
        self.owner.queue.put(request)

    def drop(self, request: Request) -> None:
        """Nobody waits for it any more."""
        self.owner.queue.drop(request)

    def why_late(self, request: Request) -> str:
        """What keeps a request from being answered."""
        if self.owner.trouble:
            return f"the deadline passed while the accelerator was brought back: {self.owner.trouble}"
        return f"the deadline passed with {request.done} of {len(request.pixels)} images done and {self.owner.queue.images} images waiting"

    def read_file(self, name: str, offset: int, most: int) -> bytes | None:
        """A piece of an offered file; None where there is none."""
        if name not in self._files:
            return None
        try:
            with self._files[name].open("rb") as stream:
                stream.seek(offset)
                return stream.read(most)
        except (OSError, OverflowError, ValueError):
            return None

    def _statement(self, accelerator: Accelerator) -> Welcome:
        """What clients are told; the memory is divided among all frames that there may be."""
        frames = self.settings.clients * (self.settings.in_flight + 1)
        images = min(self.settings.memory // frames, MOST_QUERY) // accelerator.image_bytes
        if images < 1:
            raise InputError(
                f"Expected `memory` for {frames} images of {accelerator.image_bytes} bytes at least, as {self.settings.clients} clients "
                f"may have so many frames here, but got {self.settings.memory} bytes; raise it, or serve fewer clients."
            )
        return Welcome(
            graph_hash=accelerator.graph_hash,
            geometry_hash=accelerator.geometry_hash,
            bitstream_hash=accelerator.bitstream_hash,
            description=accelerator.description,
            image_bytes=accelerator.image_bytes,
            classes=accelerator.classes,
            parameter_words=accelerator.parameter_words,
            most_images=images,
            in_flight=self.settings.in_flight,
            run=secrets.token_hex(16),
            version=__version__,
            files={name: path.stat().st_size for name, path in self._files.items()},
        )

    # threads

    def _done(self, request: Request, error: Exception | None) -> None:
        """In the owner's thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(cast(Connection, request.client).answered, request, error)
            except RuntimeError:  # the loop ended meanwhile, and with it the connection
                return

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._listening.done():
                raise
            self._listening.set_exception(error)

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        host, port = self.settings.host, self.settings.port
        try:
            tls = self.settings.tls
            patience = None if tls is None else _GREETING_SECONDS
            listener = await loop.create_server(lambda: Connection(self), host, port, ssl=tls, ssl_handshake_timeout=patience)
        except OSError as error:
            raise InputError(
                f"Expected to listen on {host}:{port}, but that is not possible ({error.strerror or error}); choose another host or port."
            ) from error
        found = listener.sockets[0].getsockname()
        self.address = f"[{found[0]}]:{found[1]}" if ":" in found[0] else f"{found[0]}:{found[1]}"
        self._listening.set_result(None)
        watch = loop.create_task(self._watch())
        await self._end.wait()
        watch.cancel()
        listener.close()
        for connection in [*self._strangers, *self._clients]:
            connection.goodbye()
        limit = loop.time() + 1.0
        while self._clients and loop.time() < limit:  # their goodbyes go out
            await asyncio.sleep(0.005)
        for connection in list(self._clients):
            connection.cut("does not read the goodbye")

    async def _watch(self) -> None:
        """Cut off who is late."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            for connection in [*self._strangers, *self._clients]:
                limit = _FRAME_SECONDS if connection.known else _GREETING_SECONDS
                if connection.since is not None and now - connection.since > limit:
                    connection.cut("is too slow")
