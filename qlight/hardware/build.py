"""Build folders: everything that a simulator, a synthesis tool or a board needs of one network, checked when it is read.

manifest.json    hashes, folding, cycles, and the checksum of every other file
graph/           the integer graph
rtl/             the cells, and the generated qlight_top.sv
memory/          memory files, named from the build folder: tools run in it
parameters.bin   the parameter word stream, 32-bit little-endian words
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qlight import __version__
from qlight.errors import InputError
from qlight.hardware.cycles import cycles
from qlight.hardware.packing import memory_files, parameter_words
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.hardware.sources import cell_sources
from qlight.hardware.top import TOP_FILE, top_level
from qlight.intgraph import Graph

FORMAT, VERSION = "qlight-build", 1
MANIFEST, PARAMETERS = "manifest.json", "parameters.bin"
GRAPH, RTL, MEMORY = "graph", "rtl", "memory"
_MOST_MANIFEST_BYTES = 2**20


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


def geometry_hash(pipeline: Pipeline, cells: Mapping[str, str] | None = None) -> str:
    """64 hexadecimal digits that stand for the sources: the cells, and the top level without its hashes.

    Args:
        cells: text by file name; None: those of this installation.
    """
    text = {**(cell_sources() if cells is None else cells), TOP_FILE: top_level(pipeline, graph_hash="0" * 64, geometry_hash="0" * 64)}
    return hashlib.sha256("\0".join(f"{name}\0{_sha256(text[name].encode())}" for name in sorted(text)).encode()).hexdigest()


def write_build(graph: Graph, folder: str | Path, folding: Mapping[str, Any] | None = None, target_cycles: int | None = None) -> Build:
    """Write the build folder of a graph; it appears whole or not at all.

    Args:
        folder: is made; an older build is replaced, anything else that is there refused.
        folding, target_cycles: see `make_pipeline`.

    Raises:
        InputError: the graph, folding or target is not possible, or the folder cannot be written.
    """
    pipeline = make_pipeline(graph, folding, target_cycles)
    geometry = geometry_hash(pipeline)
    folder = Path(folder)
    with _whole_folder(folder) as part:
        (part / RTL).mkdir()
        for name, text in cell_sources().items():
            (part / RTL / name).write_text(text, encoding="utf-8")
        top = top_level(pipeline, graph_hash=graph.content_hash, geometry_hash=geometry)
        (part / RTL / TOP_FILE).write_text(top, encoding="utf-8")
        (part / MEMORY).mkdir()
        for name, text in memory_files(pipeline):
            (part / MEMORY / name).write_text(text, encoding="ascii")
        parameter_words(pipeline).astype("<u4").tofile(part / PARAMETERS)
        graph.save(part / GRAPH)
        manifest = _manifest(pipeline, geometry)
        manifest["files"] = {
            path.relative_to(part).as_posix(): _sha256(path.read_bytes()) for path in sorted(part.rglob("*")) if path.is_file()
        }
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="ascii")
    return Build(folder, pipeline, geometry, manifest)


def load_build(folder: str | Path) -> Build:
    """Read a build folder and check that it is whole: every file is there with its checksum, and the graph is the manifest's.

    Raises:
        InputError: there is no build, or a file is missing or damaged, which the message names.
    """
    folder = Path(folder).expanduser()
    path = folder / MANIFEST
    if not path.is_file():
        what = "is a file" if folder.is_file() else f"holds no {MANIFEST}" if folder.is_dir() else "is not there"
        raise InputError(
            f"Expected `folder` to be a build folder, but {str(folder)!r} {what}; "
            "`python -m qlight export --format rtl --ckpt_path CKPT --out FOLDER` writes one."
        )
    manifest = _read_manifest(path)
    for name, stated in manifest["files"].items():
        _check_file(folder, name, stated)
    graph = Graph.load(folder / GRAPH)
    if graph.content_hash != manifest["graph_hash"]:
        raise InputError(
            f"Expected the graph of {str(folder)!r} to have the hash {manifest['graph_hash']}, which its manifest states, but got "
            f"{graph.content_hash}; export it again."
        )
    pipeline = make_pipeline(graph, manifest["folding"])
    if pipeline.words * 4 != (folder / PARAMETERS).stat().st_size:
        raise InputError(f"Expected {PARAMETERS} of {str(folder)!r} to have {pipeline.words} words, as its graph has; export it again.")
    build = Build(folder, pipeline, manifest["geometry_hash"], manifest)
    *cells, top = build.sources
    same_cells = geometry_hash(pipeline, {path.name: path.read_text(encoding="utf-8") for path in cells}) == build.geometry_hash
    if not same_cells or top.read_text(encoding="utf-8") != top_level(pipeline, graph.content_hash, build.geometry_hash):
        raise InputError(
            f"Expected the sources of {str(folder)!r} to be those of its geometry hash, but another version of qlight wrote them, or they "
            "were changed; export it again."
        )
    return build


def _manifest(pipeline: Pipeline, geometry: str) -> dict[str, Any]:
    model = cycles(pipeline)
    return {
        "format": FORMAT,
        "version": VERSION,
        "graph_hash": pipeline.graph.content_hash,
        "geometry_hash": geometry,
        "qlight": __version__,
        "folding": {name: list(fold) for name, fold in pipeline.folding.items()},
        "image_bytes": pipeline.image_bytes,
        "classes": pipeline.classes,
        "parameter_words": pipeline.words,
        "cycles": {"image": model.image, "latency": model.latency, "slowest": model.slowest, "units": model.units},
    }


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, with the fields that are read here of the right types."""
    wanted = {"graph_hash": str, "geometry_hash": str, "folding": dict, "files": dict}
    try:
        if path.stat().st_size > _MOST_MANIFEST_BYTES:
            raise ValueError("it is too large")
        manifest = json.loads(path.read_text(encoding="ascii"))
        if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
            raise ValueError(f"it is not of format {FORMAT} version {VERSION}")
        for name, kind in wanted.items():
            if not isinstance(manifest.get(name), kind):
                raise ValueError(f"`{name}` is missing")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Expected {str(path)!r} to be the manifest of a build, but it is damaged ({error}); export it again.") from error
    return manifest


def _check_file(folder: Path, name: Any, stated: Any) -> None:
    path = folder / str(name)
    if Path(str(name)).is_absolute() or ".." in Path(str(name)).parts:
        raise InputError(f"Expected the manifest of {str(folder)!r} to name files in it, but got {name!r}; export it again.")
    try:
        found = _sha256(path.read_bytes())
    except OSError as error:
        raise InputError(f"Expected the build {str(folder)!r} to hold {name}, but it cannot be read ({error.strerror}).") from error
    if found != stated:
        raise InputError(
            f"Expected {name} of the build {str(folder)!r} to have the checksum in its manifest, but it is changed or cut off "
            f"({path.stat().st_size} bytes); export it again."
        )


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when the block ends, and goes where it fails."""
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"Expected `folder` to be new, empty or a build, but {str(folder)!r} holds something else; choose another.")
    part = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o777 & ~mask)  # mkdtemp makes folders private
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
            folder.replace(old)
            part.replace(folder)
            shutil.rmtree(old)
        else:
            part.replace(folder)
    except OSError as error:
        raise InputError(
            f"Expected `folder` to be a folder that can be written, but {str(folder)!r} cannot ({error.strerror}); choose another."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
