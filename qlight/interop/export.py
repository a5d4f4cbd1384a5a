"""Writing an integer graph for other tools."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from qlight.errors import InputError, nearest
from qlight.files import whole_file
from qlight.interop.extra import onnx_module
from qlight.interop.to_onnx import onnx_bytes
from qlight.interop.to_qonnx import qonnx_bytes
from qlight.intgraph import Graph

#: formats of `write`, and the file that each makes in a folder
FORMATS = {"graph": "graph.json", "qonnx": "graph_qonnx.onnx", "onnx": "graph.onnx"}


def export_qonnx(graph: Graph, path: str | os.PathLike[str], batch: int = 1) -> Path:
    """Write ``graph`` in the QONNX dialect; the qonnx package's executor gives the integers of `qlight.intgraph.execute`.

    `qlight.interop.to_qonnx` says what the file holds. Images go in as float32 batch x C x H x W of the integers 0 to 255 under the name
    "pixels", accumulators come out as "accumulators".

    Args:
        path: of the file, which ends in .onnx by custom.
        batch: images at a time; the qonnx package needs to know. Its memory grows with it: a byte for every code and threshold of a layer.

    Returns:
        The path.

    Raises:
        InputError: the onnx package is missing, ``batch`` is no positive integer, or the file cannot be written.
    """
    if type(batch) is not int or batch < 1:
        raise InputError(f"Expected `batch` to be a positive integer, but got {batch!r}; leave it out for one image at a time.")
    return _written(graph, path, lambda graph: qonnx_bytes(graph, batch))


def export_onnx_integer(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write ``graph`` in standard ONNX; onnxruntime gives the integers of `qlight.intgraph.execute`.

    `qlight.interop.to_onnx` says what the file holds. Images go in as uint8 N x C x H x W under the name "pixels"; out come "accumulators",
    int32, and "logits", float64. The model's metadata has the graph's hash.

    Args:
        path: of the file, which ends in .onnx by custom.

    Returns:
        The path.

    Raises:
        InputError: the onnx package is missing, or the file cannot be written.
    """
    return _written(graph, path, onnx_bytes)


def check_format(format: str) -> None:  # noqa: A002 - the option's name
    """Refuse what `write` could not write, before anything is computed.

    Raises:
        InputError: ``format`` is unknown, or the onnx package, which it needs, is missing.
    """
    if format not in FORMATS:
        raise InputError(
            f"Expected `format` to be one of {', '.join(FORMATS)}, but got {format!r}; try {nearest(str(format), FORMATS) or 'graph'}."
        )
    if format != "graph":
        onnx_module()


def write(graph: Graph, path: str | os.PathLike[str], format: str = "graph", *, batch: int = 1) -> Path:  # noqa: A002 - the option's name
    """Write ``graph`` in one of `FORMATS`.

    Args:
        path: a folder, or for "qonnx" and "onnx" also a file that ends in .onnx.
        format: "graph" (graph.json and tensors.safetensors), "qonnx" or "onnx".
        batch: of `export_qonnx`; other formats do not need it.

    Returns:
        The file written; graph.json of a graph.

    Raises:
        InputError: ``format`` is unknown; the onnx package is missing; or the path cannot be written.
    """
    check_format(format)
    place = Path(path)
    if format == "graph":
        graph.save(place)
        return place / FORMATS[format]
    file = place if place.suffix == ".onnx" and not place.is_dir() else place / FORMATS[format]
    return export_qonnx(graph, file, batch) if format == "qonnx" else export_onnx_integer(graph, file)


def _written(graph: Graph, path: str | os.PathLike[str], content: Callable[[Graph], bytes]) -> Path:
    if not isinstance(graph, Graph):
        raise InputError(f"Expected `graph` to be a Graph, but got {type(graph).__name__}; `Graph.load` reads one.")
    file = Path(path)
    if file.is_dir():
        raise InputError(f"Expected `path` to be a file, but {str(file)!r} is a folder; give the name of a file, such as graph.onnx.")
    written = content(graph)
    with whole_file(file) as part:
        part.write_bytes(written)
    return file
