"""What a file of `export_qonnx` says of its graph, checked: names, encodings and scales that the operations themselves do not show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.interop.model import BIAS, METADATA, NODES, SCALE, TENSORS
from qlight.interop.read import FileGraph
from qlight.intgraph import Graph
from qlight.intgraph.nodes import Array
from qlight.intgraph.validate import NAME


class Hints:
    """One hint per node, in the order of the graph. They are only taken where they fit; an edited file has an import of its own."""

    def __init__(self, file: FileGraph) -> None:
        entries = file.json(NODES)
        self._entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        self._file, self._next = file, 0

    def take(self, op: str) -> dict[str, Any]:
        """What is said of the next node; empty from where the file's operations are others."""
        entry = self._entries[self._next] if self._next < len(self._entries) else {}
        self._next += 1
        name = entry.get("name")
        if entry.get("op") == op and isinstance(name, str) and NAME.fullmatch(name):
            return entry
        self._entries = []
        return {}

    def logits(self, classes: int) -> tuple[Array, Array] | None:
        """Scale and bias of the logits; None where the file does not say them."""
        found = [_numbers(self._file.json(key), classes) for key in (SCALE, BIAS)]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def metadata(self) -> dict[str, str] | None:
        """The graph's metadata; None where the file does not say it."""
        said = self._file.json(METADATA)
        return said if isinstance(said, dict) and all(type(value) is str for value in said.values()) else None

    def named(self, graph: Graph) -> Graph:
        """``graph`` with the tensor names that the file says, where these are valid."""
        names = self._file.json(TENSORS)
        if not isinstance(names, list) or len(names) != len(graph.tensors) or not all(type(name) is str for name in names):
            return graph
        tensors = tuple(replace(tensor, name=name) for tensor, name in zip(graph.tensors, names, strict=True))
        nodes = tuple(replace(node, input=before, output=after) for node, before, after in zip(graph.nodes, names, names[1:], strict=False))
        try:
            return Graph(tensors, nodes, graph.logit_scale, graph.logit_bias, graph.metadata)
        except InputError:
            return graph


def scale_of(hint: dict[str, Any], size: int) -> Array | None:
    """The scale that a hint has, of ``size`` numbers; None where it has none."""
    return _numbers(hint.get("scale"), size)


def _numbers(value: Any, size: int) -> Array | None:
    if isinstance(value, list) and len(value) == size and all(type(item) in (int, float) for item in value):
        return np.array(value, np.float64)
    return None
