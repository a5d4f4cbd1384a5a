"""The client: every image one answer, the right one, through restarts and bad wires, or one clear error in time."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from qlight.board.accelerator import DeviceError
from qlight.board.client import BoardClient
from qlight.board.emulated.wire import Wire
from qlight.board.link import BoardError, BoardTimeout, parse_address
from qlight.board.messages import FILES, Query
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.errors import InputError
from tests.board.fakes import GRAPH_HASH, IMAGE_BYTES, FakeAccelerator, answers, images, serve, until
from tests.board.wire import BadWire


@pytest.fixture
def server() -> Iterator[BoardServer]:
    with serve() as running:
        yield running


def crash(server: BoardServer) -> None:
    """End a server as a kill would: no goodbye, nothing more is answered."""

    def cut() -> None:
        for connection in [*server._clients, *server._strangers]:
            connection.cut("crash")

    assert server._loop is not None
    server.stopping = True  # nobody new
    server._loop.call_soon_threadsafe(cut)
    server.stop(drain=0)


@pytest.mark.parametrize("count", [0, 1, 2, 511, 512, 513, 1600])
def test_answers(server: BoardServer, count: int) -> None:
    with BoardClient(server.address) as client:
        found = client.query(images(count))
    assert found.dtype == np.int32
    assert np.array_equal(found, answers(images(count)))
    assert client.traffic.images == count
    assert client.traffic.batches == -(-count // 512)


def test_two_batches_are_in_flight_and_never_more(server: BoardServer) -> None:
    fake = FakeAccelerator()
    with serve(fake) as server, BoardClient(server.address, batch=10) as client, ThreadPoolExecutor(1) as pool:
        fake.gate.clear()
        running = pool.submit(client.query, images(100))
        until(lambda: sum(connection.waiting for connection in server._clients) == 2)
        time.sleep(0.05)
        assert sum(connection.waiting for connection in server._clients) == 2
        fake.gate.set()
        assert np.array_equal(running.result(), answers(images(100)))
    assert fake.runs[1:] == [10] * 10


def test_images_in_any_shape_and_memory(server: BoardServer) -> None:
    with BoardClient(server.address) as client:
        pixels = images(6).reshape(6, 2, 2, 3)
        assert np.array_equal(client.execute(pixels), answers(images(6)))
        assert np.array_equal(client.query(pixels[::2]), answers(images(6)[::2]))
        wide = np.zeros((4, 2 * IMAGE_BYTES), np.uint8)[:, ::2]
        assert np.array_equal(client.query(wide), answers(np.ascontiguousarray(wide)))


@pytest.mark.parametrize(
    "pixels", [[1], np.zeros((2, 12)), np.zeros(12, np.uint8), np.zeros((2, 11), np.uint8), np.zeros((2, 2, 2, 4), np.uint8), None]
)
def test_pixels_that_are_refused(server: BoardServer, pixels: Any) -> None:
    with BoardClient(server.address) as client, pytest.raises(InputError, match="`pixels` to be uint8, N images of 12 bytes, but got"):
        client.query(pixels)


@pytest.mark.parametrize(
    "setting",
    [{"deadline": 0}, {"deadline": float("nan")}, {"batch": 0}, {"batch": "2"}, {"batch": 0.5}, {"in_flight": -1}, {"in_flight": True}],
)
def test_settings_that_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(setting))}` to be a .*number.* above 0"):
        BoardClient("127.0.0.1:1", **setting)


@pytest.mark.parametrize(
    "address", ["", "board://", "http://host:1", "host:0", "host:70000", "host:x", "user@host:1", "board://host/path", "[::1"]
)
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(InputError, match="board://HOST:PORT, but got"):
        parse_address(address)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(BoardError, match=rf"Expected a board server at 127.0.0.1:{port}, but connection refused; start one"):
        BoardClient(f"127.0.0.1:{port}")
    assert time.monotonic() - begun < 9


def test_somebody_else_there() -> None:
    """A web server, and one that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BoardError, match="does not speak qlight's board protocol"):
            BoardClient(address)
        thread.join(10)
        with pytest.raises(BoardError, match="it did not greet in time"):
            BoardClient(address, deadline=0.2)


