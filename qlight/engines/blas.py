"""The packed engine without a compiler: numpy's matrix products in floating point, where they are exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qlight.engines.thresholds import ascending
from qlight.intgraph import Graph, Operand, activation_integers, operands, weight_integers
from qlight.intgraph.nodes import Array, Conv2d, Flatten, Linear, MaxPool, Node, TensorType, Threshold

#: whole numbers up to these are sums without rounding, in any order
_EXACT32, _EXACT64 = 2**24, 2**53
_BLOCK_BYTES = 16 << 20
Run = Callable[[Array], Array]


class NumpyPlan:
    """A graph's nodes as functions of arrays N x the shape of their input. Sums are whole numbers in float32, or float64 where they are
    too large for it (accumulators have at most 32 bits).

    Attributes:
        block: images at a time.
    """

    def __init__(self, graph: Graph) -> None:
        found = list(operands(graph).values())
        self._runs = [_run_of(node, source, target) for node, source, target in zip(graph.nodes, found, found[1:], strict=False)]
        rows = [
            math.prod(target.type.shape[:2]) * math.prod(node.weight.shape[1:])
            if isinstance(node, Conv2d)
            else math.prod(target.type.shape)
            for node, target in zip(graph.nodes, found[1:], strict=False)
        ]
        self.block = int(np.clip(_BLOCK_BYTES // (8 * max(rows)), 1, 64))

    def __call__(self, images: Array) -> Array:
        """int32, n x classes, of uint8 n x H x W x C."""
        block: Array = images
        for run in self._runs:
            block = run(block)
        return block.astype(np.int32)


def _run_of(node: Node, source: Operand, target: Operand) -> Run:
    if isinstance(node, Conv2d | Linear):
        exact = np.float32 if max(-target.low, target.high) <= _EXACT32 else np.float64
        assert max(-target.low, target.high) <= _EXACT64
        weights = weight_integers(node).reshape(len(node.weight), -1).T.astype(exact)
        return _convolution(node, source.type, weights) if isinstance(node, Conv2d) else _dense(source.type, weights)
    if isinstance(node, MaxPool):
        return lambda maps: sliding_window_view(maps, node.kernel, (1, 2))[:, :: node.stride[0], :: node.stride[1]].max((-2, -1))
    if isinstance(node, Threshold):
        return _threshold(node, max(-source.low, source.high) <= _EXACT32)
    assert isinstance(node, Flatten)
    return lambda maps: maps.reshape(len(maps), -1)


def _convolution(node: Conv2d, source: TensorType, weights: Array) -> Run:
    top, bottom, left, right = node.padding
    borders = ((0, 0), (top, bottom), (left, right), (0, 0))

    def run(codes: Array) -> Array:
        padded = np.pad(codes, borders, constant_values=node.pad_code)
        values = activation_integers(padded, source.encoding).astype(weights.dtype)
        windows = sliding_window_view(values, node.kernel, (1, 2))[:, :: node.stride[0], :: node.stride[1]].transpose(0, 1, 2, 4, 5, 3)
        return (windows.reshape(-1, len(weights)) @ weights).reshape(*windows.shape[:3], -1)

    return run


def _dense(source: TensorType, weights: Array) -> Run:
    return lambda codes: activation_integers(codes, source.encoding).astype(weights.dtype) @ weights


def _threshold(node: Threshold, small: bool) -> Run:
    rising = ascending(node)
    levels = rising.levels.T.astype(np.float32 if small else np.float64)
    flip = rising.flip.astype(np.uint8)

    def run(sums: Array) -> Array:
        count = np.zeros(sums.shape, np.uint8)
        for level in levels:
            count += sums >= level
        return count ^ flip

    return run
