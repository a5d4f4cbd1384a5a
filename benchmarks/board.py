"""The board server against PYNQ.remote on loopback: what a batch costs beside the accelerator; and how four clients share.

    python benchmarks/board.py [--batches 1 100 1000] [--rounds 30] [--seconds 5]

Both run the same small network (one layer, a microsecond an image) on the packed engine. Ours: client and board server, a process each; the
time that the server measured on the accelerator is subtracted. Peer: the unmodified pynq 4 (in an environment of its own, made by pip the
first time) on the daemon of the emulated board, another process: fill the buffer, DMA send and receive, wait for both, copy the answers, as
its documentation does; the engine's own time, measured here, is subtracted. Rounds alternate; printed are medians and the median of the
ratios within a round. No physical board is involved.

Sharing: an accelerator of 10,000 images a second, four clients in processes of their own with two batches in flight each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from qlight.board.client import BoardClient
from qlight.board.emulated.design import write_overlay
from qlight.board.emulated.running import Process, start_daemon
from qlight.board.engine import EngineAccelerator
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.hardware.build import write_build
from qlight.intgraph import Graph, GraphBuilder
from qlight.targets import PackedEngine

SHAPE, CLASSES = (32, 32, 3), 10
IMAGES_PER_SECOND = 10_000


def small_graph() -> Graph:
    """One layer on the pixels."""
    builder = GraphBuilder(SHAPE)
    builder.flatten("flat")
    codes = np.random.default_rng(0).integers(-2, 2, (CLASSES, builder.operand.type.channels)).astype(np.int8)
    builder.linear("output", codes, bits=2, encoding="signed")
    return builder.build(np.ones(CLASSES), np.zeros(CLASSES))


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def overhead(batches: Sequence[int], rounds: int, folder: Path) -> None:
    """Print milliseconds of a batch beside the accelerator's, ours and the peer's."""
    graph = small_graph()
    graph.save(folder / "graph")
    build = write_build(graph, folder / "build")
    write_overlay(build)
    engine = PackedEngine(graph, threads=1)
    command = [sys.executable, "-m", "qlight.board", "serve", "--engine", str(folder / "graph"), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        with start_daemon([build.folder], folder / "daemon.log") as daemon, BoardClient(address, batch=1000) as client:
            host = daemon.says.rpartition(":")[0]
            with Process("benchmarks.board_peer", [str(build.folder), host], "ready", folder / "peer.log") as peer:
                print(f"{'batch':>6} {'ours ms':>9} {'pynq.remote ms':>15} {'ratio':>7} {'ours images/s':>14} {'theirs':>10}")
                for count in batches:
                    _compare(count, rounds, engine, client, peer, folder)
    finally:
        server.terminate()
        server.communicate()


def _compare(count: int, rounds: int, engine: PackedEngine, client: BoardClient, peer: Process, folder: Path) -> None:
    images = pixels(count)
    expected = engine(images)
    np.save(shared := folder / f"images-{count}.npy", images)
    accelerator = statistics.median(_timed(engine, images) for _ in range(5))
    peer.ask(f"images {shared}")
    ours, theirs = [], []
    for number in range(rounds + 3):
        before, start = client.traffic.copy(), time.perf_counter()
        found = client.query(images)
        seconds = time.perf_counter() - start - client.traffic.since(before).device_seconds
        assert np.array_equal(found, expected)
        other = float(peer.ask("run")) - accelerator
        if number >= 3:  # the first ones make buffers
            ours.append(seconds)
            theirs.append(other)
    assert peer.ask("answers") == " ".join(str(value) for value in expected[-1])
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    print(f"{count:>6} {1e3 * mine:>9.3f} {1e3 * other:>15.3f} {ratio:>7.1f} {count / mine:>14,.0f} {count / other:>10,.0f}", flush=True)


def _timed(engine: PackedEngine, images: np.ndarray) -> float:
    start = time.perf_counter()
    engine(images)
    return time.perf_counter() - start


def sharing(sizes: Sequence[int], seconds: float) -> None:
    """Print what four clients with batches of these sizes get in the same seconds."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    server = context.Process(target=_serve_slowly, args=(far,))
    server.start()
    address = near.recv()
    gate, ends = context.Barrier(len(sizes)), [context.Pipe() for _ in sizes]
    clients = [
        context.Process(target=_ask_on, args=(address, size, seconds, gate, end)) for size, (_, end) in zip(sizes, ends, strict=True)
    ]
    for each in clients:
        each.start()
    found = [begin.recv() for begin, _ in ends]
    near.send("stop")
    for each in (*clients, server):
        each.join()
    whole = sum(images for images, _ in found)
    for size, (images, latency) in zip(sizes, found, strict=True):
        print(f"  batches of {size:>5}: {images / seconds:>8,.0f} images/s, {images / whole:>6.1%}, {1e3 * latency:>8.1f} ms a batch")


def _serve_slowly(end: Connection) -> None:
    def query(images: np.ndarray) -> np.ndarray:
        time.sleep(len(images) / IMAGES_PER_SECOND)
        return np.zeros((len(images), CLASSES), np.int32)

    with BoardServer(lambda: EngineAccelerator(query, SHAPE, CLASSES, "0" * 64), Settings(port=0)) as server:
        end.send(server.address)
        end.recv()


def _ask_on(address: str, size: int, seconds: float, gate: object, end: Connection) -> None:
    images = pixels(max(size, min(20 * size, 1000)))
    with BoardClient(address, batch=size) as client:
        gate.wait()  # type: ignore[attr-defined]
        start = time.perf_counter()
        before = client.traffic.copy()
        while time.perf_counter() - start < seconds:
            client.query(images)
        spent = client.traffic.since(before)
    scale = seconds / (time.perf_counter() - start)
    end.send((spent.images * scale, spent.seconds / spent.batches))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        overhead(given.batches, given.rounds, Path(place))
    for group in ((100, 100, 100, 100), (1000, 1000, 1000, 1000), (1, 10, 100, 1000)):
        print(f"four clients, batches of {', '.join(str(size) for size in group)}")
        sharing(group, given.seconds)
