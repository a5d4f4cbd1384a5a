"""Whether a graph keeps the rules of SPEC.md; the error names the node and the rule. Nothing is allocated by what a graph claims."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from qlight.intgraph.encodings import Operand, code_range
from qlight.intgraph.infer import LARGEST_SCALE, check_scale, output_operand
from qlight.intgraph.nodes import OPS, UNSIGNED, Linear, Node, TensorType
from qlight.intgraph.rules import Words, broken, shown

if TYPE_CHECKING:
    from qlight.intgraph.graph import Graph

MAX_NODES = 1024
MAX_SIZE = 65536
MAX_ELEMENTS = 2**24
MAX_METADATA, MAX_METADATA_LENGTH = 64, 4096
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def validate(graph: Graph) -> None:
    """Check every rule of SPEC.md but those of files. `Graph` does so when it is made, so that an invalid one does not exist.

    Raises:
        GraphError: the graph breaks a rule; the error names the node or tensor and the rule.
    """
    operands(graph)


def operands(graph: Graph) -> dict[str, Operand]:
    """The type of every tensor by name, and the range of the integers that its elements stand for, proven from types alone.

    Raises:
        GraphError: the graph breaks a rule.
    """
    _check_containers(graph)
    for node in graph.nodes:
        check_fields(node)
    for tensor in graph.tensors:
        check_tensor(tensor)
    _check_names(graph)
    _check_order(graph)
    _check_input(graph.tensors[0])
    operand = Operand(graph.tensors[0], *code_range(UNSIGNED, 8))
    found = {operand.type.name: operand}
    for node, carried in zip(graph.nodes, graph.tensors[1:], strict=True):
        operand = output_operand(node, operand)
        _check_carried(node, carried, operand.type)
        found[carried.name] = operand
    last = graph.nodes[-1]
    if not isinstance(last, Linear):
        broken("G7", f"node `{last.name}`", "the last node to be a Linear", last.op)
    _check_logits(graph, operand.type.shape)
    _check_metadata(graph.metadata)
    return found


def is_integers(value: Any, count: int | None = None) -> bool:
    """Whether ``value`` is a tuple of Python integers (no bool), of ``count`` of them if given."""
    return type(value) is tuple and (count is None or len(value) == count) and all(type(item) is int for item in value)


def _check_containers(graph: Graph) -> None:
    for name, items, kinds in (("tensors", graph.tensors, (TensorType,)), ("nodes", graph.nodes, tuple(OPS.values()))):
        if type(items) is not tuple:
            broken("G1", "the graph", f"`{name}` to be a tuple", Words(type(items).__name__))
        for item in items:
            if type(item) not in kinds:
                broken("G1", "the graph", f"`{name}` of {', '.join(kind.__name__ for kind in kinds)}", Words(type(item).__name__))
    if not 1 <= len(graph.nodes) <= MAX_NODES:
        broken("G5", "the graph", f"1 to {MAX_NODES} nodes", len(graph.nodes))


def check_fields(node: Node) -> None:
    """Rule G1 of a node: its fields have the types of the specification's table."""
    where = f"node {_quoted(node.name)}"
    for field, wanted in {"name": str, "input": str, "output": str, **node.INTEGERS}.items():
        value = getattr(node, field)
        if isinstance(wanted, int):
            if not is_integers(value, wanted):
                broken("G1", where, f"`{field}` to be {wanted} integers", value)
        elif type(value) is not wanted:
            broken("G1", where, f"`{field}` to be {'an integer' if wanted is int else 'text'}", value)
    for field in node.ARRAYS:
        value = getattr(node, field)
        if not (isinstance(value, np.ndarray) or (value is None and field in node.OPTIONAL)):
            broken("G1", where, f"`{field}` to be an array", Words(type(value).__name__))


