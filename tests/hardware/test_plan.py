"""`python -m qlight hardware`: plans from the command line, and one clear line for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qlight.__main__ import main
from qlight.errors import InputError
from qlight.hardware import command
from qlight.hardware.boards import load_board
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.plan import load_folding, make_plan
from qlight.intgraph import Graph
from tests.hardware.strategies import random_graph


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    random_graph(0).save(folder)
    return folder


def test_a_plan_is_printed_and_written(graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plans" / "plan.json"
    assert main(["hardware", "plan", "--graph", str(graph), "--board", "zcu104", "--fps", "10000", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ZCU104, xczu7ev-ffvc1156-2-e, 300 MHz" in said
    assert "estimated" in said
    plan = json.loads(out.read_text())
    assert load_folding(out, "folding") == plan["folding"]
    assert plan["fps_estimate"] >= 10000
    assert plan["cycles"] <= 30000
    assert plan["graph_hash"] == Graph.load(graph).content_hash
    assert list(make_pipeline(Graph.load(graph), plan["folding"]).folding) == ["conv0", "conv1", "output"]
    assert list(tmp_path.rglob("*.part")) == []


def test_without_a_frame_rate_it_is_the_fastest(graph: Path) -> None:
    board = load_board("zcu104")
    fastest, slower = make_plan(Graph.load(graph), board), make_plan(Graph.load(graph), board, 5000)
    assert fastest.fps > slower.fps >= 5000
    assert fastest.cycles == 576, "a pixel of the window a cycle"
    assert fastest.bottleneck in ("conv0", "conv1")
    assert slower.resources.lut < fastest.resources.lut
    assert slower.shares[slower.scarcest] == max(slower.shares.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["plan", "--board", "zcu14"], "try zcu104"),
        (["plan", "--board", "zcu104", "--fps", "1e9"], "`fps` of at most 520,833 on ZCU104, since layer 'conv"),
        (["plan", "--board", "zcu104", "--fps", "-3"], "`fps` to be a positive number"),
        (["plan", "--board", "zcu104", "--fsp", "3"], "unrecognized arguments: --fsp"),
        (["plan"], "--board"),
        (["plam", "--board", "zcu104"], "got 'plam'; did you mean plan?"),
        (["synth", "--board", "zcu104", "--unit", "conv11"], "got 'conv11'; did you mean conv1"),
        (["synth", "--board", "zcu104", "--folding", "[1"], "`folding` to be JSON"),
        (["synth", "--board", "zcu104", "--folding", "[1]"], "JSON object, but got list"),
        (["synth", "--board", "zcu104", "--plan", "none.json"], "`plan` to be a file of `hardware plan --out`, but 'none.json' cannot"),
        (["synth", "--board", "zcu104", "--plan", "none.json", "--folding", "{}"], "got both"),
        (["synth", "--board", "zcu104", "--seconds", "0"], "`seconds` to be positive"),
    ],
)
def test_bad_input_is_one_line(graph: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", options[0], "--graph", str(graph), *options[1:]]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("qlight hardware: error: ")
    assert said in error


def test_a_file_that_is_no_plan_is_refused(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"format": "other", "folding": {}}')
    with pytest.raises(InputError, match=r"a file of `hardware plan --out`"):
        command.main(["synth", "--graph", str(graph), "--board", "kv260", "--plan", str(path)])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not JSON"):
        load_folding(path, "folding")
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(
        InputError, match=r"Expected `folding` to be a file of `hardware plan --out`, but .* has 1048577 bytes; plan again."
    ):
        load_folding(path, "folding")


def test_nothing_or_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="got nothing; did you mean plan"):
        command.main([])
    assert main(["hardware", "--help"]) == 0
    assert "--board BOARD" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_refused(graph: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match=r"a folder that can be written for `plan\.json`"):
        make_plan(Graph.load(graph), load_board("kv260"), 100).save(blocked / "plan.json")
