"""What a server says to whom: nothing to strangers, the protocol to clients, and an end to who breaks it."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from qlight.board.client import BoardClient
from qlight.board.link import Address, BoardError, Link, parse_address
from qlight.board.messages import NONCE_BYTES, Code, Query, ask_file_payload, proof, read_error
from qlight.board.protocol import Frame, FrameReader, FrameType, pack
from qlight.board.server import BoardServer
from tests.board.fakes import IMAGE_BYTES, TOKEN, FakeAccelerator, images, serve, until
from tests.board.fuzz import changed, frames, fuzz


@pytest.fixture
def server() -> Iterator[BoardServer]:
    with serve(token=TOKEN) as running:
        yield running


def address(server: BoardServer) -> Address:
    return parse_address(server.address)


def link(server: BoardServer) -> Link:
    return Link(address(server), TOKEN, None, time.monotonic() + 10)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    connection.settimeout(10)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            found += piece
    return found


def receive(over: Link) -> Frame:
    return over.receive(time.monotonic() + 10)


def test_a_server_stops_although_a_client_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transport then refuses what it is told; the others get their goodbye all the same."""

    def gone() -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    with serve(token=TOKEN) as running:
        lost = link(running)
        (connection,) = running._clients
        monkeypatch.setattr(connection._transport, "write_eof", gone)
        stays = link(running)
        running.stop()
        assert receive(stays).type is FrameType.BYE
        lost.close()


def test_malformed_streams() -> None:
    """The same by hand with a million: `python -m tests.board.fuzz`."""
    counts = fuzz(2000, seed=1)
    assert counts["strangers cut off"] + counts["strangers that did not end their frame"] == 1000
    assert counts["eavesdroppers cut off"] + counts["eavesdroppers that did not end their frame"] == 500
    assert counts["clients cut off"] + counts["clients left"] == 500
    assert counts["clients told ERROR"] > 100


def test_malformed_streams_over_sockets(server: BoardServer) -> None:
    rng = random.Random(3)
    for _ in range(60):
        with socket.create_connection(address(server), 10) as stranger:
            with contextlib.suppress(OSError):  # it may be cut off before it has said all
                stranger.sendall(changed(frames(rng), rng) + b"\0" * 28)  # enough to end any header
                stranger.shutdown(socket.SHUT_WR)
            assert everything(stranger) == b""
    with BoardClient(server.address, token=TOKEN) as client:
        assert len(client.query(images(3))) == 3


@pytest.mark.parametrize("token", [b"", TOKEN[:-1], TOKEN + b"x", b"another token of the tests"])
def test_who_does_not_know_the_token_hears_nothing(server: BoardServer, token: bytes) -> None:
    nonce = bytes(NONCE_BYTES)
    with socket.create_connection(address(server), 10) as stranger:
        stranger.sendall(b"".join(pack(FrameType.HELLO, 0, nonce, proof(token, "hello", nonce))))
        assert everything(stranger) == b""
    with pytest.raises(BoardError, match=r"Expected a board server at 127.0.0.1:\d+, but .* while greeting \(does it want another token"):
        BoardClient(server.address, token=token)


def test_a_server_that_does_not_know_the_token_is_not_asked() -> None:
    """Somebody who repeats what a server said gets no PROOF of the client."""
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        impostor.settimeout(10)
        found = []

        def run() -> None:
            connection = impostor.accept()[0]
            with connection:
                connection.recv(4096)
                connection.sendall(b"".join(pack(FrameType.CHALLENGE, 0, bytes(64))))
                found.append(everything(connection))

        thread = threading.Thread(target=run)
        thread.start()
        with pytest.raises(BoardError, match="does not know the token"):
            BoardClient(f"127.0.0.1:{impostor.getsockname()[1]}", token=TOKEN)
        thread.join(10)
    assert found == [b""]


def test_a_proof_of_another_connection_does_not_do(server: BoardServer) -> None:
    reader = FrameReader({FrameType.CHALLENGE: 64})
    nonce = bytes(NONCE_BYTES)
    with socket.create_connection(address(server), 10) as one:
        one.sendall(b"".join(pack(FrameType.HELLO, 0, nonce, proof(TOKEN, "hello", nonce))))
        found = None
        while found is None:
            found = reader.filled(one.recv_into(reader.buffer()))
        theirs = bytes(found.payload[:NONCE_BYTES])
        overheard = b"".join(pack(FrameType.PROOF, 0, proof(TOKEN, "proof", theirs + nonce)))
        with socket.create_connection(address(server), 10) as other:
            other.sendall(b"".join(pack(FrameType.HELLO, 0, nonce, proof(TOKEN, "hello", nonce))) + overheard)
            assert len(everything(other)) == 28 + 64, "a challenge of its own, and no welcome"
        one.sendall(overheard)
        assert one.recv(4096)[5] == FrameType.WELCOME, "where it belongs it does"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pack(FrameType.PROOF, 0, bytes(32)), "a PROOF frame does not belong here"),
        (pack(FrameType.ANSWER, 0, bytes(24)), "a ANSWER frame does not belong here"),
        (pack(FrameType.QUERY, 1, Query.header(2, 5), bytes(IMAGE_BYTES)), "states 2 images of 12 bytes and holds 12 bytes"),
        (pack(FrameType.QUERY, 1, b"\0"), "too short"),
        (pack(FrameType.ASK_FILE, 1, b"\0"), "not of its size"),
        ([b"GET / HTTP/1.1\r\nHost: a.board\r\n\r\n"], "does not speak"),
    ],
)
def test_a_client_that_breaks_the_protocol_is_told_and_cut_off(server: BoardServer, frame: list[bytes], words: str) -> None:
    over = link(server)
    over._socket.sendall(b"".join(frame))
    found = receive(over)
    code, text = read_error(found.payload)
    assert (found.type, found.request, code) == (FrameType.ERROR, 0, Code.PROTOCOL)
    assert words in text
    with pytest.raises(BoardError, match="closed the connection"):
        receive(over)
    over.close()


