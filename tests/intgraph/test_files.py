"""Saving, loading, the content hash, and folders that are not to be trusted."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings

from qlight.errors import InputError
from qlight.intgraph import Graph, GraphError, execute
from qlight.intgraph.rules import RULES
from tests.intgraph.example import PIXELS, worked_example
from tests.intgraph.strategies import graphs

EXAMPLE = worked_example()
#: what version 1 says of the worked example; it changes only with the version
HASH = "5138e49539b2d530159b9ba08606e1422c9e46cdcea516cbe20ce8faad8e7093"


def test_a_saved_graph_loads_as_it_was(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path / "new" / "graph")
    loaded = Graph.load(tmp_path / "new" / "graph")
    assert loaded.content_hash == EXAMPLE.content_hash == HASH
    assert loaded.metadata == {"network": "worked example"}
    assert (execute(loaded, PIXELS) == execute(EXAMPLE, PIXELS)).all()
    assert sorted(path.name for path in (tmp_path / "new" / "graph").iterdir()) == ["graph.json", "tensors.safetensors"]


@settings(max_examples=40, deadline=None)
@given(graphs(max_side=4))
def test_random_graphs_survive_the_round_trip(tmp_path_factory: pytest.TempPathFactory, graph: Graph) -> None:
    folder = tmp_path_factory.mktemp("graph")
    graph.save(folder)
    loaded = Graph.load(folder)
    assert (loaded.content_hash, loaded.tensors) == (graph.content_hash, graph.tensors)
    for before, after in zip(graph.nodes, loaded.nodes, strict=True):
        assert type(before) is type(after)
        for (name, array), (other, loaded_array) in zip(before.arrays(), after.arrays(), strict=True):
            assert (name, array.dtype) == (other, loaded_array.dtype)
            assert (array == loaded_array).all()


def test_the_hash_is_computed_as_the_specification_says(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path)
    stored = json.loads((tmp_path / "graph.json").read_text())
    data = (tmp_path / "tensors.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "sha256": hashlib.sha256(data[start:end]).hexdigest()}
    document = {key: stored[key] for key in ("format", "version", "tensors", "nodes")} | {"arrays": arrays}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == stored["content_hash"] == EXAMPLE.content_hash


def test_the_hash_sees_the_network_and_not_where_it_came_from(tmp_path: Path) -> None:
    assert replace(EXAMPLE, metadata={"tool_version": "9"}).content_hash == EXAMPLE.content_hash
    changed = [
        replace(EXAMPLE, logit_bias=EXAMPLE.logit_bias + 1),
        replace(EXAMPLE, nodes=tuple(replace(each, name="renamed") if each.name == "flat" else each for each in EXAMPLE.nodes)),
        replace(EXAMPLE, nodes=(replace(EXAMPLE.nodes[0], pad_code=1), *EXAMPLE.nodes[1:])),
        replace(EXAMPLE, nodes=(replace(EXAMPLE.nodes[0], weight=EXAMPLE.nodes[0].weight[::-1]), *EXAMPLE.nodes[1:])),  # type: ignore[attr-defined]
        replace(EXAMPLE, nodes=(replace(EXAMPLE.nodes[0], weight_scale=np.ones(2)), *EXAMPLE.nodes[1:])),
    ]
    assert len({graph.content_hash for graph in [EXAMPLE, *changed]}) == 6
    # another layout of the same content: other spaces, keys and arrays in another order, remarks of another writer
    EXAMPLE.save(tmp_path)
    stored = json.loads((tmp_path / "graph.json").read_text())
    (tmp_path / "graph.json").write_text(json.dumps(dict(reversed(stored.items())), indent=7))
    arrays = safetensors.numpy.load_file(tmp_path / "tensors.safetensors")
    safetensors.numpy.save_file(arrays, tmp_path / "tensors.safetensors", {"written_by": "hand"})
    assert Graph.load(tmp_path).content_hash == EXAMPLE.content_hash


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path / "a")
    Graph.load(tmp_path / "a").save(tmp_path / "b")
    for name in ("graph.json", "tensors.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_saving_over_another_graph_replaces_it(tmp_path: Path) -> None:
    replace(EXAMPLE, logit_bias=np.zeros(2)).save(tmp_path)
    EXAMPLE.save(tmp_path)
    assert Graph.load(tmp_path).content_hash == HASH


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"`folder`.*file"):
        EXAMPLE.save(tmp_path / "file")


# --- folders that are not to be trusted -------------------------------------------------------------------------------------------


def json_change(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        stored = json.loads((folder / "graph.json").read_text())
        change(stored)
        (folder / "graph.json").write_text(json.dumps(stored))

    return tamper


def text_change(before: str, after: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        text = (folder / "graph.json").read_text()
        assert before in text
        (folder / "graph.json").write_text(text.replace(before, after, 1))

    return tamper


def array_change(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        arrays = safetensors.numpy.load_file(folder / "tensors.safetensors")
        change(arrays)
        safetensors.numpy.save_file(arrays, folder / "tensors.safetensors")

    return tamper


def header_change(change: Callable[[str], str]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        data = (folder / "tensors.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = change(data[8 : 8 + length].decode()).encode()
        (folder / "tensors.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])

    return tamper


def graph_bytes(content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / "graph.json").write_bytes(content)


def array_bytes(content: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    return lambda folder: (folder / "tensors.safetensors").write_bytes(content((folder / "tensors.safetensors").read_bytes()))


def pipe(folder: Path) -> None:
    (folder / "graph.json").unlink()
    os.mkfifo(folder / "graph.json")


def sparse(folder: Path) -> None:
    with open(folder / "tensors.safetensors", "ab") as file:
        file.truncate(2**40)


TAMPERED: list[tuple[str, str, Callable[[Path], Any]]] = [
    ("F1", "graph.json", lambda folder: (folder / "graph.json").unlink()),
    ("F1", "tensors.safetensors", lambda folder: (folder / "tensors.safetensors").unlink()),
    ("F1", "tensors.safetensors", sparse),
    ("F1", "graph.json", graph_bytes(b" " * (2**20 + 1))),
    ("F2", "graph.json", graph_bytes(b"")),
    ("F2", "graph.json", graph_bytes(b"\xff")),
    ("F2", "graph.json", graph_bytes(b"[" * 200_000)),
    ("F2", "graph.json", graph_bytes(b"[]")),
    ("F2", "graph.json", graph_bytes(b'{"format": 1, "format": 2}')),
    ("F2", "graph.json", text_change('"bits": 13', '"bits": 13.0')),
    ("F2", "graph.json", text_change('"bits": 13', '"bits": NaN')),
    ("F2", "graph.json", text_change('"bits": 13', '"bits": 1' + "0" * 5000)),
    ("F3", "graph.json", json_change(lambda stored: stored.update(version=2))),
    ("F3", "graph.json", json_change(lambda stored: stored.update(version=True))),
    ("F3", "graph.json", json_change(lambda stored: stored.pop("format"))),
    ("F4", "graph.json", json_change(lambda stored: stored.update(more=1))),
    ("F4", "graph.json", json_change(lambda stored: stored.pop("metadata"))),
    ("F4", "graph.json", json_change(lambda stored: stored.update(nodes={}))),
    ("F4", "node 1", json_change(lambda stored: stored["nodes"][1].update(op="__import__"))),
    ("F4", "node 1", json_change(lambda stored: stored["nodes"][1].update(op=["MaxPool"]))),
    ("F4", "node 1", json_change(lambda stored: stored["nodes"].__setitem__(1, "MaxPool"))),
    ("F4", "node 0 ('conv')", json_change(lambda stored: stored["nodes"][0].update(weight=[1, 2]))),
    ("F4", "node 0 ('conv')", json_change(lambda stored: stored["nodes"][0].pop("stride"))),
    ("F4", "tensor 1", json_change(lambda stored: stored["tensors"].__setitem__(1, 5))),
    ("F5", "tensors.safetensors", array_change(lambda arrays: arrays.pop("act.direction"))),
    ("F5", "tensors.safetensors", array_change(lambda arrays: arrays.pop("logit_scale"))),
    ("F5", "tensors.safetensors", array_change(lambda arrays: arrays.update(extra=np.zeros(2)))),
    ("F5", "tensors.safetensors", array_change(lambda arrays: arrays.update({"pool.weight": np.zeros(2, np.uint8)}))),
    ("F5", "tensors.safetensors", array_change(lambda arrays: arrays.update({"act.thresholds": np.zeros((2, 3), np.float32)}))),
    ("F5", "tensors.safetensors", json_change(lambda stored: stored["nodes"][0].update(name="../../conv"))),
    ("F5", "tensors.safetensors", array_bytes(lambda data: data[:-1])),
    ("F5", "tensors.safetensors", array_bytes(lambda data: data + b"\0")),
    ("F5", "tensors.safetensors", array_bytes(lambda data: b"")),
    ("F5", "tensors.safetensors", array_bytes(lambda data: data[:20])),
    ("F5", "tensors.safetensors", array_bytes(lambda data: struct.pack("<Q", 2**63) + data[8:])),
    ("F5", "tensors.safetensors", header_change(lambda text: text.replace('"shape":[2,2]', '"shape":[4294967296,4294967296]'))),
    ("F5", "tensors.safetensors", header_change(lambda text: text.replace('"shape":[2,2]', '"shape":[-2,-2]'))),
    ("F5", "tensors.safetensors", header_change(lambda text: text.replace('"data_offsets":[0,', '"data_offsets":[1,'))),
    ("F2", "tensors.safetensors", header_change(lambda text: text.replace('"logit_bias"', '"logit_scale"'))),
    ("F2", "tensors.safetensors", header_change(lambda text: text.rstrip()[:-1])),
    ("F6", "graph.json", json_change(lambda stored: stored.update(content_hash="0" * 64))),
    ("F6", "graph.json", json_change(lambda stored: stored.update(content_hash=None))),
    ("F6", "graph.json", json_change(lambda stored: stored["nodes"][0].update(pad_code=1))),
    ("F6", "graph.json", array_change(lambda arrays: arrays.update(logit_bias=np.zeros(2)))),
    ("G1", "node `conv`", json_change(lambda stored: stored["nodes"][0].update(kernel={"a": 1}))),
    ("G1", "node `conv`", json_change(lambda stored: stored["nodes"][0].update(kernel=[[2], [2]]))),
    ("G1", "tensor `pixels`", json_change(lambda stored: stored["tensors"][0].update(shape="xyz"))),
    ("G1", "node `flat`", json_change(lambda stored: stored["nodes"][3].update(input=None))),
    ("G2", "a tensor", json_change(lambda stored: stored["tensors"][0].update(name="/etc/passwd"))),
    ("G2", "node `flat`", json_change(lambda stored: stored["nodes"][1].update(name="flat"))),
    ("G4", "node `pool`", json_change(lambda stored: stored["nodes"][1].update(input="flat_out"))),
    ("G5", "tensor `pixels`", json_change(lambda stored: stored["tensors"][0].update(shape=[10**9, 10**9, 10**9]))),
    ("G8", "the graph", array_change(lambda arrays: arrays.update(logit_scale=np.array([np.nan, 1.0])))),
    ("G9", "the graph", json_change(lambda stored: stored.update(metadata=["a"]))),
    ("G9", "the graph", json_change(lambda stored: stored.update(metadata={"name": "\ud800"}))),
    ("N5", "node `conv`", json_change(lambda stored: stored["nodes"][0].update(kernel=[10**15, 10**15]))),
    ("N6", "node `conv`", json_change(lambda stored: stored["nodes"][0].update(pad_code=-(10**15)))),
    ("N3", "node `conv`", array_change(lambda arrays: arrays.update({"conv.weight": np.zeros((2, 0, 0, 1), np.uint8)}))),
]
if sys.platform != "win32":
    TAMPERED.append(("F1", "graph.json", pipe))


@pytest.mark.parametrize(("rule", "where", "tamper"), TAMPERED)
def test_a_tampered_folder_is_refused_with_the_rule(tmp_path: Path, rule: str, where: str, tamper: Callable[[Path], Any]) -> None:
    EXAMPLE.save(tmp_path)
    tamper(tmp_path)
    with pytest.raises(GraphError) as caught:
        Graph.load(tmp_path)
    assert (caught.value.rule, caught.value.where) == (rule, where), str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_every_rule_of_files_is_broken_above() -> None:
    assert {rule for rule in RULES if rule[0] == "F"} <= {rule for rule, _, _ in TAMPERED}


@pytest.mark.parametrize("byte", range(0, 2200, 61))
def test_a_flipped_byte_never_gets_through(tmp_path: Path, byte: int) -> None:
    EXAMPLE.save(tmp_path)
    for name in ("graph.json", "tensors.safetensors"):
        content = bytearray((tmp_path / name).read_bytes())
        content[byte % len(content)] ^= 1 << byte % 8
        (tmp_path / name).write_bytes(content)
        try:
            found = Graph.load(tmp_path)
        except GraphError:
            pass
        else:  # a space or a letter of the metadata
            assert found.content_hash == HASH
        EXAMPLE.save(tmp_path)


def test_max_bytes_bounds_both_files_together(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert Graph.load(tmp_path, max_bytes=size).content_hash == HASH
    for limit in (size - 1, 100, 1):
        with pytest.raises(GraphError, match="F1"):
            Graph.load(tmp_path, max_bytes=limit)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="`max_bytes`"):
            Graph.load(tmp_path, max_bytes=wrong)  # type: ignore[arg-type]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", "a\0b"):
        with pytest.raises(GraphError, match=r"graph\.json breaks rule F1"):
            Graph.load(folder)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "graph.json").mkdir()
    with pytest.raises(GraphError, match=r"something else; graph\.json breaks rule F1"):
        Graph.load(tmp_path)
