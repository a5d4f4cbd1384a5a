"""What the payloads of frames hold. All integers are little-endian; nothing here trusts what it reads."""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
import re
import struct
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from qlight.board.protocol import FrameType, ProtocolError

NONCE_BYTES = PROOF_BYTES = 32
#: the most bytes of JSON, of an error's text, and of a piece of a file
MOST_JSON, MOST_TEXT, MOST_PIECE = 1 << 16, 1 << 10, 1 << 20
#: the most bytes of pixels and their count that any server takes in one frame
MOST_QUERY = 1 << 28
#: files of the graph that a server may offer, by number
FILES = ("graph.json", "tensors.safetensors")
_QUERY, _ANSWER, _ERROR, _ASK_FILE = (struct.Struct(layout) for layout in ("<II", "<IIQQ", "<H", "<BQ"))
QUERY_BYTES, ANSWER_BYTES, ASK_FILE_BYTES = _QUERY.size, _ANSWER.size, _ASK_FILE.size
#: what a client may send before and after it is known, and a server at all
HELLO_LIMITS = {FrameType.HELLO: NONCE_BYTES + PROOF_BYTES}
PROOF_LIMITS = {FrameType.PROOF: PROOF_BYTES}
GREETING_LIMITS = {FrameType.CHALLENGE: NONCE_BYTES + PROOF_BYTES, FrameType.WELCOME: MOST_JSON, FrameType.ERROR: MOST_TEXT}


class Code(enum.IntEnum):
    """Why there is no answer."""

    PROTOCOL = 1  # the client broke the protocol, or the wire damaged its frame; the connection ends
    DEADLINE = 2  # the request's deadline passed
    DEVICE = 3  # the accelerator failed, and resets did not help in time
    STOPPING = 4  # the server stops; ask it, or its successor, again
    FILE = 5  # there is no such file
    BUSY = 6  # all places of clients are taken; try again later


def proof(token: bytes, who: str, *nonces: bytes | memoryview) -> bytes:
    """HMAC-SHA256 of nonces by one who knows the token; `who` keeps one message from standing for another.

    Args:
        token: shared secret; empty where the server asks for none.
        who: "hello", "challenge" or "proof".
    """
    return hmac.new(token, b"qlight board 1 " + who.encode("ascii") + b"\0" + b"".join(nonces), hashlib.sha256).digest()


def same(one: bytes | memoryview, other: bytes | memoryview) -> bool:
    """Equality that takes as long whatever differs."""
    return hmac.compare_digest(bytes(one), bytes(other))


