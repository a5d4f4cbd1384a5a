"""The graph: tensors and nodes in order, the logits' scale and bias, and what they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from qlight.intgraph import files
from qlight.intgraph.document import content_hash, document, named_arrays
from qlight.intgraph.nodes import Array, Node, TensorType, frozen
from qlight.intgraph.validate import validate


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in integers, as SPEC.md defines it. It is checked when it is made: an invalid graph does not exist.

    `GraphBuilder` makes one without writing tensors and names by hand. Graphs are equal where their ``content_hash`` is.

    Attributes:
        tensors: the input, then the output of every node.
        nodes: in topological order; each reads what the one before made.
        logit_scale, logit_bias: float64, one per class: logits = accumulators * scale + bias.
        metadata: where the graph came from (name, dataset, checkpoint hash, tool version); text by name. Not in the hash.

    Raises:
        GraphError: the graph breaks a rule, which the error names.
    """

    tensors: tuple[TensorType, ...]
    nodes: tuple[Node, ...]
    logit_scale: Array
    logit_bias: Array
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("logit_scale", "logit_bias"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        if isinstance(self.metadata, Mapping):
            object.__setattr__(self, "metadata", dict(self.metadata))
        validate(self)

    @property
    def input(self) -> TensorType:
        """The pixels: H x W x C, unsigned, 8 bits."""
        return self.tensors[0]

    @property
    def output(self) -> TensorType:
        """The accumulators of the logits: one per class."""
        return self.tensors[-1]

    @property
    def tensor(self) -> dict[str, TensorType]:
        """The tensors by name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def content_hash(self) -> str:
        """64 hexadecimal digits that stand for the network's function: structure, names and arrays, not metadata or file layout."""
        return content_hash(document(self.tensors, self.nodes), named_arrays(self.nodes, self.logit_scale, self.logit_bias))

    def save(self, folder: str | Path) -> None:
        """Write graph.json and tensors.safetensors into ``folder`` (made if missing); the same graph gives the same bytes.

        Raises:
            InputError: the folder cannot be written.
        """
        arrays = {name: np.asarray(array) for name, array in named_arrays(self.nodes, self.logit_scale, self.logit_bias).items()}
        files.write(Path(folder), document(self.tensors, self.nodes), self.content_hash, arrays, self.metadata)

    @classmethod
    def load(cls, folder: str | Path, max_bytes: int = files.MAX_BYTES) -> Graph:
        """Read a graph from a folder that need not be trusted: no code runs, and memory stays within a small multiple of ``max_bytes``.

        Args:
            folder: with graph.json and tensors.safetensors.
            max_bytes: the most that the two files may have together.

        Raises:
            GraphError: files are missing or too large, or break a rule of the specification, which the error names.
        """
        parts = files.read(Path(folder), max_bytes)
        graph = cls(parts.tensors, parts.nodes, parts.logit_scale, parts.logit_bias, parts.metadata)
        files.check_hash(parts.content_hash, graph.content_hash)
        return graph
