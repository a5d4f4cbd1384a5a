"""Thresholds of random affine functions, and graphs whose thresholds are such."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from qlight.hardware.layers import layers
from qlight.intgraph import Graph, Threshold
from qlight.intgraph.nodes import Node


def thresholds_of(slope: Fraction, offset: Fraction, bits: int, low: int, high: int) -> tuple[np.ndarray, int]:
    """int32, 2^bits - 1 of the codes clip(floor(slope acc + offset)), sorted as graphs have them, and their direction; slope is not 0.

    Those that no accumulator from low to high reaches lie where graphs have them: one beyond.
    """
    steps = [(k - offset) / slope for k in range(1, 2**bits)]
    if slope > 0:  # acc >= step
        return np.array([min(max(-(-step.numerator // step.denominator), low), high + 1) for step in steps], np.int64), 1
    return np.array([max(min(step.numerator // step.denominator, high), low - 1) for step in steps], np.int64), -1


def affine_graph(graph: Graph, seed: int) -> Graph:
    """The graph with the thresholds of random batch norms: most codes occur, and either direction."""
    rng = np.random.default_rng(seed)
    by_threshold = {layer.threshold.name: layer for layer in layers(graph) if layer.threshold is not None}
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Threshold):
            layer = by_threshold[node.name]
            low, high = layer.reach
            spread = (high - low + 1) / layer.inputs**0.5
            rows = [thresholds_of(*_function(rng, node.bits, spread), node.bits, low, high) for _ in node.direction]
            levels, directions = zip(*rows, strict=True)
            node = replace(node, thresholds=np.array(levels, np.int32), direction=np.array(directions, np.int8))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _function(rng: np.random.Generator, bits: int, spread: float) -> tuple[Fraction, Fraction]:
    """Slope and offset: the codes take about so many accumulators, near zero."""
    span = spread * rng.uniform(0.5, 1.5)
    slope = Fraction(2**bits / span) * int(rng.choice([-1, 1]))
    return slope, Fraction(2.0 ** (bits - 1)) - slope * Fraction(rng.uniform(-span / 4, span / 4))
