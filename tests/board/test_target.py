"""A board as a target: the integers of the reference executor, whatever the board says of itself."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qlight.__main__ import main
from qlight.board.link import BoardError
from qlight.board.packed import open_engine
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.errors import HardwareError, InputError
from qlight.intgraph import Graph
from qlight.targets import BoardTarget, PackedTarget, open_target, parse_target
from qlight.targets.board import DEADLINE, _split
from qlight.verbs.networks import load_networks
from tests.board.test_commands import GRAPH, small_graph
from tests.conftest import QUIET

pytestmark = pytest.mark.filterwarnings("ignore:The packed engine falls back to numpy")
OTHER = Graph(GRAPH.tensors, GRAPH.nodes, GRAPH.logit_scale, GRAPH.logit_bias + 1, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Graph(GRAPH.tensors, GRAPH.nodes, GRAPH.logit_scale, GRAPH.logit_bias, {"precision": "w3a3"}).save(tmp_path / "graph")
    return tmp_path / "graph"


@pytest.fixture
def server(folder: Path) -> Iterator[BoardServer]:
    with open_engine(folder, Settings(port=0)) as running:
        yield running


def images(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (count, 3, 4, 4))).float()


def test_a_board_is_the_packed_target_behind_a_wire(server: BoardServer) -> None:
    target, other = BoardTarget(f"board://{server.address}"), PackedTarget(GRAPH, backend="numpy")
    assert torch.equal(target(images(40)), other(images(40)))
    assert torch.equal(target(images(20)), other(images(20)))
    assert (target.kind, target.graph_hash, target.label) == ("board", GRAPH.content_hash, "w3a3")
    assert (target.queries, target.computed) == (60, 40)
    assert "no hardware" in target.metadata["board"]
    assert target.timing()["images"] == 42, "40 and the check's 2"
    with pytest.raises(InputError, match="a board target has no gradient"):
        target(images(1).requires_grad_()).sum().backward()


def test_a_graph_of_one_s_own(server: BoardServer, folder: Path) -> None:
    for target in (
        BoardTarget(server.address, GRAPH),
        BoardTarget(server.address, folder),
        BoardTarget(f"{server.address}?graph={folder}"),
    ):
        assert target.graph_hash == GRAPH.content_hash
    with pytest.raises(InputError, match=f"to run the graph {OTHER.content_hash[:16]}, but it runs {GRAPH.content_hash[:16]}"):
        BoardTarget(server.address, OTHER)
    with pytest.raises(InputError, match="the graph of a board once"):
        BoardTarget(f"{server.address}?graph={folder}", GRAPH)


def test_copies(server: BoardServer) -> None:
    target = BoardTarget(server.address, budget=50)
    expected = target(images(20))
    for again in (copy.deepcopy(target), pickle.loads(pickle.dumps(target))):
        assert torch.equal(again(images(20)), expected)
        assert (again.queries, target.queries) == (40, 20)
    assert copy.deepcopy(target).client is target.client


def test_a_board_that_computes_something_else_is_refused(folder: Path) -> None:
    running = open_engine(folder, Settings(port=0))
    made = running.owner._open_accelerator

    def wrong() -> Any:
        accelerator: Any = made()
        query = accelerator._query
        accelerator._query = lambda pixels: query(pixels) + np.int32(1)
        return accelerator

    running.owner._open_accelerator = wrong
    with running:
        with pytest.raises(HardwareError, match="gives 2 of 2 random images other accumulators than the reference executor does"):
            BoardTarget(running.address)
        assert BoardTarget(running.address, check=0).graph_hash == GRAPH.content_hash


def test_a_board_whose_graph_was_changed_is_refused(server: BoardServer, folder: Path) -> None:
    OTHER.save(folder)
    with pytest.raises(BoardError, match=r"sent another number|offers the graph .* but runs|is damaged"):
        BoardTarget(server.address)


@pytest.mark.slow
def test_an_attack_through_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of a board are those of the packed engine, and say how long queries took."""
    monkeypatch.chdir(tmp_path)
    small_graph(32).save(tmp_path / "graph")
    x, y = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8), np.arange(12) % 10
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    suite = "{SPSA: {class_path: SPSA, init_args: {steps: 2, evaluations: 4}}, GN: {class_path: GN}}"
    given = ["--data", "Arrays", "--data.path", "data.npz", *QUIET, "--trainer.accelerator", "cpu", "--examples", "0", "--attacks", suite]
    rows = {}
    with open_engine("graph", Settings(port=0)) as server:
        for target in (f"board://{server.address}", "packed:graph"):
            kind = target.partition(":")[0]
            assert main(["attack", *given, "--target", target, "--out", kind]) == 0
            rows[kind] = json.loads(Path(kind, "results.json").read_text())
    said = capsys.readouterr().out
    assert re.search(r"SPSA: images \d+, batches \d+, batch_ms [\d.]+, image_ms [\d.]+, device_ms", said)
    for board, packed in zip(rows["board"], rows["packed"], strict=True):
        assert board["model"]["metadata"].pop("board") == server.stated.description
        assert board["model"]["metadata"].pop("bitstream_sha256") == ""
        different = {name for name in packed if board[name] != packed[name]}
        assert different == {"target", "model"}, "the class of the target"
    assert not Path("packed/timing.json").exists()
    times = json.loads(Path("board/timing.json").read_text())
    assert set(times) == {"SPSA", "GN"}
    (row,) = [row for row in rows["board"] if row["attack"] == "SPSA"]
    assert 0 < times["SPSA"]["images"] <= row["queries"]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("board://pynq:1", ("board://pynq:1", None, None)),
        ("pynq", ("board://pynq", None, None)),
        ("board://pynq?graph=a/b", ("board://pynq", "a/b", None)),
        ("board://pynq?graph=a%20b", ("board://pynq", "a b", None)),
        ("pynq:1?deadline=300", ("board://pynq:1", None, 300.0)),
        ("board://pynq?deadline=0.5&graph=a/b", ("board://pynq", "a/b", 0.5)),
    ],
)
def test_addresses(address: str, found: Any) -> None:
    assert _split(address) == found


