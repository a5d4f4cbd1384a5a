"""``export --thresholds``: those of float32, or moved onto affine functions of the accumulator; and images for ``--calibration``."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlight.__main__ import main, verb_help
from qlight.hardware import layers
from qlight.intgraph import Graph
from tests.cli.test_bad_input import _fails
from tests.cli.test_targets import save
from tests.conftest import QUIET
from tests.models.networks import classifier


@pytest.fixture
def export(arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    save(classifier(2, 32), tmp_path / "network.ckpt")
    monkeypatch.chdir(tmp_path)
    data = ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "16", "--images", "4", "--calibration", "8"]
    return ["export", *data, *QUIET, "--trainer.accelerator", "cpu", "--ckpt_path", "network.ckpt"]


def test_affine_thresholds_and_those_of_float32(export: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*export, "--out", "exact"]) == 0
    assert "thresholds moved" not in capsys.readouterr().out
    assert main([*export, "--out", "affine", "--thresholds", "affine"]) == 0
    assert "thresholds moved by one accumulator onto affine functions: " in capsys.readouterr().out
    missing = {
        name: sum(len(layer.affine.missing) for layer in layers(Graph.load(name)) if layer.affine is not None)
        for name in ("exact", "affine")
    }
    assert missing["affine"] < missing["exact"]


def test_other_words_are_refused(export: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _fails([*export, "--out", "graph", "--thresholds", "rough"], capsys, tmp_path)
    assert "Expected `thresholds` to be exact or affine, but got 'rough'; leave it out" in line


@pytest.mark.parametrize("count", [0, -3])
def test_calibration_needs_an_image(count: int, export: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _fails([*export, "--out", "graph", "--calibration", str(count)], capsys, tmp_path)
    assert f"Expected `calibration` to be at least 1 image, but got {count}; 256 is the default" in line


def test_help_names_the_option() -> None:
    assert "--thresholds affine" in verb_help("export")
