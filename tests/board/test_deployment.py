"""What a board reads of a build folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qlight.board.deployment import read_deployment
from qlight.errors import InputError
from qlight.hardware.build import Build, write_build
from qlight.hardware.hls_build import write_hls_build
from qlight.hardware.packing import dram_weights
from tests.hardware.strategies import random_graph


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return write_build(random_graph(0), tmp_path / "build", {"conv0": (2, 4), "conv1": (2, 8), "output": (1, 8)})


def test_a_build_as_hardware_reads_it(build: Build) -> None:
    found = read_deployment(build.folder)
    assert (found.parameters.graph_hash, found.geometry_hash) == (build.graph.content_hash, build.geometry_hash)
    assert np.array_equal(found.parameters.words, build.words())
    assert found.parameters.words.dtype == np.uint32
    assert found.parameters.weights == ()
    assert [path.read_bytes()[:1] != b"" for path in found.files.values()] == [True, True]


@pytest.mark.parametrize("name", ["parameters.bin", "graph/graph.json", "graph/tensors.safetensors"])
def test_damaged_files(build: Build, name: str) -> None:
    path = build.folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is changed or cut off.*export it again"):
        read_deployment(build.folder)
    path.unlink()
    with pytest.raises(InputError, match=r"cannot be read .* copy the whole folder"):
        read_deployment(build.folder)


def test_manifests_that_are_refused(build: Build, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest.json cannot be read"):
        read_deployment(tmp_path)
    path = build.folder / "manifest.json"
    whole = json.loads(path.read_text())
    changes = ({"format": "x"}, {"graph_hash": "A" * 64}, {"geometry_hash": 1}, {"files": []})
    for text in ("", "[]", "{}", "[" * 60_000, " " * 2**21, *(json.dumps(whole | change) for change in changes)):
        path.write_text(text)
        with pytest.raises(InputError, match="to be the manifest of a whole build, but it is not"):
            read_deployment(build.folder)


def test_a_build_of_the_hls_units(tmp_path: Path) -> None:
    made = write_hls_build(random_graph(0), tmp_path / "build")
    found = read_deployment(made.folder)
    assert (found.parameters.graph_hash, found.geometry_hash) == (made.graph.content_hash, made.geometry_hash)
    assert np.array_equal(found.parameters.words, made.words())


def test_weights_in_dram(tmp_path: Path) -> None:
    folding = {"conv0": (2, 4), "conv1": {"pe": 2, "simd": 8, "weights": "streamed"}, "output": {"pe": 1, "simd": 8, "weights": "streamed"}}
    made = write_build(random_graph(0), tmp_path / "build", folding)
    found = read_deployment(made.folder).parameters.weights
    assert [each.tobytes() for each in found] == [content.tobytes() for _, content in dram_weights(made.pipeline)]
    path = made.folder / "dram" / "output.weights.bin"
    manifest = json.loads((made.folder / "manifest.json").read_text())
    manifest["dram"][1]["bytes"] += 4
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(InputError, match=r"dram/output.weights.bin is changed or cut off.*export it again"):
        read_deployment(made.folder)
    path.write_bytes(whole)
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=rf"dram/output.weights.bin has {len(whole)} bytes in place of {len(whole) + 4}"):
        read_deployment(made.folder)
