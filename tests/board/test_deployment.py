"""What a board reads of a build folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qlight.board.deployment import read_deployment
from qlight.errors import InputError
from qlight.hardware.build import Build, write_build
from tests.hardware.strategies import random_graph


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return write_build(random_graph(0), tmp_path / "build", {"conv0": (2, 4), "conv1": (2, 8), "output": (1, 8)})


def test_a_build_as_hardware_reads_it(build: Build) -> None:
    found = read_deployment(build.folder)
    assert (found.graph_hash, found.geometry_hash) == (build.graph.content_hash, build.geometry_hash)
    assert np.array_equal(found.words, build.words())
    assert found.words.dtype == np.uint32
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
