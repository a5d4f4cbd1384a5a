"""Of what the weights' memories are made may be said a layer; without a word nothing changes, and UltraRAM is loaded, not initialized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qlight.errors import InputError
from qlight.hardware.boards import Resources, load_board
from qlight.hardware.build import geometry_hash, load_build, write_build
from qlight.hardware.features import memory_style
from qlight.hardware.folding import Fold
from qlight.hardware.packing import memory_files, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.resources import unit_resources
from qlight.hardware.synth import synthesize_pipeline
from qlight.hardware.top import cell_parameters
from qlight.hardware.units import Mvtu
from tests.hardware.strategies import random_graph

GRAPH = random_graph(0)
FOLDING: dict[str, Any] = {"conv0": [2, 4], "conv1": [2, 8], "output": [1, 8]}


def folding(memory: str) -> dict[str, Any]:
    return {**FOLDING, "conv1": {"pe": 2, "simd": 8, "memory": memory}}


def conv1(memory: str) -> Mvtu:
    unit = make_pipeline(GRAPH, folding(memory)).unit("conv1")
    assert isinstance(unit, Mvtu)
    return unit


@pytest.mark.parametrize("memory", ["block", "distributed", "ultra"])
def test_the_top_level_and_the_model_have_the_memory_that_was_asked_for(memory: str) -> None:
    unit = conv1(memory)
    assert cell_parameters(unit)["RAM_STYLE"] == f'"{memory}"'
    assert unit_resources(unit, "xcup") == unit_resources(conv1("auto"), "xcup", memory)


def test_auto_is_as_if_nothing_was_said() -> None:
    plain, auto = make_pipeline(GRAPH, FOLDING), make_pipeline(GRAPH, folding("auto"))
    assert plain.folding == auto.folding
    assert plain.folding["conv1"].entry == [2, 8]
    assert geometry_hash(plain) == geometry_hash(auto)
    asked = "block" if memory_style(conv1("auto")) == "distributed" else "distributed"
    assert geometry_hash(make_pipeline(GRAPH, folding(asked))) != geometry_hash(plain)


def test_the_word_goes_through_the_manifest(tmp_path: Path) -> None:
    build = write_build(GRAPH, tmp_path / "build", folding("ultra"), board="kv260")
    assert json.loads((build.folder / "manifest.json").read_text())["folding"]["conv1"] == {"pe": 2, "simd": 8, "memory": "ultra"}
    found = load_build(build.folder).pipeline
    assert found.units == build.pipeline.units
    assert found.folding["conv1"] == Fold(2, 8, memory="ultra")


def test_ultraram_is_not_initialized_but_loaded(tmp_path: Path) -> None:
    plain, ultra = make_pipeline(GRAPH, FOLDING), make_pipeline(GRAPH, folding("ultra"))
    assert plain.preset
    assert not ultra.preset
    assert cell_parameters(conv1("ultra"))["WEIGHT_FILE"] == '""'
    assert set(dict(memory_files(plain))) - set(dict(memory_files(ultra))) == {"conv1.weights.mem"}
    assert parameter_words(ultra).tolist() == parameter_words(plain).tolist()
    build = write_build(GRAPH, tmp_path / "build", folding("ultra"))
    assert not (build.folder / "memory" / "conv1.weights.mem").exists()
    assert "conv1.weights.mem" not in build.sources[-1].read_text()
    assert unit_resources(conv1("ultra"), "xcup") + Resources(bram18=1) == unit_resources(conv1("block"), "xcup") + Resources(uram=1)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"memory": "ulta"},
            r"Expected `memory` of 'conv1' to be one of auto, block, .*, ultra, but got 'ulta'; did you mean ultra\?",
        ),
        ({"memory": 72}, r"Expected `memory` of 'conv1' to be one of auto, block, distributed, ultra, but got 72\."),
        ({"memory": None}, "Expected `memory` of 'conv1' to be one of auto"),
        ({"memori": "ultra"}, "have pe, simd, .*, memory, requantize, but got 'memori'; did you mean memory"),
        (
            {"memory": "block", "weights": "streamed"},
            "Expected `memory` of 'conv1' with resident weights only, but got 'block'",
        ),
    ],
)
def test_wrong_words(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_pipeline(GRAPH, {**FOLDING, "conv1": {"pe": 2, "simd": 8, **entry}})


@pytest.mark.parametrize("board", ["pynq_z2", "aup_zu3"])
def test_a_board_without_ultraram_refuses_it(board: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected `memory` of 'conv1' to be auto, block or distributed on .*, which has no UltraRAM"):
        write_build(GRAPH, tmp_path / "build", folding("ultra"), board=board)
    assert not (tmp_path / "build").exists()
    with pytest.raises(InputError, match=r"Expected `memory` of 'conv1' to be auto"):
        synthesize_pipeline(make_pipeline(GRAPH, folding("ultra")), load_board(board))