def test_another_graph(server: BoardServer) -> None:
    BoardClient(server.address, graph_hash=GRAPH_HASH).close()
    with pytest.raises(InputError, match="to run the graph 1212121212121212, but it runs abababababababab; serve that one's build"):
        BoardClient(server.address, graph_hash="12" * 32)


@pytest.mark.parametrize("end", [BoardServer.stop, crash])
def test_restarts_in_the_middle_lose_and_repeat_nothing(end: Any) -> None:
    pixels, port = images(1500), 0
    running = serve().start()
    port = running.settings.port or int(running.address.rpartition(":")[2])
    with ThreadPoolExecutor(1) as pool, BoardClient(running.address, batch=20) as client:
        query = pool.submit(client.query, pixels)
        for at in (100, 400, 800):
            until(lambda at=at: client.traffic.images >= at or query.done())
            end(running)
            running = serve(port=port).start()
        assert np.array_equal(query.result(30), answers(pixels))
        running.stop()
    assert client.traffic.images == 1500
    assert client.traffic.batches == 75
    assert 1 <= client.traffic.reconnects <= 3
    assert client.traffic.repeated <= client.traffic.reconnects * 40


def greeted(address: str) -> BoardClient:
    """A client on a bad wire, where the first greeting may meet a fault as well."""
    for _ in range(20):
        with contextlib.suppress(BoardError):
            return BoardClient(address, batch=10)
    raise AssertionError("twenty greetings failed")


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_wire_gives_no_wrong_answer(server: BoardServer, seed: int) -> None:
    pixels = images(1000, seed)
    with BadWire(server.address, 3000, seed) as wire, greeted(wire.address) as client:
        assert np.array_equal(client.query(pixels), answers(pixels))
    assert wire.faults > 0
    assert client.traffic.images == 1000
    assert client.traffic.reconnects > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_query_is_sent_again(server: BoardServer, seed: int) -> None:
    pixels = images(2000, seed)
    wire = Wire(parse_address(server.address), seed)
    with BoardClient(wire.address, batch=100) as client:
        wire.arm("corrupt_packet", 5000)
        assert np.array_equal(client.query(pixels), answers(pixels))
        assert not wire.waiting
        assert (client.traffic.images, client.traffic.reconnects) == (2000, 1)
    wire.close()


def test_what_the_server_takes_for_no_protocol_is_not_sent_for_ever(server: BoardServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with BoardClient(server.address) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Query, "header", staticmethod(lambda count, milliseconds: struct.pack("<II", count + 1, milliseconds)))
            with pytest.raises(BoardError, match="could not answer: a QUERY frame states 6 images"):
                client.query(images(5))
        assert (client.traffic.reconnects, client.traffic.repeated) == (3, 15)
        assert np.array_equal(client.query(images(5)), answers(images(5)))


def test_a_server_that_comes_back_with_another_network() -> None:
    first = serve().start()
    port = int(first.address.rpartition(":")[2])
    with BoardClient(first.address) as client:
        first.stop()
        other = FakeAccelerator()
        other.graph_hash = "99" * 32
        with serve(other, port=port), pytest.raises(BoardError, match="came back with another graph_hash; begin again"):
            client.query(images(3))
        with serve(port=port, memory=24 * IMAGE_BYTES), pytest.raises(BoardError, match="came back with room for fewer images"):
            client.query(images(3))
        with serve(port=port):
            assert np.array_equal(client.query(images(3)), answers(images(3))), "a client goes on when its network is back"


def test_a_server_that_stays_away() -> None:
    server = serve().start()
    with BoardClient(server.address, deadline=0.5) as client:
        server.stop()
        begun = time.monotonic()
        with pytest.raises(BoardTimeout, match=r"within 0.5 s, but it did not \(connection refused\); [05] images are unanswered"):
            client.query(images(5))
        assert time.monotonic() - begun < 20


