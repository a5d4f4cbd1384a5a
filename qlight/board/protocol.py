"""Frames: what goes over the wire, and a reader that trusts nothing of it. PROTOCOL.md is the text; nothing here opens a socket.

A frame is a header of 28 bytes and a payload. A reader asks for memory only after the header is checked and its length allowed.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from qlight.errors import HardwareError

MAGIC, VERSION = b"QLBD", 1
#: where a server listens unless it is told otherwise
DEFAULT_PORT = 7968
#: magic, version, type, flags (0), request, bytes of the payload, CRC-32 of the payload; then the CRC-32 of all that
_FIELDS, _CHECK = struct.Struct("<4sBBHQII"), struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECK.size


class FrameType(enum.IntEnum):
    """Who sends it, and what it carries (qlight.board.messages)."""

    HELLO = 1  # client: its nonce and a proof that it knows the token
    CHALLENGE = 2  # server: its nonce and the same proof
    PROOF = 3  # client: a proof of both nonces
    WELCOME = 4  # server: what is served (JSON)
    QUERY = 5  # client: images
    ANSWER = 6  # server: accumulators
    ERROR = 7  # server: why there is no answer
    ASK_FILE = 8  # client: a piece of the graph
    FILE = 9  # server: the piece
    ASK_STATUS = 10  # client: nothing
    STATUS = 11  # server: counts (JSON)
    BYE = 12  # server: it stops; nothing more is answered here


class ProtocolError(HardwareError):
    """What came is not the protocol: another program, another version, or a damaged stream. The connection cannot go on."""


class Header(NamedTuple):
    """A checked header: the type of the frame, the request that it belongs to, its payload's bytes and their CRC-32."""

    type: FrameType
    request: int
    length: int
    checksum: int


class Frame(NamedTuple):
    """A frame that came whole; the payload is memory of its own."""

    type: FrameType
    request: int
    payload: memoryview


def pack(kind: FrameType, request: int = 0, *parts: bytes | bytearray | memoryview) -> list[bytes | bytearray | memoryview]:
    """A frame as pieces to be sent one after the other: the header, then `parts` as they are, uncopied.

    >>> b"".join(pack(FrameType.BYE)).hex()
    '514c4244010c0000000000000000000000000000000000002659d4f9'
    """
    checksum, length = 0, 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
        length += memoryview(part).nbytes
    fields = _FIELDS.pack(MAGIC, VERSION, kind, 0, request, length, checksum)
    return [fields + _CHECK.pack(zlib.crc32(fields)), *(part for part in parts if len(part))]


def parse_header(header: bytes | bytearray | memoryview) -> Header:
    """The fields of 28 bytes.

    Raises:
        ProtocolError: they are no header of this version.
    """
    magic, version, kind, flags, request, length, checksum = _FIELDS.unpack_from(header)
    if magic != MAGIC:
        raise ProtocolError("the peer does not speak qlight's board protocol")
    if _CHECK.unpack_from(header, _FIELDS.size)[0] != zlib.crc32(memoryview(header)[: _FIELDS.size]):
        raise ProtocolError("the header of a frame is damaged (its checksum differs)")
    if version != VERSION:
        raise ProtocolError(f"the peer speaks version {version} of the protocol, and this is version {VERSION}")
    try:
        known = FrameType(kind)
    except ValueError:
        raise ProtocolError(f"there is no type {kind} of frames") from None
    if flags:
        raise ProtocolError(f"the flags of a frame are {flags}, and none is defined")
    return Header(known, request, length, checksum)


class FrameReader:
    """Puts frames together from whatever pieces a stream comes in. It holds one payload at most, never more than the limit of its type.

    Fill `buffer` with what came, then call `filled`. After an error it is of no more use: the stream has lost its frames' boundaries.

    Attributes:
        limits: type -> the most bytes of its payload; other types are refused. May be replaced between frames.

    >>> reader = FrameReader({FrameType.PROOF: 2})
    >>> stream, found = b"".join(pack(FrameType.PROOF, 7, b"ab")), []
    >>> while stream:
    ...     space = reader.buffer()
    ...     count = min(3, len(space), len(stream))
    ...     space[:count], stream = stream[:count], stream[count:]
    ...     found += [reader.filled(count)]
    >>> found[-1].request, bytes(found[-1].payload), {frame for frame in found[:-1]}
    (7, b'ab', {None})
    """

    def __init__(self, limits: Mapping[FrameType, int]) -> None:
        self.limits = limits
        self._head = bytearray(HEADER_BYTES)
        self._header: Header | None = None
        self._memory = memoryview(self._head)
        self._have = 0

    def buffer(self) -> memoryview:
        """Where the next bytes of the stream go; never empty, and no longer than the frame."""
        return self._memory[self._have :]

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return self._have > 0 or self._header is not None

    def filled(self, count: int) -> Frame | None:
        """Take `count` bytes that were put into `buffer()`; the frame that they complete, if they do.

        Raises:
            ProtocolError: they are no frame, or one that is not allowed now.
        """
        self._have += count
        if self._have < len(self._memory):
            return None
        if self._header is None:
            header = self._allowed(parse_header(self._head))
            if header.length:
                # a bytearray of zeros: memory that the system gives page by page, as it is written
                self._header, self._memory, self._have = header, memoryview(bytearray(header.length)), 0
                return None
            payload = memoryview(b"")
        else:
            header, payload = self._header, self._memory
        if zlib.crc32(payload) != header.checksum:
            raise ProtocolError(f"the payload of a {header.type.name} frame is damaged (its checksum differs)")
        self._header, self._memory, self._have = None, memoryview(self._head), 0
        return Frame(header.type, header.request, payload)

    def _allowed(self, header: Header) -> Header:
        most = self.limits.get(header.type)
        if most is None:
            raise ProtocolError(f"a {header.type.name} frame does not belong here")
        if header.length > most:
            raise ProtocolError(f"a {header.type.name} frame states {header.length} bytes, and at most {most} are allowed")
        return header