def test_a_frame_that_is_too_large_takes_no_memory(server: BoardServer) -> None:
    over = link(server)
    most = server.stated.most_images
    fields = struct.pack("<4sBBHQII", b"QLBD", 1, FrameType.QUERY, 0, 1, 8 + (most + 1) * IMAGE_BYTES, 0)
    over._socket.sendall(fields + struct.pack("<I", zlib.crc32(fields)))
    assert f"at most {8 + most * IMAGE_BYTES} are allowed" in read_error(receive(over).payload)[1]
    over.close()


def test_more_in_flight_than_allowed() -> None:
    fake = FakeAccelerator()
    with serve(fake, token=TOKEN, in_flight=2) as server:
        fake.gate.clear()
        over, pixels = link(server), images(1).tobytes()
        for number in (1, 2, 3):
            over.send(time.monotonic() + 10, FrameType.QUERY, number, Query.header(1, 10_000), pixels)
        assert "more than 2 requests" in read_error(receive(over).payload)[1]
        until(lambda: not server._clients)
        fake.gate.set()
        over.close()


def test_the_same_number_twice() -> None:
    fake = FakeAccelerator()
    with serve(fake, token=TOKEN) as server:
        fake.gate.clear()
        over, pixels = link(server), images(1).tobytes()
        for _ in range(2):
            over.send(time.monotonic() + 10, FrameType.QUERY, 7, Query.header(1, 10_000), pixels)
        assert "the request 7 came twice" in read_error(receive(over).payload)[1]
        fake.gate.set()
        over.close()


def test_a_late_answer_is_not_given_to_who_has_its_number_now() -> None:
    """A request that expired, and another of the same number: each is answered for itself, once."""
    fake = FakeAccelerator()
    with serve(fake, token=TOKEN) as server:
        over = link(server)
        fake.gate.clear()
        over.send(time.monotonic() + 10, FrameType.QUERY, 7, Query.header(1, 1), images(1, 1).tobytes())
        assert read_error(receive(over).payload)[0] == Code.DEADLINE
        over.send(time.monotonic() + 10, FrameType.QUERY, 7, Query.header(2, 10_000), images(2, 2).tobytes())
        until(lambda: server.owner.queue.images == 2)
        fake.gate.set()
        found = receive(over)
        assert (found.type, found.request) == (FrameType.ANSWER, 7)
        assert struct.unpack_from("<I", found.payload)[0] == 2
        over.close()


def test_files_that_are_not_offered(server: BoardServer) -> None:
    over = link(server)
    for number in (0, 1, 2, 255):
        over.send(time.monotonic() + 10, FrameType.ASK_FILE, 5, ask_file_payload(number, 0))
        found = receive(over)
        assert (found.request, read_error(found.payload)[0]) == (5, Code.FILE)
    over.close()


def test_who_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qlight.board.server._GREETING_SECONDS", 0.1)
    monkeypatch.setattr("qlight.board.server._FRAME_SECONDS", 0.1)
    monkeypatch.setattr("qlight.board.server._TICK_SECONDS", 0.02)
    with serve(token=TOKEN) as server, socket.create_connection(address(server), 10) as silent:
        assert everything(silent) == b""
        over = link(server)
        time.sleep(0.3)
        over.send(time.monotonic() + 10, FrameType.ASK_STATUS, 1)
        assert receive(over).type is FrameType.STATUS, "who waits between frames may stay"
        over._socket.sendall(pack(FrameType.QUERY, 1, Query.header(1, 5), bytes(IMAGE_BYTES))[0][:10])
        with pytest.raises(BoardError, match=r"closed|reset"):
            receive(over)
        over.close()


def test_strangers_do_not_keep_others_out(server: BoardServer) -> None:
    with contextlib.ExitStack() as silent:
        for _ in range(40):
            silent.enter_context(socket.create_connection(address(server), 10))
        with BoardClient(server.address, token=TOKEN) as client:
            assert len(client.query(images(3))) == 3
        until(lambda: len(server._strangers) in (31, 32))
    until(lambda: not server._strangers)
