"""Putting an ONNX model together, and what a model says of the integer graph that it came from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import qlight
from qlight.interop.extra import onnx_module
from qlight.intgraph import Conv2d, Flatten, Graph, Linear, TensorType, Threshold
from qlight.intgraph.nodes import Array

#: operations of the QONNX dialect
QONNX_DOMAIN = "qonnx.custom_op.general"
OPSET, QONNX_OPSET, IR_VERSION = 17, 1, 8
INPUT, ACCUMULATORS, LOGITS = "pixels", "accumulators", "logits"
#: keys of the model's metadata
HASH, NODES, TENSORS, METADATA, SCALE, BIAS = (
    f"qlight_{name}" for name in ("content_hash", "nodes", "tensors", "metadata", "logit_scale", "logit_bias")
)


class ModelWriter:
    """Nodes, constants and tensor types of a model in the making. Nothing is checked: an integer graph is valid."""

    def __init__(self) -> None:
        self.onnx = onnx_module()
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._annotations: dict[str, str] = {}

    def constant(self, name: str, array: Array | np.generic, annotation: str | None = None) -> str:
        """Add an initializer; its name."""
        self._constants[name] = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        self._annotate(name, annotation)
        return name

    def value(self, name: str, dtype: Any, shape: tuple[int | str, ...], annotation: str | None = None) -> str:
        """Say of which type a tensor is; its name.

        Args:
            dtype: numpy's.
            annotation: QONNX's name of the integers that the tensor holds, such as INT5.
        """
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._values[name] = self.onnx.helper.make_tensor_value_info(name, kind, shape)
        self._annotate(name, annotation)
        return name

    def shape_of(self, name: str) -> tuple[int | str, ...]:
        """The shape of a tensor with a `value`."""
        return tuple(size.dim_param or size.dim_value for size in self._values[name].type.tensor_type.shape.dim)

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add a node, named by its output; the name of its output."""
        self._nodes.append(self.onnx.helper.make_node(op, inputs, [output], name=f"{output}.{op}", domain=domain, **attributes))
        return output

    def cast(self, source: str, output: str, dtype: Any) -> str:
        """Add a Cast; the name of its output."""
        return self.node("Cast", [source], output, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def build(self, graph: Graph, outputs: list[str], qonnx: bool) -> bytes:
        """The model as bytes.

        Args:
            graph: that the model computes, for its metadata.
            outputs: names of tensors with a `value`.
            qonnx: whether the model has operations of QONNX.
        """
        helper = self.onnx.helper
        inner = [value for name, value in self._values.items() if name not in {INPUT, *outputs}]
        constants = list(self._constants.values())
        tensors = [self._values[name] for name in outputs]
        proto = helper.make_graph(self._nodes, "qlight", [self._values[INPUT]], tensors, constants, value_info=inner)
        for name, annotation in self._annotations.items():
            entry = proto.quantization_annotation.add()
            entry.tensor_name = name
            pair = entry.quant_parameter_tensor_names.add()
            pair.key, pair.value = "finn_datatype", annotation
        opsets = [helper.make_opsetid("", OPSET)] + [helper.make_opsetid(QONNX_DOMAIN, QONNX_OPSET)] * qonnx
        model = helper.make_model(
            proto, opset_imports=opsets, ir_version=IR_VERSION, producer_name="qlight", producer_version=qlight.__version__
        )
        helper.set_model_props(model, described(graph))
        return model.SerializeToString(deterministic=True)

    def _annotate(self, name: str, annotation: str | None) -> None:
        if annotation is not None:
            self._annotations[name] = annotation


def described(graph: Graph) -> dict[str, str]:
    """What a model says of its graph: all that ONNX has no place for, so that an import gives the same graph again."""
    nodes: list[dict[str, Any]] = []
    for node in graph.nodes:
        said: dict[str, Any] = {"op": node.op, "name": node.name}
        if isinstance(node, Conv2d | Linear):
            said |= {"encoding": node.weight_encoding, "bits": node.weight_bits, "scale": _plain(node.weight_scale)}
            if isinstance(node, Conv2d):
                said |= {"pad_code": node.pad_code}  # which nothing shows where nothing is padded
        elif isinstance(node, Threshold):
            said |= {"scale": _plain(node.output_scale)}
        nodes.append(said)
    return {
        HASH: graph.content_hash,
        NODES: json.dumps(nodes),
        TENSORS: json.dumps([tensor.name for tensor in graph.tensors]),
        SCALE: json.dumps(_plain(graph.logit_scale)),  # Python writes float64 so that it reads back the same
        BIAS: json.dumps(_plain(graph.logit_bias)),
        METADATA: json.dumps(dict(graph.metadata)),
    }


def tensor_name(tensor: TensorType, graph: Graph) -> str:
    """The name of a graph's tensor in a model. Names of constants and of steps between have a dot, which no graph's name has."""
    if tensor is graph.tensors[0]:
        return INPUT
    if tensor is graph.tensors[-1]:
        return ACCUMULATORS
    return f"{tensor.name}." if tensor.name in {INPUT, ACCUMULATORS, LOGITS} else tensor.name


def channel_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W, C) -> (C, H, W); vectors as they are.

    >>> channel_first((4, 5, 3)), channel_first((7,))
    ((3, 4, 5), (7,))
    """
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def channel_first_order(shape: tuple[int, int, int]) -> Array:
    """Where the elements of a flattened (C, H, W) are in a flattened (H, W, C): what Flatten means differs between ONNX and SPEC.md.

    >>> channel_first_order((1, 2, 3))
    array([0, 3, 1, 4, 2, 5])
    """
    return np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()


def flat_orders(graph: Graph) -> list[Array | None]:
    """For every node, how the vector that it reads is ordered in a model: indices into the graph's own order, None where they agree.

    An order holds from Flatten to the next Linear.
    """
    found: list[Array | None] = []
    order: Array | None = None
    for node, source in zip(graph.nodes, graph.tensors, strict=False):
        found.append(order)
        if isinstance(node, Flatten):
            height, width, channels = source.shape
            order = channel_first_order((height, width, channels))
        elif isinstance(node, Linear):
            order = None
    return found


def _plain(array: Array | None) -> list[float] | None:
    return None if array is None else [float(item) for item in array]