@dataclass(frozen=True)
class Welcome:
    """What a server serves.

    Attributes:
        graph_hash, geometry_hash, bitstream_hash, description, image_bytes, classes, parameter_words: of the `Accelerator`.
        most_images: in one QUERY.
        in_flight: queries that a client may have unanswered.
        run: 32 hexadecimal digits that are new whenever a server starts.
        version: of qlight on the server.
        files: bytes of the graph's files that are offered, by name.
    """

    graph_hash: str
    geometry_hash: str
    bitstream_hash: str
    description: str
    image_bytes: int
    classes: int
    parameter_words: int
    most_images: int
    in_flight: int
    run: str
    version: str
    files: dict[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode("ascii")

    @classmethod
    def from_bytes(cls, payload: bytes | memoryview) -> Welcome:
        """Read JSON; keys that are not known are left out.

        Raises:
            ProtocolError: it is none, or a value is missing or wrong.
        """
        held = json_object(payload)
        try:
            found = cls(**{each.name: held[each.name] for each in fields(cls)})
        except KeyError as error:
            raise ProtocolError(f"the server does not state its {error.args[0]}") from None
        hashes = ((found.graph_hash, 64), (found.geometry_hash, 64), (found.bitstream_hash or "0" * 64, 64), (found.run, 32))
        counts = (found.image_bytes, found.classes, found.most_images, found.in_flight)
        sizes = found.files.values() if isinstance(found.files, dict) else (None,)
        if (
            not all(isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", text) for text, digits in hashes)
            or not all(type(count) is int and 0 < count <= MOST_QUERY for count in counts)
            or not all(type(size) is int and size >= 0 for size in (*sizes, found.parameter_words))
            or not all(isinstance(text, str) and text.isprintable() for text in (found.description, found.version))
            or found.image_bytes * found.most_images > MOST_QUERY
        ):
            raise ProtocolError("the server states hashes or sizes that cannot be")
        return found


def json_object(payload: bytes | memoryview) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ProtocolError: it is none.
    """
    try:
        held = json.loads(bytes(payload))
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise ProtocolError("a frame does not hold the JSON object that it must")
    return held


class Query(NamedTuple):
    """Images: the milliseconds that they may take, and uint8 N x image_bytes, a view of the payload."""

    milliseconds: int
    pixels: np.ndarray[Any, Any]

    @staticmethod
    def header(count: int, milliseconds: int) -> bytes:
        """What stands before the pixels."""
        return _QUERY.pack(count, milliseconds)

    @classmethod
    def read(cls, payload: memoryview, image_bytes: int) -> Query:
        """Read a payload.

        Raises:
            ProtocolError: it does not hold the images that it states, or none.
        """
        if len(payload) < QUERY_BYTES:
            raise ProtocolError("a QUERY frame is too short")
        count, milliseconds = _QUERY.unpack_from(payload)
        if count < 1 or len(payload) != QUERY_BYTES + count * image_bytes:
            raise ProtocolError(f"a QUERY frame states {count} images of {image_bytes} bytes and holds {len(payload) - QUERY_BYTES} bytes")
        return cls(milliseconds, np.frombuffer(payload, np.uint8, offset=QUERY_BYTES).reshape(count, image_bytes))


class Answer(NamedTuple):
    """Accumulators int32 N x classes, with the nanoseconds that their images waited for the accelerator, and that it took."""

    waited: int
    device: int
    accumulators: np.ndarray[Any, Any]

    def parts(self) -> tuple[bytes, memoryview]:
        """The payload in pieces."""
        count, classes = self.accumulators.shape
        return _ANSWER.pack(count, classes, self.waited, self.device), np.ascontiguousarray(self.accumulators, "<i4").data.cast("B")

    @classmethod
    def read(cls, payload: memoryview) -> Answer:
        """Read a payload.

        Raises:
            ProtocolError: it does not hold the accumulators that it states.
        """
        if len(payload) < ANSWER_BYTES:
            raise ProtocolError("an ANSWER frame is too short")
        count, classes, waited, device = _ANSWER.unpack_from(payload)
        if len(payload) != ANSWER_BYTES + 4 * count * classes:
            raise ProtocolError(f"an ANSWER frame states {count} x {classes} accumulators and holds {len(payload) - ANSWER_BYTES} bytes")
        return cls(waited, device, np.frombuffer(payload, "<i4", offset=ANSWER_BYTES).reshape(count, classes).astype(np.int32))


def error_payload(code: Code, text: str) -> bytes:
    """A code and a sentence, cut where it is too long."""
    return _ERROR.pack(code) + text.encode("utf-8")[: MOST_TEXT - _ERROR.size]


def read_error(payload: memoryview) -> tuple[int, str]:
    """The code (those of later versions too) and the sentence, printable, of an ERROR frame.

    Raises:
        ProtocolError: it is too short.
    """
    if len(payload) < _ERROR.size:
        raise ProtocolError("an ERROR frame is too short")
    text = bytes(payload[_ERROR.size :]).decode("utf-8", "replace")
    return _ERROR.unpack_from(payload)[0], "".join(sign if sign.isprintable() else " " for sign in text)


def ask_file_payload(number: int, offset: int) -> bytes:
    """Which of `FILES`, and where a piece begins."""
    return _ASK_FILE.pack(number, offset)


def read_ask_file(payload: memoryview) -> tuple[int, int]:
    """The number of a file, and the offset of the piece.

    Raises:
        ProtocolError: it is not of its size.
    """
    if len(payload) != ASK_FILE_BYTES:
        raise ProtocolError("an ASK_FILE frame is not of its size")
    return _ASK_FILE.unpack(payload)


def answer_limits(welcome: Welcome) -> dict[FrameType, int]:
    """What a client takes from the server that sent `welcome`."""
    return {
        FrameType.ANSWER: ANSWER_BYTES + 4 * welcome.most_images * welcome.classes,
        FrameType.ERROR: MOST_TEXT,
        FrameType.FILE: MOST_PIECE,
        FrameType.STATUS: MOST_JSON,
        FrameType.BYE: 0,
    }


def query_limits(image_bytes: int, most_images: int) -> dict[FrameType, int]:
    """What a server takes from a client that it knows."""
    return {FrameType.QUERY: QUERY_BYTES + most_images * image_bytes, FrameType.ASK_FILE: ASK_FILE_BYTES, FrameType.ASK_STATUS: 0}