@pytest.mark.parametrize(
    "options",
    ["", "graph=", "graph=a&graph=b", "x=1", "graph=a&x=1", "deadline=", "deadline=soon", "deadline=1&deadline=2", "graph=&deadline=1"],
)
def test_addresses_that_are_refused(options: str) -> None:
    with pytest.raises(InputError, match=r"or board://HOST:PORT\?graph=FOLDER&deadline=SECONDS, of which one may be left out, but got"):
        BoardTarget(f"board://pynq?{options}")


def test_the_deadline_of_an_address(server: BoardServer, folder: Path) -> None:
    assert BoardTarget(server.address).client.deadline == DEADLINE == 60
    assert BoardTarget(server.address, deadline=7).client.deadline == 7
    target = open_target(parse_target(f"board://{server.address}?graph={folder}&deadline=300"))
    assert isinstance(target, BoardTarget)
    assert target.client.deadline == 300
    (network,) = load_networks(f"mine=board://{server.address}?deadline=9", "sources")
    assert isinstance(network.module, BoardTarget)
    assert (network.name, network.module.client.deadline) == ("mine", 9)
    with pytest.raises(InputError, match="`deadline` to be a number of seconds above 0"):
        BoardTarget(f"{server.address}?deadline=nan")
    with pytest.raises(InputError, match="the deadline of a board once"):
        BoardTarget(f"{server.address}?deadline=1", deadline=1)


def test_names(server: BoardServer) -> None:
    assert parse_target("board://pynq:7968") == ("board", "//pynq:7968")
    assert open_target(parse_target(f"board://{server.address}")).graph_hash == GRAPH.content_hash
    with pytest.raises(InputError, match=r"board:FOLDER|board://HOST:PORT"):
        parse_target("board")
    with pytest.raises(InputError, match="did you mean board"):
        parse_target("bord://x")
