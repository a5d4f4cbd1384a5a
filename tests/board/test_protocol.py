"""Frames: whatever comes in whatever pieces, a reader gives frames that were sent, or says that there are none."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlight.board.protocol import HEADER_BYTES, MAGIC, VERSION, Frame, FrameReader, FrameType, ProtocolError, pack, parse_header

LIMITS = dict.fromkeys(FrameType, 64)
FRAMES = st.lists(st.tuples(st.sampled_from(FrameType), st.integers(0, 2**64 - 1), st.binary(max_size=64)), max_size=5)


def stream_of(frames: list[tuple[FrameType, int, bytes]]) -> bytes:
    return b"".join(b"".join(pack(kind, request, payload)) for kind, request, payload in frames)


def read(reader: FrameReader, stream: bytes, pieces: list[int] | None = None, found: list[Frame] | None = None) -> list[Frame]:
    """All frames of a stream that comes in pieces; in `found` also those before an error."""
    found, sizes = [] if found is None else found, iter(pieces or [])
    while stream:
        space = reader.buffer()
        assert len(space)
        count = min(len(space), len(stream), next(sizes, len(stream)))
        space[:count], stream = stream[:count], stream[count:]
        frame = reader.filled(count)
        if frame is not None:
            found.append(frame)
    return found


@given(FRAMES, st.lists(st.integers(1, 40), max_size=40))
def test_frames_come_back_whatever_the_pieces(frames: list[tuple[FrameType, int, bytes]], pieces: list[int]) -> None:
    reader = FrameReader(LIMITS)
    found = read(reader, stream_of(frames), pieces)
    assert [(frame.type, frame.request, bytes(frame.payload)) for frame in found] == frames
    assert not reader.inside


@given(FRAMES.filter(len), st.data())
def test_a_damaged_stream_gives_no_frame_that_was_not_sent(frames: list[tuple[FrameType, int, bytes]], data: st.DataObject) -> None:
    stream = bytearray(stream_of(frames))
    at, bit = data.draw(st.integers(0, len(stream) - 1)), data.draw(st.integers(0, 7))
    stream[at] ^= 1 << bit
    whole, end = 0, 0  # frames that end before the damage
    for kind, request, payload in frames:
        end += len(stream_of([(kind, request, payload)]))
        whole += end <= at
    found: list[Frame] = []
    with pytest.raises(ProtocolError):  # one flipped bit never goes unseen
        read(FrameReader(LIMITS), bytes(stream), None, found)
    assert [(frame.type, frame.request, bytes(frame.payload)) for frame in found] == frames[:whole]


@given(st.binary(max_size=200))
def test_noise_is_no_frame(noise: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert read(FrameReader(LIMITS), noise) == []


def header(**changed: int) -> bytes:
    values = {"version": VERSION, "kind": 1, "flags": 0, "request": 0, "length": 0, "checksum": 0} | changed
    fields = struct.pack("<4sBBHQII", MAGIC, *values.values())
    return fields + struct.pack("<I", zlib.crc32(fields))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": 2}, "version 2 of the protocol, and this is version 1"),
        ({"kind": 0}, "no type 0"),
        ({"kind": 13}, "no type 13"),
        ({"flags": 1}, "flags"),
        ({"length": 65}, "states 65 bytes, and at most 64 are allowed"),
        ({"length": 2**32 - 1}, "at most 64 are allowed"),
        ({"kind": 5}, "a QUERY frame does not belong here"),
    ],
)
def test_headers_that_are_refused(changed: dict[str, int], words: str) -> None:
    reader = FrameReader({FrameType.HELLO: 64})
    with pytest.raises(ProtocolError, match=words):
        read(reader, header(**changed))
    assert len(reader._memory) == HEADER_BYTES, "no memory was asked for"


def test_what_a_header_says() -> None:
    parsed = parse_header(header(kind=6, request=2**64 - 1, length=7, checksum=9))
    assert parsed == (FrameType.ANSWER, 2**64 - 1, 7, 9)
    with pytest.raises(ProtocolError, match="does not speak"):
        parse_header(b"GET / HTTP/1.1\r\nHost: board\r\n\r\n")


def test_a_payload_keeps_its_memory() -> None:
    """The next frame does not write over it."""
    reader = FrameReader(LIMITS)
    one, other = read(reader, stream_of([(FrameType.QUERY, 1, b"first"), (FrameType.QUERY, 2, b"other")]))
    assert (bytes(one.payload), bytes(other.payload)) == (b"first", b"other")


def test_sending_does_not_copy() -> None:
    pixels = bytearray(b"pixels")
    pieces = pack(FrameType.QUERY, 1, b"", pixels)
    assert len(pieces) == 2
    assert pieces[1] is pixels
