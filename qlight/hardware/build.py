"""Build folders: everything that a simulator, a synthesis tool or a board needs of one network, checked when it is read.

manifest.json    hashes, folding, cycles, and the checksum of every other file
graph/           the integer graph
rtl/             the cells, and the generated qlight_top.sv
memory/          memory files, named from the build folder: tools run in it; weights in UltraRAM have none
parameters.bin   the parameter word stream, 32-bit little-endian words; with weights in UltraRAM it is loaded before the first image
vivado/          scripts for a board, where one was given (qlight.hardware.vivado)
dram/            the weights of streamed layers, a file a layer: what must lie in memory at the base of its port
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qlight import __version__
from qlight.errors import InputError
from qlight.hardware.boards import Board, load_board
from qlight.hardware.cycles import cycles
from qlight.hardware.folders import VERSION, hash_of, read_manifest, whole_folder, write_manifest
from qlight.hardware.graphs import GRAPH
from qlight.hardware.packing import dram_file, dram_weights, memory_files, parameter_words
from qlight.hardware.pipeline import Pipeline, check_board, make_pipeline
from qlight.hardware.sources import cell_sources
from qlight.hardware.top import TOP_FILE, top_level
from qlight.hardware.units import Affine
from qlight.hardware.vivado import VIVADO, vivado_files
from qlight.intgraph import Graph

FORMAT = "qlight-build"
PARAMETERS = "parameters.bin"
RTL, MEMORY, DRAM = "rtl", "memory", "dram"


@dataclass(frozen=True)
class Build:
    """A build folder that was read and found whole.

    Attributes:
        folder: where it is.
        pipeline: of its graph and folding.
        geometry_hash: stands for everything but the weights, thresholds and directions: networks with the same can be loaded.
        manifest: as in manifest.json.
    """

    folder: Path
    pipeline: Pipeline
    geometry_hash: str
    manifest: Mapping[str, Any]

    @property
    def graph(self) -> Graph:
        return self.pipeline.graph

    @property
    def sources(self) -> list[Path]:
        """The SystemVerilog files, the top level last."""
        names = sorted(name for name in self.manifest["files"] if name.startswith(f"{RTL}/"))
        return [self.folder / name for name in sorted(names, key=lambda name: name == f"{RTL}/{TOP_FILE}")]

    def words(self) -> np.ndarray:
        """uint32: the parameter word stream of the folder."""
        return np.fromfile(self.folder / PARAMETERS, "<u4").astype(np.uint32)


def pipeline_cells(pipeline: Pipeline) -> dict[str, str]:
    """The text of the cells that a build holds, by file name: all but that of affine units, which is there where one is.

    So a build without them has the hash that it had before they came.
    """
    found = cell_sources()
    if not any(isinstance(unit, Affine) for unit in pipeline.units):
        found.pop("qlight_affine.sv", None)
    return found


def geometry_hash(pipeline: Pipeline, cells: Mapping[str, str] | None = None) -> str:
    """64 hexadecimal digits that stand for the sources: the cells, and the top level without its hashes.

    Args:
        cells: text by file name; None: those of this installation.
    """
    text = {
        **(pipeline_cells(pipeline) if cells is None else cells),
        TOP_FILE: top_level(pipeline, graph_hash="0" * 64, geometry_hash="0" * 64),
    }
    return hash_of(text)


def write_build(
    graph: Graph,
    folder: str | Path,
    folding: Mapping[str, Any] | None = None,
    target_cycles: int | None = None,
    board: str | Path | None = None,
) -> Build:
    """Write the build folder of a graph; it appears whole or not at all.

    Args:
        folder: is made; an older build is replaced, anything else that is there refused.
        folding, target_cycles: see `make_pipeline`.
        board: name or file of a board (`qlight.hardware.boards`), whose scripts of Vivado are added; None: none are.

    Raises:
        InputError: the graph, folding, target or board is not possible, or the folder cannot be written.
    """
    known = None if board is None else load_board(board)
    pipeline = make_pipeline(graph, folding, target_cycles)
    if known is not None:
        check_board(pipeline, known)
    geometry = geometry_hash(pipeline)
    folder = Path(folder)
    with whole_folder(folder) as part:
        (part / RTL).mkdir()
        for name, text in pipeline_cells(pipeline).items():
            (part / RTL / name).write_text(text, encoding="utf-8")
        top = top_level(pipeline, graph_hash=graph.content_hash, geometry_hash=geometry)
        (part / RTL / TOP_FILE).write_text(top, encoding="utf-8")
        for name, text in memory_files(pipeline):
            path = part / MEMORY / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        write_network(part, pipeline)
        if board is not None:
            (part / VIVADO).mkdir()
            for name, text in vivado_files(board, top, RTL, pipeline.streamed).items():
                (part / VIVADO / name).write_text(text, encoding="utf-8")
        manifest = describe(pipeline, geometry, FORMAT, known)
        write_manifest(part, manifest)
    return Build(folder, pipeline, geometry, manifest)


def write_network(folder: Path, pipeline: Pipeline) -> None:
    """Write what builds of all kinds hold of a network: the parameter word stream, the weights in DRAM, the graph."""
    parameter_words(pipeline).astype("<u4").tofile(folder / PARAMETERS)
    for name, content in dram_weights(pipeline):
        (folder / DRAM).mkdir(exist_ok=True)
        content.tofile(folder / DRAM / name)
    pipeline.graph.save(folder / GRAPH)


def load_build(folder: str | Path) -> Build:
    """Read a build folder and check that it is whole: every file is there with its checksum, and the graph is the manifest's.

    Raises:
        InputError: there is no build, or a file is missing or damaged, which the message names.
    """
    folder = Path(folder).expanduser()
    manifest = read_manifest(folder, "rtl")
    pipeline = read_pipeline(folder, manifest)
    build = Build(folder, pipeline, manifest["geometry_hash"], manifest)
    *cells, top = build.sources
    same_cells = geometry_hash(pipeline, {path.name: path.read_text(encoding="utf-8") for path in cells}) == build.geometry_hash
    if not same_cells or top.read_text(encoding="utf-8") != top_level(pipeline, build.graph.content_hash, build.geometry_hash):
        raise InputError(
            f"Expected the sources of {str(folder)!r} to be those of its geometry hash, but another version of qlight wrote them, or they "
            "were changed; export it again."
        )
    return build


def read_pipeline(folder: Path, manifest: Mapping[str, Any]) -> Pipeline:
    """The pipeline of a build folder of any kind, from its graph and folding.

    Raises:
        InputError: graph, manifest and parameter words do not belong together.
    """
    graph = Graph.load(folder / GRAPH)
    if graph.content_hash != manifest["graph_hash"]:
        raise InputError(
            f"Expected the graph of {str(folder)!r} to have the hash {manifest['graph_hash']}, which its manifest states, but got "
            f"{graph.content_hash}; export it again."
        )
    pipeline = make_pipeline(graph, manifest["folding"])
    if pipeline.words * 4 != (folder / PARAMETERS).stat().st_size:
        raise InputError(f"Expected {PARAMETERS} of {str(folder)!r} to have {pipeline.words} words, as its graph has; export it again.")
    return pipeline


def describe(pipeline: Pipeline, geometry: str, kind: str, board: Board | None = None) -> dict[str, Any]:
    """The manifest of a build of the format ``kind``, without its files."""
    model = cycles(pipeline)
    return {
        "format": kind,
        "version": VERSION,
        "graph_hash": pipeline.graph.content_hash,
        "geometry_hash": geometry,
        "qlight": __version__,
        "folding": {name: fold.entry for name, fold in pipeline.folding.items()},
        "image_bytes": pipeline.image_bytes,
        "classes": pipeline.classes,
        "board": None if board is None else {"name": board.name, "part": board.part, "clock_mhz": board.clock_mhz},
        "parameter_words": pipeline.words,
        "dram": [
            {"layer": unit.layer, "file": f"{DRAM}/{dram_file(unit)}", "bytes": unit.dram_bytes, "port_bits": unit.port_bits}
            for unit in pipeline.streamed
        ],
        "cycles": {"image": model.image, "latency": model.latency, "slowest": model.slowest, "units": model.units},
    }
