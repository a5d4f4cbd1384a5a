"""A graph as a JSON document and named arrays, and the content hash over both: SPEC.md section 7."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qlight.intgraph.nodes import Array, Node, TensorType, json_fields

FORMAT, VERSION = "qlight-intgraph", 1
LOGIT_ARRAYS = ("logit_scale", "logit_bias")
#: the dtypes that arrays may have, as safetensors calls them
SAFETENSORS_DTYPES = {"uint8": "U8", "int8": "I8", "int32": "I32", "float64": "F64"}


def document(tensors: Sequence[TensorType], nodes: Sequence[Node]) -> dict[str, Any]:
    """What graph.json says of the graph itself: format, version, tensors and nodes; text and integers only."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "tensors": [{"name": t.name, "shape": list(t.shape), "encoding": t.encoding, "bits": t.bits} for t in tensors],
        "nodes": [{"op": node.op, **{field: _plain(getattr(node, field)) for field in json_fields(type(node))}} for node in nodes],
    }


def named_arrays(nodes: Sequence[Node], logit_scale: Array, logit_bias: Array) -> dict[str, Array]:
    """Every array of a graph under its name in tensors.safetensors."""
    arrays = {"logit_scale": logit_scale, "logit_bias": logit_bias}
    for node in nodes:
        arrays.update(node.arrays())
    return arrays


def content_hash(graph_document: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """sha256, in hex, of the canonical JSON of the document with the dtype, shape and sha256 of every array."""
    described = {
        name: {
            "dtype": SAFETENSORS_DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "sha256": hashlib.sha256(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data).hexdigest(),
        }
        for name, array in arrays.items()
    }
    canonical = json.dumps({**graph_document, "arrays": described}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
