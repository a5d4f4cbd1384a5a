"""``python -m qlight.board emulate``: a board to talk to, and plain words where there can be none."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qlight.board.__main__ import main
from qlight.board.client import BoardClient
from qlight.board.emulated import daemon
from qlight.hardware.build import Build
from qlight.intgraph import execute


@pytest.mark.slow
def test_a_graph_becomes_a_board_until_it_is_switched_off(pynq: Path, build: Build) -> None:
    command = [sys.executable, "-m", "qlight.board", "emulate", "--graph", str(build.folder / "graph"), "--fault", "delay@2:0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("board server:"):
                break
        assert lines
        assert "PYNQ_REMOTE_DEVICES=127." in "".join(lines)
        with BoardClient(lines[-1].split()[-1], graph_hash=build.graph.content_hash) as client:
            pixels = np.random.default_rng(0).integers(0, 256, (5, *build.graph.input.shape)).astype(np.uint8)
            np.testing.assert_array_equal(client.query(pixels), execute(build.graph, pixels))
        process.send_signal(signal.SIGTERM)  # SIGINT is ignored by what a script starts in the background
        assert "switched off" in process.stdout.read()
        assert process.wait(30) == 0


def test_the_daemon_listens_to_this_machine_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["daemon", "--build", "nowhere", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit):
        daemon.main()
    assert "must be a loopback address, and 0.0.0.0 is none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--graph", "nowhere"], "nowhere"),
        (["--graph", "nowhere", "--engine", "pakced"], "packed, rtl"),
        (["--graph", "nowhere", "--fault", "frezze"], "freeze"),
        (["--graph", "nowhere", "--port", "99999"], "port"),
    ],
)
def test_bad_options_are_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
