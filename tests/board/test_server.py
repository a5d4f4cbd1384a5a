"""The server as a whole: it starts or says why not, shares fairly, and ends without taking anything with it."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from qlight.board.accelerator import DeviceError, Parameters
from qlight.board.client import BoardClient
from qlight.board.link import BoardError
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.errors import InputError
from tests.board.fakes import IMAGE_BYTES, FakeAccelerator, answers, images, serve, until


def test_a_port_that_is_taken() -> None:
    fake = FakeAccelerator()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"Expected to listen on 127.0.0.1:{port}, but that is not possible"):
            serve(fake, port=port).start()
    assert fake.closed == 1


def test_memory_for_no_image() -> None:
    """Eight clients may have three frames each here."""
    fake = FakeAccelerator()
    with pytest.raises(InputError, match=r"`memory` for 24 images of 12 bytes at least.* but got 287 bytes"):
        serve(fake, memory=24 * IMAGE_BYTES - 1).start()
    assert fake.closed == 1
    with serve(memory=24 * IMAGE_BYTES) as server, BoardClient(server.address) as client:
        assert client.batch == 1
        assert np.array_equal(client.query(images(5)), answers(images(5)))


def test_an_accelerator_that_does_not_open() -> None:
    def fail() -> Any:
        raise DeviceError("no bitstream")

    with pytest.raises(DeviceError, match="no bitstream"):
        BoardServer(fail, Settings(port=0)).start()
    until(lambda: not any(thread.name.startswith("qlight-") for thread in threading.enumerate()))


def test_parameters_are_loaded_at_the_start() -> None:
    fake = FakeAccelerator(parameter_words=3)
    words = np.arange(3, dtype=np.uint32)
    made = BoardServer(lambda: fake, Settings(port=0), parameters=Parameters(words, "12" * 32))
    with made as server, BoardClient(server.address) as client:
        assert (fake.loads, client.welcome.graph_hash, client.welcome.parameter_words) == (1, "12" * 32, 3)


def test_what_waits_is_answered_before_the_end() -> None:
    fake = FakeAccelerator()
    server = serve(fake).start()
    with BoardClient(server.address, batch=10) as client, ThreadPoolExecutor(2) as pool:
        fake.gate.clear()
        query = pool.submit(client.query, images(20))
        until(lambda: sum(connection.waiting for connection in server._clients) == 2)
        ending = pool.submit(server.stop)
        until(lambda: server.stopping)
        with pytest.raises(BoardError):
            BoardClient(server.address)
        fake.gate.set()
        assert np.array_equal(query.result(20), answers(images(20)))
        assert client.traffic.reconnects == 0
        ending.result(20)
    assert fake.closed == 1


def test_four_clients_share_fairly() -> None:
    """With batches of 10 to 40 images each has as many images as any other, within a batch, whenever all of them wait."""
    fake, step, sizes = FakeAccelerator(), threading.Semaphore(0), (10, 20, 30, 40)
    served: Counter[int] = Counter()

    def stepped(pixels: np.ndarray) -> np.ndarray:
        step.acquire()
        served[int(pixels[0, 0])] += len(pixels)
        return answers(pixels)

    fake.script = [None, *[stepped] * 1000]
    with serve(fake) as server, ThreadPoolExecutor(4) as pool:
        clients = [BoardClient(server.address, batch=size) for size in sizes]
        batches = [np.full((2000, IMAGE_BYTES), name, np.uint8) for name in range(4)]
        queries = [pool.submit(client.query, pixels) for client, pixels in zip(clients, batches, strict=True)]
        for turn in range(60):
            until(lambda: sum(connection.waiting for connection in server._clients) == 8)
            if turn >= 8:
                assert max(served.values()) - min(served[name] for name in range(4)) <= max(sizes)
            before = sum(served.values())
            step.release()
            until(lambda before=before: sum(served.values()) > before)
        step.release(1000)
        for query, pixels in zip(queries, batches, strict=True):
            assert np.array_equal(query.result(30), answers(pixels))
        for client in clients:
            client.close()


def test_status_of_an_accelerator_in_trouble() -> None:
    fake = FakeAccelerator([None, DeviceError("DMA error")])
    with serve(fake) as server, BoardClient(server.address) as client:
        client.query(images(5))
        status = client.status()
    assert (status["failures"], status["resets"], status["last_failure"], status["trouble"]) == (1, 1, "DMA error", "")
    assert (status["images"], status["clients_served"], status["images_waiting"]) == (5, 1, 0)
