"""Build folders of the HLS twin: everything that C-simulation and Vitis HLS need of one network, checked when it is read.

manifest.json    as of the RTL's
graph/           the integer graph
hls/             the units, the generated qlight_hls.cpp, what its memories hold, a test bench with vectors of the reference executor
adapter/         qlight_top.sv, the ports of the RTL around the Verilog of Vitis HLS
run_hls.tcl      the script of Vitis HLS, which puts Verilog with the adapter into verilog/
vivado/          scripts for a board, where one was given; they need verilog/
parameters.bin   the parameter word stream, the RTL's; with weights in UltraRAM it is loaded before the first image
dram/            the weights of streamed layers, the RTL's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.hardware.boards import load_board
from qlight.hardware.build import DRAM, PARAMETERS, describe, read_pipeline, write_network
from qlight.hardware.cycles import cycles
from qlight.hardware.folders import hash_of, read_manifest, whole_folder, write_manifest
from qlight.hardware.hls_adapter import CELLS, STREAMED_CELLS, adapter
from qlight.hardware.hls_memory import initializers
from qlight.hardware.hls_scripts import SCRIPT, script
from qlight.hardware.hls_top import HEADER, SOURCE, header, source
from qlight.hardware.packing import dram_file, dram_weights, parameter_words
from qlight.hardware.pipeline import Pipeline, check_board, make_pipeline
from qlight.hardware.sources import cell_sources, port_sources, unit_sources
from qlight.hardware.top import TOP_FILE
from qlight.hardware.vivado import VIVADO, vivado_files
from qlight.intgraph import Graph, execute

FORMAT = "qlight-hls-build"
HLS, MEMORY, ADAPTER, VERILOG = "hls", "memory", "adapter", "verilog"
VECTORS_FILE = "qlight_vectors.hpp"
#: images of the test bench
VECTORS = 2


@dataclass(frozen=True)
class HlsBuild:
    """A build folder of the HLS twin that was read and found whole.

    Attributes:
        folder, pipeline, manifest: as of `qlight.hardware.build.Build`.
        geometry_hash: stands for the C++ that runs, without what the memories hold: networks with the same can be loaded.
    """

    folder: Path
    pipeline: Pipeline
    geometry_hash: str
    manifest: Mapping[str, Any]

    @property
    def graph(self) -> Graph:
        return self.pipeline.graph

    @property
    def sources(self) -> Path:
        """The folder of the C++ files."""
        return self.folder / HLS

    def words(self) -> np.ndarray:
        """uint32: the parameter word stream of the folder."""
        return np.fromfile(self.folder / PARAMETERS, "<u4").astype(np.uint32)

    def weights(self) -> list[np.ndarray]:
        """uint8: what lies in DRAM for each streamed layer, in the order of the memory ports."""
        return [np.fromfile(self.folder / DRAM / dram_file(unit), np.uint8) for unit in self.pipeline.streamed]


def write_hls_build(
    graph: Graph,
    folder: str | Path,
    folding: Mapping[str, Any] | None = None,
    target_cycles: int | None = None,
    board: str | Path | None = None,
) -> HlsBuild:
    """Write the build folder of a graph; it appears whole or not at all.

    Args:
        folder: is made; an older build is replaced, anything else that is there refused.
        folding, target_cycles: see `make_pipeline`.
        board: name or file of a board (`qlight.hardware.boards`), whose part and clock the script has, and whose scripts of Vivado are
            added; None: part and clock are given when it runs.

    Raises:
        InputError: the graph, folding, target or board is not possible, or the folder cannot be written.
    """
    known = None if board is None else load_board(board)
    pipeline = make_pipeline(graph, folding, target_cycles)
    if known is not None:
        check_board(pipeline, known)
    text = _generated(pipeline)
    geometry = _geometry(pipeline, {**unit_sources(), **text})
    folder = Path(folder)
    with whole_folder(folder) as part:
        (part / HLS / MEMORY).mkdir(parents=True)
        for name, content in {**unit_sources(), **text, VECTORS_FILE: _vectors(pipeline)}.items():
            (part / HLS / name).write_text(content, encoding="utf-8")
        for name, content in initializers(pipeline, MEMORY):
            (part / HLS / name).write_text(content, encoding="ascii")
        (part / ADAPTER).mkdir()
        for name, content in _adapter_files(pipeline, geometry).items():
            (part / ADAPTER / name).write_text(content, encoding="utf-8")
        (part / SCRIPT).write_text(script(known), encoding="ascii")
        if board is not None:
            (part / VIVADO).mkdir()
            for name, content in vivado_files(board, adapter(pipeline, graph.content_hash, geometry), VERILOG, pipeline.streamed).items():
                (part / VIVADO / name).write_text(content, encoding="utf-8")
        write_network(part, pipeline)
        manifest = describe(pipeline, geometry, FORMAT, known)
        write_manifest(part, manifest)
    return HlsBuild(folder, pipeline, geometry, manifest)


def load_hls_build(folder: str | Path) -> HlsBuild:
    """Read a build folder and check that it is whole: every file is there with its checksum, and the graph is the manifest's.

    Raises:
        InputError: there is no build of the HLS twin, or a file is missing or damaged, which the message names.
    """
    folder = Path(folder).expanduser()
    manifest = read_manifest(folder, "hls")
    pipeline = read_pipeline(folder, manifest)
    build = HlsBuild(folder, pipeline, manifest["geometry_hash"], manifest)
    generated = _generated(pipeline)
    names = sorted({*unit_sources(), *generated})
    found = {name: (folder / HLS / name).read_text(encoding="utf-8") for name in names if (folder / HLS / name).is_file()}
    if _geometry(pipeline, found) != build.geometry_hash or any(found.get(name) != text for name, text in generated.items()):
        raise InputError(
            f"Expected the sources of {str(folder)!r} to be those of its geometry hash, but another version of qlight wrote them, or they "
            "were changed; export it again."
        )
    return build


def _generated(pipeline: Pipeline) -> dict[str, str]:
    return {HEADER: header(pipeline), SOURCE: source(pipeline)}


def _geometry(pipeline: Pipeline, sources: Mapping[str, str]) -> str:
    return hash_of({**sources, TOP_FILE: adapter(pipeline, graph_hash="0" * 64, geometry_hash="0" * 64)})


def _adapter_files(pipeline: Pipeline, geometry: str) -> dict[str, str]:
    cells = cell_sources()
    names = (*CELLS, *STREAMED_CELLS) if pipeline.streamed else CELLS
    found = {f"{name}.sv": cells[f"{name}.sv"] for name in names} | (port_sources() if pipeline.streamed else {})
    return found | {TOP_FILE: adapter(pipeline, graph_hash=pipeline.graph.content_hash, geometry_hash=geometry)}


def _vectors(pipeline: Pipeline) -> str:
    """Random images, what the reference executor makes of them, and parameters that memories do not hold after configuration."""
    images = np.random.default_rng(0).integers(0, 256, (VECTORS, *pipeline.graph.input.shape), dtype=np.uint8)
    model = cycles(pipeline)
    words = [] if pipeline.preset else parameter_words(pipeline).tolist()
    dram = [content.view("<u4").tolist() for _, content in dram_weights(pipeline)]
    most = 3 * (model.latency + VECTORS * model.image) // 2 + len(words) + 2 * max(map(len, dram), default=0) + 1000
    return "\n".join(
        [
            "// Generated by qlight: random images, four bytes a word, and their accumulators by the reference executor.",
            "#pragma once",
            f"constexpr int VECTORS = {VECTORS};",
            f"constexpr long long MOST_CALLS = {most};",
            _array("IMAGES", images.reshape(-1).view("<u4").tolist()),
            f"const int ACCUMULATORS[] = {{{', '.join(map(str, execute(pipeline.graph, images).ravel().tolist()))}}};",
            _array("PARAMETERS", words),
            *(_array(f"WEIGHTS{port}", content) for port, content in enumerate(dram)),
            f"const unsigned* const WEIGHTS[] = {{{', '.join([f'WEIGHTS{port}' for port in range(len(dram))] or ['nullptr'])}}};",
            "",
        ]
    )


def _array(name: str, words: list[int]) -> str:
    """C++ has no arrays without elements."""
    return f"const unsigned {name}[] = {{{', '.join(f'{word:#x}' for word in words or [0])}}};"
