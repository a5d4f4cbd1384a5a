"""One TCP connection of a client: connected, known, and with deadlines on everything. It does not come back by itself."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from qlight.board.messages import (
    GREETING_LIMITS,
    NONCE_BYTES,
    PROOF_BYTES,
    Code,
    Welcome,
    answer_limits,
    proof,
    read_error,
    same,
)
from qlight.board.protocol import DEFAULT_PORT, VERSION, Frame, FrameReader, FrameType, ProtocolError, pack
from qlight.errors import HardwareError, InputError

#: up to so many bytes are copied together, so that a small frame is one packet
_ONE_PACKET = 1 << 16


class BoardError(HardwareError):
    """The board server does not answer as it must."""


class BoardTimeout(BoardError):  # noqa: N818 - named as Python's TimeoutError is
    """The board server did not answer within the deadline."""


class LinkLost(BoardError):  # noqa: N818 - a state of the wire, not yet an error of the caller's
    """The connection ended or broke; another may work."""


class Address(NamedTuple):
    """Where a board server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """The address in ``board://host:port`` or ``host:port``; without a port the usual one.

    Raises:
        InputError: there is none.

    >>> parse_address("board://pynq.local")
    Address(host='pynq.local', port=7968)
    >>> str(parse_address("[::1]:9000"))
    '[::1]:9000'
    """
    try:
        split = urlsplit(text if "://" in text else f"board://{text}")
        host, port = split.hostname, split.port
        if split.scheme != "board" or not host or split.path not in ("", "/") or split.username is not None or port == 0:
            raise ValueError
    except ValueError:
        raise InputError(
            f"Expected the address of a board server, board://HOST:PORT, but got {text!r}; for example board://pynq:7968."
        ) from None
    return Address(host, default_port if port is None else port)


class Link:
    """A connection on which both sides have proved that they know the token.

    Args:
        address: of the server.
        token: shared secret; empty where the server asks for none.
        tls: a client's context; None: plain TCP.
        until: `time.monotonic()` by which it must be up.

    Attributes:
        welcome: what the server serves.

    Raises:
        LinkLost: nobody listens there, or the connection ended.
        BoardError: the other side is no server of this version, or does not know the token.
    """

    def __init__(self, address: Address, token: bytes, tls: ssl.SSLContext | None, until: float) -> None:
        self._reader = FrameReader(GREETING_LIMITS)
        try:
            self._socket: socket.socket = socket.create_connection(address, timeout=_left(until))
        except OSError as error:
            raise LinkLost(_reason(error)) from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=address.host)
            self.welcome = self._greet(token, until)
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise BoardError(f"The certificate of the board server at {address} does not hold ({error.verify_message}).") from error
        except OSError as error:
            self.close()
            raise LinkLost(_reason(error)) from error
        except BaseException:
            self.close()
            raise
        self._reader.limits = answer_limits(self.welcome)

    def send(self, until: float, kind: FrameType, request: int, *parts: bytes | memoryview) -> None:
        """Send a frame.

        Raises:
            LinkLost: the connection ended, or the server does not take it in time.
        """
        pieces = pack(kind, request, *parts)
        try:
            if sum(memoryview(piece).nbytes for piece in pieces) <= _ONE_PACKET:
                pieces = [b"".join(pieces)]
            for piece in pieces:
                self._socket.settimeout(_left(until))
                self._socket.sendall(piece)
        except OSError as error:
            raise LinkLost(_reason(error)) from error

    def receive(self, until: float) -> Frame:
        """The next frame.

        Raises:
            LinkLost: the connection ended, or what came is damaged.
            BoardTimeout: there is none by then.
        """
        while True:
            try:
                self._socket.settimeout(_left(until))
                count = self._socket.recv_into(self._reader.buffer())
            except TimeoutError as error:
                raise BoardTimeout("there was no answer in time") from error
            except OSError as error:
                raise LinkLost(_reason(error)) from error
            if count == 0:
                raise LinkLost("the server closed the connection")
            try:
                frame = self._reader.filled(count)
            except ProtocolError as error:
                raise LinkLost(str(error)) from error
            if frame is not None:
                return frame

    def close(self) -> None:
        """Close it; may be called again."""
        self._socket.close()

    def __del__(self) -> None:  # targets are forgotten rather than closed
        if hasattr(self, "_socket"):
            self._socket.close()

    def _greet(self, token: bytes, until: float) -> Welcome:
        """The handshake."""
        ours = secrets.token_bytes(NONCE_BYTES)
        self.send(until, FrameType.HELLO, 0, ours, proof(token, "hello", ours))
        challenge = self._greeting(until, FrameType.CHALLENGE)
        if len(challenge) != NONCE_BYTES + PROOF_BYTES:
            raise LinkLost("its CHALLENGE frame is not of its size")
        nonces = bytes(challenge[:NONCE_BYTES]) + ours
        if not same(challenge[NONCE_BYTES:], proof(token, "challenge", nonces)):
            raise BoardError("What listens there does not know the token; it may not be your board.")
        self.send(until, FrameType.PROOF, 0, proof(token, "proof", nonces))
        try:
            return Welcome.from_bytes(self._greeting(until, FrameType.WELCOME))
        except ProtocolError as error:
            raise BoardError(f"What listens there is no board server of this version: {error}.") from error

    def _greeting(self, until: float, wanted: FrameType) -> memoryview:
        try:
            frame = self.receive(until)
        except BoardTimeout as error:
            raise LinkLost("it did not greet in time") from error
        except LinkLost as error:
            hint = "" if wanted is FrameType.WELCOME else f" (does it want another token, TLS, or another version than {VERSION}?)"
            raise LinkLost(f"{error} while greeting{hint}") from error
        if frame.type is FrameType.ERROR:
            code, text = read_error(frame.payload)
            raise LinkLost(text if code == Code.BUSY else f"it refused: {text}")
        if frame.type is not wanted:
            raise LinkLost(f"it sent a {frame.type.name} frame in place of {wanted.name}")
        return frame.payload


def _left(until: float) -> float:
    """Seconds until then; a little where none is left, as a timeout of 0 means something else to a socket."""
    return max(1e-3, until - time.monotonic())


def _reason(error: OSError) -> str:
    return "it does not answer" if isinstance(error, TimeoutError) else (error.strerror or str(error) or type(error).__name__).lower()