def check_tensor(tensor: TensorType) -> None:
    """Rules G1 and G5 of a tensor."""
    where = f"tensor {_quoted(tensor.name)}"
    for field, wanted in (("name", str), ("encoding", str), ("bits", int)):
        value = getattr(tensor, field)
        if type(value) is not wanted:
            broken("G1", where, f"`{field}` to be {'an integer' if wanted is int else 'text'}", value)
    if not is_integers(tensor.shape):
        broken("G1", where, "`shape` to be integers", tensor.shape)
    if not tensor.shape or not all(1 <= size <= MAX_SIZE for size in tensor.shape) or math.prod(tensor.shape) > MAX_ELEMENTS:
        broken("G5", where, f"`shape` of sizes from 1 to {MAX_SIZE} and at most 2^24 elements", tensor.shape)


def _check_names(graph: Graph) -> None:
    seen: set[str] = set()
    for where, named in [("tensor", tensor) for tensor in graph.tensors] + [("node", node) for node in graph.nodes]:
        if not NAME.fullmatch(named.name):
            expected = "a `name` of a lowercase letter and up to 62 lowercase letters, digits and underscores"
            broken("G2", f"a {where}", expected, named.name)
        if named.name in seen:
            broken("G2", f"{where} `{named.name}`", "`name` to be the only one", Words("a second one"))
        seen.add(named.name)


def _check_order(graph: Graph) -> None:
    if len(graph.tensors) != len(graph.nodes) + 1:
        expected = f"{len(graph.nodes) + 1} `tensors`, the input and the output of every node"
        broken("G3", "the graph", expected, len(graph.tensors))
    for position, node in enumerate(graph.nodes):
        where, before, after = f"node `{node.name}`", graph.tensors[position].name, graph.tensors[position + 1].name
        if node.output != after:
            broken("G3", where, f"`output` {after!r}, as the tensors are listed", node.output)
        if node.input != before:
            broken("G4", where, f"`input` {before!r}, the tensor made just before", node.input)


def _check_input(tensor: TensorType) -> None:
    if (len(tensor.shape), tensor.encoding, tensor.bits) != (3, UNSIGNED, 8):
        words = Words(f"{shown(tensor.shape)}, {shown(tensor.encoding)}, {shown(tensor.bits)} bits")
        broken("G6", f"tensor `{tensor.name}`", "an input H x W x C of unsigned 8-bit pixels", words)


def _check_carried(node: Node, carried: TensorType, computed: TensorType) -> None:
    where = f"node `{node.name}`"
    if carried.shape != computed.shape:
        broken("T2", where, f"its output to have the shape {shown(computed.shape)}", carried.shape)
    if (carried.encoding, carried.bits) != (computed.encoding, computed.bits):
        words = Words(f"{shown(carried.bits)} bits, {shown(carried.encoding)}")
        broken("T3", where, f"its output to have {computed.bits} bits, {computed.encoding}", words)


def _check_logits(graph: Graph, shape: tuple[int, ...]) -> None:
    for name in ("logit_scale", "logit_bias"):
        if not isinstance(getattr(graph, name), np.ndarray):
            broken("G1", "the graph", f"`{name}` to be an array", Words(type(getattr(graph, name)).__name__))
    check_scale("G8", "the graph", "logit_scale", graph.logit_scale, shape)
    bias = graph.logit_bias
    if bias.dtype != np.float64 or bias.shape != shape:
        broken("G8", "the graph", f"`logit_bias` to be float64 {shape}", Words(f"{bias.dtype.name} {bias.shape}"))
    good = np.abs(bias) <= LARGEST_SCALE  # false for NaN
    if not good.all():
        broken("G8", "the graph", "`logit_bias` from -2^127 to 2^127", float(bias[~good][0]))


def _check_metadata(metadata: Any) -> None:
    if type(metadata) is not dict or len(metadata) > MAX_METADATA:
        broken("G9", "the graph", f"`metadata` to be a dict of at most {MAX_METADATA} texts", Words(type(metadata).__name__))
    for key, value in metadata.items():
        if type(key) is not str or not NAME.fullmatch(key):
            broken("G9", "the graph", "`metadata` keys formed as names are", key)
        if type(value) is not str or len(value) > MAX_METADATA_LENGTH or not value.isprintable():
            broken("G9", "the graph", f"`metadata` {key!r} to be printable text of at most {MAX_METADATA_LENGTH} characters", value)


def _quoted(name: Any) -> str:
    return f"`{name}`" if type(name) is str and NAME.fullmatch(name) else shown(name)
