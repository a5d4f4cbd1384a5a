"""Making a graph node by node; the tensors follow from the nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qlight.errors import InputError
from qlight.intgraph.encodings import Operand, code_range
from qlight.intgraph.graph import Graph
from qlight.intgraph.infer import output_operand
from qlight.intgraph.nodes import UNSIGNED, Array, Conv2d, Flatten, Linear, MaxPool, Node, TensorType, Threshold
from qlight.intgraph.validate import check_fields, check_tensor


class GraphBuilder:
    """Append operations to a graph; each method checks its node at once, and tensors are named ``<node>_out``.

    Args:
        input_shape: (height, width, channels) of the images.

    Raises:
        GraphError: every method, where its node breaks a rule of SPEC.md; the builder is as before then.

    >>> builder = GraphBuilder((1, 1, 2))
    >>> builder.flatten("flat")
    >>> builder.linear("output", np.array([[1, -2]], np.int8), bits=2, encoding="signed")
    >>> builder.operand.low, builder.operand.high, builder.operand.type.bits
    (-1020, 510, 11)
    >>> builder.build(np.array([0.5]), np.array([0.0])).output
    TensorType(name='output_out', shape=(1,), encoding='accumulator', bits=11)
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        pixels = TensorType("pixels", input_shape, UNSIGNED, 8)
        check_tensor(pixels)
        self._nodes: list[Node] = []
        self._operands = [Operand(pixels, *code_range(UNSIGNED, 8))]

    @property
    def operand(self) -> Operand:
        """What the next node will read: its type, and the integers ``low`` to ``high`` that its elements can stand for."""
        return self._operands[-1]

    def conv2d(
        self,
        name: str,
        weight: Array,
        *,
        bits: int,
        encoding: str,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        pad_code: int = 0,
        weight_scale: Array | None = None,
    ) -> None:
        """Append a `Conv2d`; the kernel's size is that of ``weight`` (out x kernel height x kernel width x in)."""
        if getattr(weight, "ndim", None) != 4:
            raise InputError(
                f"Expected `weight` of node {name!r} to be an array out x height x width x in, but got {type(weight).__name__}."
            )
        kernel = (weight.shape[1], weight.shape[2])
        self._append(Conv2d(name, *self._names(name), kernel, stride, padding, pad_code, encoding, bits, weight, weight_scale))

    def linear(self, name: str, weight: Array, *, bits: int, encoding: str, weight_scale: Array | None = None) -> None:
        """Append a `Linear`; ``weight`` is out x in, its columns in the order of `Flatten` (see SPEC.md for torch's)."""
        self._append(Linear(name, *self._names(name), encoding, bits, weight, weight_scale))

    def max_pool(self, name: str, kernel: tuple[int, int] = (2, 2), stride: tuple[int, int] | None = None) -> None:
        """Append a `MaxPool`; ``stride`` None is the kernel."""
        self._append(MaxPool(name, *self._names(name), kernel, kernel if stride is None else stride))

    def threshold(
        self, name: str, thresholds: Array, direction: Array, *, bits: int, encoding: str = UNSIGNED, output_scale: Array | None = None
    ) -> None:
        """Append a `Threshold`. `operand` says between what thresholds lie; ``low`` (always) and ``high + 1`` (never) saturate
        where the direction is +1, ``high`` and ``low - 1`` where it is -1."""
        self._append(Threshold(name, *self._names(name), encoding, bits, thresholds, direction, output_scale))

    def flatten(self, name: str) -> None:
        """Append a `Flatten`."""
        self._append(Flatten(name, *self._names(name)))

    def build(self, logit_scale: Array, logit_bias: Array, metadata: Mapping[str, str] | None = None) -> Graph:
        """The graph of the nodes so far.

        Raises:
            GraphError: the nodes, scales or metadata do not make a valid graph.
        """
        tensors = tuple(operand.type for operand in self._operands)
        return Graph(tensors, tuple(self._nodes), np.asarray(logit_scale), np.asarray(logit_bias), metadata or {})

    def _names(self, name: str) -> tuple[str, str]:
        return self.operand.type.name, f"{name}_out"

    def _append(self, node: Node) -> None:
        check_fields(node)
        self._operands.append(output_operand(node, self.operand))
        self._nodes.append(node)
