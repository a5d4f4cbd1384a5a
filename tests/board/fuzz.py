"""Malformed streams against the server's side of a connection: ``python -m tests.board.fuzz --streams 1000000``.

Each stream is a valid one of a stranger, of somebody with another token, or of a client, changed as a wire, a bug or an attacker would
change it. A server must not raise, must not tell anything to who has not proved to know the token, and must keep no memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import struct
import time
import zlib
from collections import Counter
from typing import Any, cast

from qlight.board.connection import Connection
from qlight.board.messages import NONCE_BYTES, Query, ask_file_payload, proof
from qlight.board.protocol import HEADER_BYTES, FrameType, pack, parse_header
from qlight.board.server import BoardServer
from tests.board.fakes import CLASSES, IMAGE_BYTES, TOKEN, images, serve

#: frames that a server may send to a client, and what may stand in an answer's header
_ALLOWED = {FrameType.WELCOME, FrameType.CHALLENGE, FrameType.ANSWER, FrameType.ERROR, FrameType.FILE, FrameType.STATUS}


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written, self.ended = bytearray(), False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return ("fuzz", 0)

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.ended = True

    abort = close


def feed(connection: Connection, stream: bytes, rng: random.Random) -> None:
    """Give a stream in pieces, as long as the connection is there."""
    at = 0
    wire = cast(Wire, connection._transport)
    while at < len(stream) and not wire.ended:
        space = connection.get_buffer(-1)
        assert len(space), "an empty buffer would end the connection"
        count = min(len(space), len(stream) - at, rng.choice((1, 7, 28, 4096, 4096)))
        space[:count] = stream[at : at + count]
        connection.buffer_updated(count)
        at += count


def hello(token: bytes, nonce: bytes) -> bytes:
    return b"".join(pack(FrameType.HELLO, 0, nonce, proof(token, "hello", nonce)))


def introduced(server: BoardServer, rng: random.Random) -> tuple[Connection, Wire, int]:
    """A client that has proved itself; with the bytes that it was told until then."""
    connection, wire, nonce = Connection(server), Wire(), rng.randbytes(NONCE_BYTES)
    connection.connection_made(cast(asyncio.BaseTransport, wire))
    feed(connection, hello(TOKEN, nonce), rng)
    theirs = bytes(wire.written[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES])
    feed(connection, b"".join(pack(FrameType.PROOF, 0, proof(TOKEN, "proof", theirs + nonce))), rng)
    assert connection.known
    return connection, wire, len(wire.written)


def forged(rng: random.Random, kind: int, payload: bytes, **changed: int) -> bytes:
    """A frame whose checksums hold, whatever its fields say."""
    values = {
        "magic": 0x44424C51,
        "version": 1,
        "kind": kind,
        "flags": 0,
        "request": rng.getrandbits(64),
        "length": len(payload),
        "checksum": zlib.crc32(payload),
    }
    fields = struct.pack("<IBBHQII", *(values | changed).values())
    return fields + struct.pack("<I", zlib.crc32(fields)) + payload


def frames(rng: random.Random) -> bytes:
    """What a client might send, or nearly."""
    choice = rng.randrange(8)
    if choice == 0:
        stated, pixels = rng.choice((0, 1, 2, 3, 2**32 - 1)), rng.randbytes(rng.choice((0, 12, 24, 36, 37)))
        return forged(rng, FrameType.QUERY, Query.header(stated, rng.choice((0, 1, 2**32 - 1))) + pixels)
    if choice == 1:
        return forged(rng, FrameType.ASK_FILE, ask_file_payload(rng.randrange(256), rng.getrandbits(64))[: rng.choice((0, 8, 9, 9))])
    if choice == 2:
        return forged(rng, FrameType.ASK_STATUS, rng.randbytes(rng.choice((0, 0, 1))))
    if choice == 3:
        return forged(rng, rng.randrange(256), rng.randbytes(rng.randrange(80)))
    if choice == 4:
        return forged(rng, rng.choice((1, 3, 5, 8)), b"", length=rng.choice((2**16, 2**24, 2**32 - 1)))
    if choice == 5:
        name, most = rng.choice((("version", 255), ("flags", 65535), ("checksum", 2**32 - 1), ("magic", 2**32 - 1)))
        return forged(rng, rng.choice((1, 3, 5)), rng.randbytes(64), **{name: rng.randint(0, most)})
    if choice == 6:
        return hello(rng.choice((b"", b"another token, a wrong one", TOKEN[:-1])), rng.randbytes(NONCE_BYTES))
    pixels = images(rng.choice((1, 2, 3)), rng.randrange(100))
    return b"".join(pack(FrameType.QUERY, rng.choice((1, 2, 3)), Query.header(len(pixels), 1000), pixels.tobytes()))


def changed(stream: bytes, rng: random.Random) -> bytes:
    """A stream as a bad wire gives it."""
    held = bytearray(stream)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(held)) if held else 0
        what = rng.randrange(5)
        if what == 0 and held:
            held[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del held[at:]
        elif what == 2:
            held[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif what == 3:
            del held[at : at + rng.randrange(1, 30)]
        elif held:
            held[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80"))
    return bytes(held)


def stranger(server: BoardServer, rng: random.Random, counts: Counter[str]) -> None:
    """One stream of somebody who does not know the token, who may have seen others greet."""
    connection, wire = Connection(server), Wire()
    connection.connection_made(cast(asyncio.BaseTransport, wire))
    stream = b"".join(changed(frames(rng), rng) for _ in range(rng.choice((1, 1, 2, 3)))) if rng.random() < 0.9 else rng.randbytes(60)
    feed(connection, stream, rng)
    assert not wire.written, "a stranger was answered"
    assert not connection.known
    counts["strangers cut off" if wire.ended else "strangers that did not end their frame"] += 1
    connection.connection_lost(None)


def eavesdropper(server: BoardServer, rng: random.Random, counts: Counter[str]) -> None:
    """One stream of somebody who repeats what a client said: it may be challenged, and gets no further."""
    connection, wire, nonce = Connection(server), Wire(), rng.randbytes(NONCE_BYTES)
    connection.connection_made(cast(asyncio.BaseTransport, wire))
    feed(connection, hello(TOKEN, nonce), rng)
    told = len(wire.written)
    overheard = pack(FrameType.PROOF, 0, proof(TOKEN, "proof", rng.randbytes(NONCE_BYTES) + nonce))
    feed(connection, changed(b"".join(overheard), rng) + frames(rng), rng)
    assert told == HEADER_BYTES + 2 * NONCE_BYTES
    assert len(wire.written) == told
    assert not connection.known
    counts["eavesdroppers cut off" if wire.ended else "eavesdroppers that did not end their frame"] += 1
    connection.connection_lost(None)


def client(server: BoardServer, rng: random.Random, counts: Counter[str]) -> None:
    """One stream of a client that breaks down: what it is told is always the protocol."""
    connection, wire, told = introduced(server, rng)
    feed(connection, b"".join(changed(frames(rng), rng) for _ in range(rng.choice((1, 2, 4)))), rng)
    answer = bytes(wire.written[told:])
    while answer:
        header = parse_header(answer)
        assert header.type in _ALLOWED
        assert header.type != FrameType.ANSWER or header.length == 24 + 4 * CLASSES * ((header.length - 24) // (4 * CLASSES))
        counts[f"clients told {header.type.name}"] += 1
        answer = answer[HEADER_BYTES + header.length :]
    counts["clients cut off" if wire.ended else "clients left"] += 1
    connection.connection_lost(None)


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * 4096


def fuzz(streams: int, seed: int = 0) -> Counter[str]:
    """Run so many streams against one server; what came of them. Raises where the server does something that it must not."""
    assert IMAGE_BYTES == 12
    counts: Counter[str] = Counter()
    with serve(token=TOKEN, clients=10_000) as server:
        loop = server._loop
        assert loop is not None
        failures: list[Any] = []
        loop.set_exception_handler(lambda _, context: failures.append(context))

        async def some(first: int, last: int) -> None:
            for number in range(first, last):
                rng = random.Random(f"{seed} {number}")
                (stranger, stranger, eavesdropper, client)[number % 4](server, rng, counts)

        begun, early = time.monotonic(), 0
        for first in range(0, streams, 500):
            asyncio.run_coroutine_threadsafe(some(first, min(streams, first + 500)), loop).result()
            if first <= streams // 4 < first + 500:
                gc.collect()
                early = resident()
        gc.collect()
        counts["growth of memory in the last three quarters, KiB"] = (resident() - early) // 1024
        counts["seconds"] = round(time.monotonic() - begun)
        assert not failures, failures[0]
        assert not server._clients
        assert not server._strangers
        assert server.owner.queue.images == 0
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name, count in sorted(fuzz(given.streams, given.seed).items()):
        print(f"{name:<55} {count:>10,}")