def test_an_accelerator_that_is_too_slow() -> None:
    fake = FakeAccelerator()
    with serve(fake) as server, BoardClient(server.address, deadline=0.3) as client:
        fake.gate.clear()
        with pytest.raises(
            BoardTimeout, match=r"within 0.3 s(: the deadline passed with 0 of 5 images done|, but it did not; 5 images are)"
        ):
            client.query(images(5))
        fake.gate.set()
        assert np.array_equal(client.query(images(7, 1)), answers(images(7, 1))), "the next query is answered for itself"


def test_an_accelerator_that_fails() -> None:
    fake = FakeAccelerator([None, *[step for _ in range(3) for step in (DeviceError("DMA error 5"), None)]])
    with serve(fake) as server, BoardClient(server.address) as client:
        with pytest.raises(BoardError, match="could not answer: the accelerator failed 3 times, resets in between: DMA error 5"):
            client.query(images(5))
        assert np.array_equal(client.query(images(5)), answers(images(5)))


def test_all_places_taken() -> None:
    with serve(clients=1) as server, BoardClient(server.address) as client:
        with pytest.raises(BoardError, match="all places of clients are taken"):
            BoardClient(server.address)
        assert len(client.query(images(1))) == 1
        client.close()
        until(lambda: not server._clients)
        BoardClient(server.address).close()


def test_threads_share_a_client(server: BoardServer) -> None:
    with BoardClient(server.address, batch=7) as client, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: np.array_equal(client.query(images(40, seed)), answers(images(40, seed))), range(20)))
    assert all(found)
    assert client.traffic.images == 800


def test_copies_and_pickles(server: BoardServer) -> None:
    with BoardClient(server.address, batch=7) as client:
        assert copy.deepcopy(client) is client
        with pickle.loads(pickle.dumps(client)) as again:
            assert again._link is not client._link
            assert again.batch == 7
            assert np.array_equal(again.query(images(30)), answers(images(30)))
        assert f"{server.address}, graph=abababababab" in repr(client)


def test_a_forked_process_has_a_connection_of_its_own(server: BoardServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with BoardClient(server.address) as client:
        inherited = client._link
        monkeypatch.setattr(os, "getpid", lambda: client._process + 1)
        assert np.array_equal(client.query(images(3)), answers(images(3)))
        assert client._link is not inherited
        assert inherited is not None
        inherited.close()


def test_throughput_and_status(server: BoardServer) -> None:
    with BoardClient(server.address) as client:
        found = client.throughput_test(100)
        status = client.status()
        summary = client.traffic.summary()
        with pytest.raises(InputError, match="`images` to be a whole number from 1"):
            client.throughput_test(0)
    assert {"runtime[ms]", "throughput[images/s]", "DRAM_in_bandwidth[MB/s]", "DRAM_out_bandwidth[MB/s]", "batch_size"} < set(found)
    assert found["throughput[images/s]"] == pytest.approx(1e5 / found["runtime[ms]"])
    assert found["batch_size"] == 100
    assert (status["images"], status["clients"], status["trouble"]) == (100, 1, "")
    assert summary["images"] == 100
    assert 0 <= summary["device_ms_per_image"] <= summary["image_ms"]


def test_files(tmp_path: Any) -> None:
    contents = {FILES[0]: b"{}", FILES[1]: os.urandom((1 << 20) + 5)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    server = BoardServer(FakeAccelerator, Settings(port=0), files={name: tmp_path / name for name in FILES})
    with server, BoardClient(server.address) as client:
        assert {name: client.file(name) for name in FILES} == contents
        with pytest.raises(InputError, match=r"to offer '../secret', but it does not; give the graph's folder"):
            client.file("../secret")
        (tmp_path / FILES[1]).write_bytes(b"cut")
        with pytest.raises(BoardError, match="sent another number"):
            client.file(FILES[1])
