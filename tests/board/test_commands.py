"""The command line of a board: `python -m qlight.board`, in processes of its own where signals matter."""

from __future__ import annotations

import ast
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import qlight.board
from qlight.board.__main__ import COMMANDS, main
from qlight.board.client import BoardClient
from qlight.board.commands import STUCK_STATUS
from qlight.board.link import BoardError
from qlight.intgraph import Graph, GraphBuilder, execute
from tests.board.fakes import until

Start = Callable[..., "tuple[subprocess.Popen[str], str]"]


def small_graph(side: int = 4) -> Graph:
    builder = GraphBuilder((side, side, 3))
    builder.flatten("flat")
    codes = np.random.default_rng(0).integers(-4, 4, (10, 3 * side**2)).astype(np.int8)
    builder.linear("output", codes, bits=3, encoding="signed")
    return builder.build(np.ones(10), np.zeros(10))


GRAPH = small_graph()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    GRAPH.save(tmp_path / "graph")
    return tmp_path / "graph"


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a server in a process of its own; the process and its address."""
    running: list[subprocess.Popen[str]] = []

    def run(*args: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "qlight.board", "serve", *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), process.communicate()[1]
        return process, line.split()[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)


def test_serve_until_told_to_stop(folder: Path, start: Start) -> None:
    process, address = start("--engine", str(folder), "--port", "0")
    with BoardClient(address, graph_hash=GRAPH.content_hash) as client:
        assert np.array_equal(client.query(pixels(50)), execute(GRAPH, pixels(50)))
        process.send_signal(signal.SIGTERM)
        output, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output == ""
    assert "no hardware" in said
    assert "Traceback" not in said


def test_status_waits_for_a_server_that_starts(folder: Path, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    assert main(["status", f"board://127.0.0.1:{port}", "--wait", "0.3"]) == 1
    assert "connection refused" in capsys.readouterr().err
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(main, ["status", f"board://127.0.0.1:{port}", "--wait", "60"])
        start("--engine", str(folder), "--port", port)
        assert asked.result(90) == 0
    assert json.loads(capsys.readouterr().out)["serves"]["graph_hash"] == GRAPH.content_hash


@pytest.mark.slow
def test_kills_in_the_middle_of_a_run(folder: Path, start: Start) -> None:
    """SIGKILL, and a new server at the same address: every image one answer, the right one."""
    images = pixels(4000)
    process, address = start("--engine", str(folder), "--port", "0")
    with BoardClient(address, batch=5) as client, ThreadPoolExecutor(1) as pool:
        query = pool.submit(client.query, images)
        for kill in range(1, 4):
            until(lambda kill=kill: client.traffic.images >= 500 * kill or query.done())
            process.kill()
            process.wait()
            process, _ = start("--engine", str(folder), "--port", address.rpartition(":")[2])
        assert np.array_equal(query.result(60), execute(GRAPH, images))
    assert client.traffic.images == 4000
    assert client.traffic.reconnects >= 1
    assert client.traffic.repeated <= 10 * client.traffic.reconnects


@pytest.mark.slow
def test_a_server_whose_accelerator_is_stuck_ends_itself() -> None:
    """So that a supervisor starts it again."""
    script = """
import sys, time
import qlight.board.owner
from qlight.board.commands import run
from qlight.board.owner import Care
from tests.board.fakes import FakeAccelerator, serve
qlight.board.owner.GRACE_SECONDS = 0.0
fake = FakeAccelerator([None, lambda pixels: time.sleep(600)])
sys.exit(run(serve(fake, care=Care(device_seconds=0.1))))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    with BoardClient(address, deadline=1.0) as client:

        def ask() -> None:
            with pytest.raises(BoardError):
                client.query(np.zeros((1, 12), np.uint8))

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask)
            _, said = process.communicate(timeout=60)
            asking.result(60)
    assert process.returncode == STUCK_STATUS
    assert "start the server again" in said


def test_status_and_throughput(folder: Path, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    _, address = start("--engine", str(folder), "--port", "0")
    assert main(["throughput", address, "--images", "100"]) == 0
    assert re.search(r"throughput\[images/s\] +\d", capsys.readouterr().out)
    assert main(["status", f"board://{address}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["serves"]["graph_hash"] == GRAPH.content_hash
    assert found["status"]["images"] == 100


def test_token(tmp_path: Path, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", str(tmp_path / "token")]) == 0
    _, address = start("--engine", str(folder), "--port", "0", "--token_file", str(tmp_path / "token"))
    assert main(["status", address]) == 1
    assert "does it want another token" in capsys.readouterr().err
    monkeypatch.setenv("QLIGHT_BOARD_TOKEN_FILE", str(tmp_path / "token"))
    assert main(["status", address]) == 0


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["sevre"], 2, "did you mean serve"),
        (["serve"], 2, "either --overlay DIR or --engine DIR"),
        (["serve", "--engine", "nowhere"], 2, "nowhere"),
        (["serve", "--overlay", "nowhere"], 2, "manifest.json cannot be read"),
        (["serve", "--engine", "x", "--port", "70000"], 2, "a port from 0 to 65535"),
        (["serve", "--engine", "x", "--host", "0.0.0.0"], 2, "a token or mutual TLS"),
        (["serve", "--engine", "x", "--tls_key", "y"], 2, "--tls_cert with --tls_key"),
        (["serve", "--engine", "x", "--token_file", "nowhere"], 2, "cannot be read"),
        (["status", "http://x"], 2, "board://HOST:PORT"),
        (["status", "127.0.0.1:1"], 1, "connection refused"),
    ],
)
def test_what_is_refused(args: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == status
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


def test_a_server_reads_as_python_3_10() -> None:
    """Images of PYNQ for the older boards have it."""
    root = Path(qlight.board.__file__).parent
    for path in [root.parent / "__init__.py", root.parent / "errors.py", *root.rglob("*.py")]:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


def test_a_server_needs_numpy_only() -> None:
    """And pynq, where there is hardware."""
    script = """
import sys
from qlight.board import commands, pynq_accelerator
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "safetensors", "scipy", "pynq"}))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == "[]\n", found.stderr
