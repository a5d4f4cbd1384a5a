"""An ONNX file that need not be trusted, as plain nodes and numpy arrays: what an import looks at."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qlight.errors import InputError
from qlight.interop.extra import onnx_module
from qlight.intgraph.nodes import Array

#: default of the most that a file may have; the paper's networks in float32 at full width have about 60 MB
MAX_BYTES = 2**28
MAX_NODES = 8192
#: the types that attributes of supported operations have
_ATTRIBUTES = {
    "INTS": ("pads", "strides", "dilations", "kernel_shape", "perm", "value_ints"),
    "INT": ("axis", "group", "transA", "transB", "ceil_mode", "training_mode", "to", "signed", "narrow", "value_int"),
    "FLOAT": ("alpha", "beta", "epsilon", "out_scale", "out_bias", "value_float"),
    "FLOATS": ("value_floats",),
    "STRING": ("auto_pad", "mode", "rounding_mode", "data_layout"),
}
_KINDS = {name: kind for kind, names in _ATTRIBUTES.items() for name in names}
#: what is shown of a name out of a file
_SHOWN = 60


@dataclass(frozen=True)
class FileNode:
    """One operation of the file. Attributes are integers, floats, texts, lists of these, or arrays."""

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class FileGraph:
    """A model with one input and one output.

    Attributes:
        input, output: names of the tensors.
        shape: of the input, without the batch.
        nodes: in topological order.
        constants: by name.
        annotations: QONNX's types by name of the tensor, such as UINT8.
        metadata: of the model.
        producer: name and version of the tool that wrote the file.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    nodes: tuple[FileNode, ...]
    constants: dict[str, Array]
    annotations: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    producer: str = ""

    def json(self, key: str) -> Any:
        """What the metadata has under ``key`` as JSON; None where there is none."""
        try:
            return json.loads(self.metadata[key])
        except (KeyError, ValueError, RecursionError):
            return None


def shown(text: str) -> str:
    """A name out of a file for a message: quoted, cut, without control characters."""
    quoted = ascii(text)
    return quoted if len(quoted) <= _SHOWN else quoted[: _SHOWN - 3] + "..."


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> FileGraph:
    """Read an ONNX file. No code of it runs, no other file is opened, and memory stays within a small multiple of ``max_bytes``.

    Raises:
        InputError: no such file, too large, no ONNX, or with parts that no supported graph has.
    """
    onnx = onnx_module()
    decode_error = onnx_module("google.protobuf.message").DecodeError
    model = onnx.ModelProto()
    try:
        model.ParseFromString(_bytes(path, max_bytes))
    except (decode_error, RuntimeError) as error:
        raise InputError(f"Expected `path` to be an ONNX model, but {path.name!r} cannot be read as one; export it again.") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise InputError(f"Expected `path` to be an ONNX model, but {path.name!r} has no graph; export it again.")
    if len(model.functions) or len(graph.sparse_initializer) or len(graph.node) > MAX_NODES:
        raise InputError(
            f"Expected `path` to be one graph of at most {MAX_NODES} nodes, but got functions, sparse arrays or {len(graph.node)} nodes; "
            "export the network alone."
        )
    constants = {tensor.name: _array(onnx, tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise InputError(
            f"Expected `path` to have one input and one output, but got {len(inputs)} and {len(graph.output)}; export the classifier alone."
        )
    dims = inputs[0].type.tensor_type.shape.dim
    annotations = {
        entry.tensor_name: pair.value
        for entry in graph.quantization_annotation
        for pair in entry.quant_parameter_tensor_names
        if pair.key == "finn_datatype"
    }
    return FileGraph(
        input=inputs[0].name,
        output=graph.output[0].name,
        shape=tuple(int(dim.dim_value) for dim in dims)[1:],
        nodes=tuple(_node(onnx, node, position) for position, node in enumerate(graph.node)),
        constants=constants,
        annotations=annotations,
        metadata={entry.key: entry.value for entry in model.metadata_props},
        producer=f"{model.producer_name} {model.producer_version}".strip(),
    )


def _bytes(path: Path, limit: int) -> bytes:
    if type(limit) is not int or limit < 1:
        raise InputError(f"Expected `max_bytes` to be a positive integer, but got {limit!r}; leave it out for {MAX_BYTES}.")
    try:
        # without O_NONBLOCK, opening a pipe of that name would wait forever
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"Expected `path` to be an ONNX file, but {str(path)!r} cannot be opened ({reason}); correct the path.") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)  # a folder cannot even be wrapped
        raise InputError(f"Expected `path` to be an ONNX file, but {str(path)!r} is no regular file; correct the path.")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > limit:
            raise InputError(
                f"Expected `path` to have at most {limit} bytes, but it has {status.st_size}; raise `max_bytes` if you trust it."
            )
        return file.read(limit)


def _array(onnx: Any, tensor: Any) -> Array:
    kinds = onnx.TensorProto
    name = shown(tensor.name)
    if tensor.data_location == kinds.EXTERNAL or len(tensor.external_data):
        raise InputError(
            f"Expected `path` to hold all of its arrays, but {name} is in another file, which is not opened; save the model as one file."
        )
    known = (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.INT64, kinds.INT32, kinds.INT16, kinds.INT8, kinds.UINT8, kinds.BOOL)
    if tensor.data_type not in known:
        raise InputError(f"Expected `path` to have arrays of real numbers and integers, but {name} is of type {tensor.data_type}.")
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise InputError(f"Expected `path` to hold whole arrays, but {name} is not ({shown(str(error))}); export it again.") from error


def _node(onnx: Any, node: Any, position: int) -> FileNode:
    name = node.name or f"node {position}"
    kinds = onnx.AttributeProto
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        kind = _KINDS.get(attribute.name)
        if kind is not None and attribute.type != kinds.AttributeType.Value(kind):
            expected = f"Expected `{attribute.name}` of node {shown(name)} ({shown(node.op_type)}) to be of type {kind}"
            raise InputError(f"{expected}, but got type {attribute.type}; export the file again.")
        if attribute.type == kinds.TENSOR:
            attributes[attribute.name] = _array(onnx, attribute.t)
        elif attribute.type in (kinds.FLOAT, kinds.INT, kinds.FLOATS, kinds.INTS):
            attributes[attribute.name] = onnx.helper.get_attribute_value(attribute)
        elif attribute.type == kinds.STRING:
            attributes[attribute.name] = attribute.s.decode("utf-8", "replace")
        else:
            raise InputError(
                f"Expected `path` to be one graph, but node {shown(name)} ({shown(node.op_type)}) has graphs or lists of texts inside."
            )
    if not node.output:
        raise InputError(f"Expected `path` to have nodes with outputs, but node {shown(name)} ({shown(node.op_type)}) has none.")
    return FileNode(name, node.op_type, tuple(node.input), node.output[0], attributes)
