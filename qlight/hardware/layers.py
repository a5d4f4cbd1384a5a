"""What of an integer graph becomes one matrix-vector-threshold unit (MVTU), and which graphs the cells of hw/rtl cannot run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from qlight.errors import InputError
from qlight.hardware.affine import AffineForm, affine_form
from qlight.intgraph import Conv2d, Flatten, Graph, Linear, MaxPool, Node, Threshold
from qlight.intgraph.encodings import accumulator_range, code_range, weight_range
from qlight.intgraph.nodes import TensorType

#: pixels' bytes and parameter words come in beats of this many bytes
BEAT_BYTES = 4
SUPPORTED = "Conv2d of stride 1, MaxPool of 2 x 2 with stride 2, Linear, each with its Threshold but the last"


@dataclass(frozen=True)
class PoolStep:
    """A 2 x 2 max-pool behind a layer's thresholds.

    Attributes:
        name: of its node.
        height, width, channels: of what it reads; a last odd row or column is dropped.
        directed: whether the graph pools accumulators, before the threshold. The hardware pools codes: the minimum in channels whose
            direction is -1 (SPEC.md, "Pooling codes").
    """

    name: str
    height: int
    width: int
    channels: int
    directed: bool


@dataclass(frozen=True, eq=False)
class Layer:
    """A Conv2d or Linear with what follows it up to the next one.

    Attributes:
        node: the operation with weights; its name is the layer's.
        threshold: None for the last layer, which gives accumulators.
        pools: behind the thresholds, in order.
        source: the codes that it reads; the accumulators before thresholds are ``accumulator``.
    """

    node: Conv2d | Linear
    threshold: Threshold | None
    pools: tuple[PoolStep, ...]
    source: TensorType
    accumulator: TensorType

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def outputs(self) -> int:
        """MH: rows of the weight matrix, output channels."""
        return len(self.node.weight)

    @property
    def inputs(self) -> int:
        """MW: columns of the weight matrix, products an accumulator sums."""
        return math.prod(self.node.weight.shape[1:])

    @property
    def vectors(self) -> int:
        """Matrix-vector products an image: output pixels of a convolution, one of a dense layer."""
        return math.prod(self.accumulator.shape[:-1])

    @property
    def products(self) -> int:
        """Multiply-accumulates an image."""
        return self.vectors * self.inputs * self.outputs

    @property
    def windowed(self) -> bool:
        """Whether a window generator feeds it: a 1 x 1 convolution's window is the pixel itself."""
        return isinstance(self.node, Conv2d) and self.node.kernel != (1, 1)

    @property
    def window(self) -> int:
        """Pixels of a kernel window; 1 without a window generator."""
        return math.prod(self.node.kernel) if isinstance(self.node, Conv2d) else 1

    @property
    def levels(self) -> int:
        """Thresholds a channel: 0 for the last layer."""
        return 0 if self.threshold is None else self.threshold.thresholds.shape[1]

    @cached_property
    def affine(self) -> AffineForm | None:
        """The affine form of its thresholds, which some channels may be missing; None for the last layer."""
        return None if self.threshold is None else affine_form(self.threshold, self.accumulator.bits, *self.reach)

    @property
    def reach(self) -> tuple[int, int]:
        """The smallest and the largest accumulator that any weights and activations of these types give."""
        weights = weight_range(self.node.weight_encoding, self.node.weight_bits)
        return accumulator_range(self.inputs, weights, *code_range(self.source.encoding, self.source.bits))


def layers(graph: Graph) -> tuple[Layer, ...]:
    """The layers of a graph, in order.

    Raises:
        InputError: ``graph`` is none, or a node that the cells cannot run; the message names it and what is supported.

    >>> import numpy as np
    >>> from qlight.intgraph import GraphBuilder
    >>> builder = GraphBuilder((2, 2, 1))
    >>> builder.flatten("flat")
    >>> builder.linear("output", np.array([[1, -2, 0, 1]], np.int8), bits=2, encoding="signed")
    >>> [(layer.name, layer.inputs, layer.outputs, layer.vectors) for layer in layers(builder.build(np.ones(1), np.zeros(1)))]
    [('output', 4, 1, 1)]
    """
    if not isinstance(graph, Graph):
        raise InputError(f"Expected `graph` to be a Graph, but got {type(graph).__name__}; read one with Graph.load(folder).")
    if math.prod(graph.input.shape) % BEAT_BYTES:
        raise InputError(
            f"Expected `graph` to read images of a multiple of {BEAT_BYTES} bytes, which its input stream takes at a time, but got "
            f"{' x '.join(map(str, graph.input.shape))}; use images of another size."
        )
    found: list[_Part] = []
    for node, source, target in zip(graph.nodes, graph.tensors, graph.tensors[1:], strict=False):
        if isinstance(node, Conv2d | Linear):
            _demand_convolution(node, source)
            found.append(_Part(node, source, target))
        elif isinstance(node, MaxPool):
            part = found[-1] if found else _refuse(node, "to come after a Conv2d", "pixels")
            _demand_pool(node)
            part.pools.append(PoolStep(node.name, *source.shape, directed=part.threshold is None))
        elif isinstance(node, Threshold):  # reads accumulators, so there is a layer, without a threshold as yet
            part = found[-1]
            if source.channels != len(part.node.weight):
                _refuse(node, f"to have the {len(part.node.weight)} channels of {part.node.name!r}", f"{source.channels}, after a Flatten")
            part.threshold = node
        else:
            assert isinstance(node, Flatten), "a stream is in the order of Flatten already"
    return tuple(Layer(part.node, part.threshold, tuple(part.pools), part.source, part.target) for part in found)


class _Part:
    """A layer in the making."""

    def __init__(self, node: Conv2d | Linear, source: TensorType, target: TensorType) -> None:
        self.node, self.source, self.target = node, source, target
        self.threshold: Threshold | None = None
        self.pools: list[PoolStep] = []


def _demand_convolution(node: Conv2d | Linear, source: TensorType) -> None:
    if isinstance(node, Linear):
        return
    if node.stride != (1, 1):
        _refuse(node, "to have stride 1 x 1", _by(node.stride))
    height, width = source.shape[:2]
    if node.kernel[0] > height or node.kernel[1] > width:
        _refuse(node, f"to have a kernel within its map of {_by((height, width))}", _by(node.kernel))


def _demand_pool(node: MaxPool) -> None:
    if node.kernel != (2, 2) or node.stride != (2, 2):
        _refuse(node, "to pool 2 x 2 with stride 2 x 2", f"{_by(node.kernel)} with stride {_by(node.stride)}")


def _refuse(node: Node, expected: str, got: str) -> NoReturn:
    raise InputError(f"Expected node {node.name!r} {expected}, but got {got}; the hardware runs {SUPPORTED}.")


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"
