"""Build folders are written whole, and read only if they are."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from qlight.errors import InputError
from qlight.hardware import sources
from qlight.hardware.build import Build, geometry_hash, load_build, write_build
from qlight.hardware.packing import parameter_words
from qlight.hardware.picture import save_picture
from qlight.hardware.pipeline import make_pipeline
from tests.hardware.affine import affine_graph
from tests.hardware.strategies import random_graph

GRAPH = random_graph(0)
FOLDING = {"conv0": (2, 4), "conv1": (2, 8), "output": (1, 8)}


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return write_build(GRAPH, tmp_path / "build", FOLDING)


def test_what_was_written_is_read(build: Build) -> None:
    found = load_build(build.folder)
    assert found.graph.content_hash == GRAPH.content_hash
    assert found.pipeline.units == build.pipeline.units
    assert found.geometry_hash == build.geometry_hash
    assert found.manifest == build.manifest
    np.testing.assert_array_equal(found.words(), parameter_words(build.pipeline))
    assert found.manifest["folding"] == {"conv0": [2, 4], "conv1": [2, 8], "output": [1, 8]}
    assert found.manifest["cycles"]["image"] == max(found.manifest["cycles"]["units"].values())
    assert [path.name for path in build.folder.parent.iterdir()] == ["build"], "nothing else is left"


def test_sources_with_the_top_last(build: Build) -> None:
    assert [path.stem for path in build.sources] == [*(cell for cell in sources.CELLS if cell != "qlight_affine"), "qlight_top"]
    text = build.sources[-1].read_text()
    assert f"256'h{GRAPH.content_hash}" in text
    assert f"256'h{build.geometry_hash}" in text
    memory = re.findall(r'"(memory/.*?)/?"', text)  # a folder of thresholds ends in a slash
    assert sorted(memory) == sorted(path.relative_to(build.folder).as_posix() for path in (build.folder / "memory").iterdir())
    assert len(list((build.folder / "memory" / "conv0.thresholds").iterdir())) == 2 * 2, "a file a PE and bit"


def test_a_build_has_the_affine_cell_where_it_is_needed(tmp_path: Path) -> None:
    graph = affine_graph(random_graph(0, bits=5), 0)
    build = write_build(graph, tmp_path / "build", FOLDING)
    assert [path.stem for path in build.sources] == [*sources.CELLS, "qlight_top"]
    assert sorted(path.name for path in (build.folder / "memory").iterdir() if path.is_dir()) == ["conv0_affine", "conv1_affine"]
    assert load_build(build.folder).pipeline.folding["conv0"].affine


def test_the_same_graph_gives_the_same_files(build: Build, tmp_path: Path) -> None:
    again = write_build(GRAPH, tmp_path / "again", FOLDING)
    assert (again.folder / "manifest.json").read_bytes() == (build.folder / "manifest.json").read_bytes()


def test_the_geometry_is_all_but_the_parameters(build: Build) -> None:
    other = make_pipeline(random_graph(7), FOLDING)
    assert other.graph.content_hash != GRAPH.content_hash
    assert geometry_hash(other) == build.geometry_hash
    assert geometry_hash(make_pipeline(GRAPH, {**FOLDING, "output": (1, 16)})) != build.geometry_hash
    assert geometry_hash(make_pipeline(random_graph(0, bits=1), FOLDING)) != build.geometry_hash
    with mock.patch("qlight.hardware.build.cell_sources", return_value={"qlight_fifo.sv": "changed"}):
        assert geometry_hash(build.pipeline) != build.geometry_hash


def test_a_build_is_replaced_and_anything_else_refused(build: Build, tmp_path: Path) -> None:
    other = random_graph(1)
    write_build(other, build.folder, FOLDING)
    assert load_build(build.folder).graph.content_hash == other.content_hash
    assert [path.name for path in tmp_path.iterdir()] == ["build"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(
        InputError, match=r"Expected `folder` to be new, empty or a build, but .*notes' holds something else; choose another"
    ):
        write_build(GRAPH, tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert load_build(write_build(GRAPH, tmp_path / "empty").folder)


@pytest.mark.parametrize("failing", ["parameter_words", "top_level", "memory_files"])
def test_nothing_is_left_of_a_build_that_fails(failing: str, build: Build, tmp_path: Path) -> None:
    before = (build.folder / "manifest.json").read_bytes()
    with mock.patch(f"qlight.hardware.build.{failing}", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        write_build(random_graph(1), build.folder, FOLDING)
    assert (build.folder / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Expected `folder` to be a folder that can be written, but .* cannot"):
        write_build(GRAPH, tmp_path / "file" / "build")
    with pytest.raises(InputError, match="holds something else"):
        write_build(GRAPH, tmp_path / "file")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    "name",
    [
        *(
            "memory/conv1.weights.mem",
            "memory/conv1.thresholds/0_1.mem",
            "memory/pool.directions.mem",
            "rtl/qlight_top.sv",
            "rtl/qlight_mvtu.sv",
        ),
        *("parameters.bin", "graph/tensors.safetensors"),
    ],
)
def test_a_file_that_is_cut_off_or_missing(name: str, build: Build) -> None:
    _cut(build.folder / name)
    with pytest.raises(InputError, match=f"Expected {name} of the build .* to have the checksum in its manifest, but it is changed or cut"):
        load_build(build.folder)
    (build.folder / name).unlink()
    with pytest.raises(InputError, match=f"Expected the build .* to hold {name}, but it cannot be read"):
        load_build(build.folder)


def _edit(build: Build, **changes: object) -> None:
    path = build.folder / "manifest.json"
    manifest = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graph_hash": "0" * 64}, f"Expected the graph of .* to have the hash {'0' * 64}, which its manifest states, but got"),
        ({"format": "other"}, r"to be the manifest of a build, but it is damaged \(it is not of format qlight-build version 1\)"),
        ({"version": 2}, "it is not of format qlight-build version 1"),
        ({"files": None}, "`files` is missing"),
        ({"folding": [1]}, "`folding` is missing"),
        ({"folding": {"conv0": [1, 1]}}, "Expected `folding` to have every layer, but 'conv1' is missing"),
        ({"files": {"../secret": "0"}}, "to name files in it, but got '../secret'"),
    ],
)
def test_a_wrong_manifest(changes: dict, message: str, build: Build) -> None:
    _edit(build, **changes)
    with pytest.raises(InputError, match=message):
        load_build(build.folder)


@pytest.mark.parametrize("changed", ["geometry_hash", "rtl/qlight_fifo.sv", "rtl/qlight_top.sv"])
def test_sources_of_another_version(changed: str, build: Build) -> None:
    if changed == "geometry_hash":
        _edit(build, geometry_hash="0" * 64)
    else:
        path = build.folder / changed
        path.write_text(path.read_text() + "\n")
        _edit(build, files={**build.manifest["files"], changed: hashlib.sha256(path.read_bytes()).hexdigest()})
    with pytest.raises(InputError, match=r"Expected the sources of .* to be those of its geometry hash, but another version of qlight"):
        load_build(build.folder)


def test_no_build(tmp_path: Path) -> None:
    for name, what in (("none", "is not there"), (".", "holds no manifest.json")):
        with pytest.raises(InputError, match=f"Expected `folder` to be a build folder, but .* {what}; `python -m qlight export"):
            load_build(tmp_path / name)
    (tmp_path / "manifest.json").write_text("[1,")
    with pytest.raises(InputError, match="damaged"):
        load_build(tmp_path)


def test_an_installation_without_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.qlight, "__file__", str(tmp_path / "qlight" / "__init__.py"))
    with pytest.raises(InputError, match=r"Expected the SystemVerilog cells in hw/rtl of this installation, but there are none"):
        sources.cell_sources()
    (tmp_path / "qlight" / "hw" / "rtl").mkdir(parents=True)
    (tmp_path / "qlight" / "hw" / "rtl" / "qlight_affine.sv").write_text("")
    with pytest.raises(InputError, match=r"Expected the cell .*qlight_control\.sv, but it cannot be read"):
        sources.cell_sources()


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture(suffix: str, build: Build, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"picture.{suffix}"
    save_picture(build.pipeline, path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    if suffix == "svg":
        text = path.read_text()
        assert all(f"<!-- {word}" in text for word in ("conv0", "MVTU", "SWG", "pool", "PE 2 SIMD 8", "2 x 2, max or min"))
    else:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_another_format(build: Build, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected `path` to end in .png, .svg, .pdf, but got 'picture.bmp'"):
        save_picture(build.pipeline, tmp_path / "picture.bmp")
