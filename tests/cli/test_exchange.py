"""``export --format`` and ``import``: graphs leave and come back through ONNX files from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs the extra interop")

from qlight.__main__ import main, verb_help
from qlight.intgraph import Graph
from tests.cli.test_bad_input import _fails
from tests.cli.test_targets import save
from tests.conftest import QUIET
from tests.models.networks import classifier


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(classifier(2, 2), tmp_path / "network.ckpt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(arrays: Path, *more: str) -> list[str]:
    data = ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "16", "--images", "4"]
    return ["export", *data, *QUIET, "--trainer.accelerator", "cpu", "--ckpt_path", "network.ckpt", *more]


def test_what_is_exported_comes_back(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(export(arrays, "--out", "graph")) == 0
    assert main(export(arrays, "--out", "other", "--format", "qonnx")) == 0
    assert "wrote other/graph_qonnx.onnx: graph" in capsys.readouterr().out
    assert main(["import", "--qonnx", "other/graph_qonnx.onnx", "--out", "back"]) == 0
    said = capsys.readouterr().out
    assert Graph.load("back").content_hash == Graph.load("graph").content_hash
    assert "dense1" in said
    assert f"wrote back: graph {Graph.load('graph').content_hash[:16]}" in said
    assert main(export(arrays, "--out", "plain.onnx", "--format", "onnx")) == 0
    assert (here / "plain.onnx").is_file()


def test_an_unknown_format_is_refused_before_anything_is_computed(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = _fails(export(arrays, "--out", "graph", "--format", "qonx"), capsys, here)
    assert "`format` to be one of graph, qonnx, onnx, but got 'qonx'; try qonnx" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "--qonnx"),
        (["--qonnx", "nowhere.onnx", "--out", "back"], "nowhere.onnx"),
        (["--qonnx", "network.ckpt", "--out", "back"], "network.ckpt"),
        (["--qonnx", "network.ckpt", "--out", "back", "--real_weight_bit_width", "x"], "real_weight_bit_width"),
    ],
)
def test_bad_options_of_import(given: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in _fails(["import", *given], capsys, here)


def test_help_of_import_names_its_options() -> None:
    assert all(option in verb_help("import") for option in ("--qonnx", "--out", "--input_scale", "--real_weight_bit_width"))
