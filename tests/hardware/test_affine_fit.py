"""Thresholds that float32's rounding put beside an affine function go back to one; nothing else changes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from qlight.hardware.affine_fit import fit_thresholds
from qlight.hardware.layers import layers
from qlight.intgraph import Graph, Threshold
from tests.hardware.affine import affine_graph
from tests.hardware.strategies import random_graph

GRAPH = affine_graph(random_graph(1, bits=6), 1)


def nudged(graph: Graph, name: str, seed: int) -> Graph:
    """A quarter of the channels of a node have three thresholds moved by one accumulator."""
    rng = np.random.default_rng(seed)
    node = next(each for each in graph.nodes if each.name == name)
    assert isinstance(node, Threshold)
    levels, (channels, count) = node.thresholds.copy(), node.thresholds.shape
    for channel in range(0, channels, 4):
        places = rng.choice(np.arange(10, count - 10), 3, replace=False)
        levels[channel, places] += rng.choice([-1, 1], 3).astype(np.int32)
    return replace(graph, nodes=tuple(replace(node, thresholds=levels) if each is node else each for each in graph.nodes))


def thresholds(graph: Graph, name: str) -> np.ndarray:
    return next(node.thresholds for node in graph.nodes if isinstance(node, Threshold) and node.name == name).astype(np.int64)


def missing(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {layer.name: layer.affine.missing for layer in layers(graph) if layer.affine is not None}


@pytest.mark.parametrize("name", ["act0", "act1"])
def test_thresholds_move_by_one_accumulator(name: str) -> None:
    rough = nudged(GRAPH, name, 0)
    layer, other = ("conv0", "conv1") if name == "act0" else ("conv1", "conv0")
    assert missing(rough) == {layer: (0, 4), other: ()}
    fitted, moved, kept = fit_thresholds(rough)
    assert kept == {}
    assert missing(fitted) == {"conv0": (), "conv1": ()}
    steps = np.abs(thresholds(fitted, name) - thresholds(rough, name))
    assert steps.max() == 1
    assert moved == {layer: steps.sum(), other: 0}
    assert set(np.flatnonzero(steps.any(axis=1))) == {0, 4}, "channels on a function stay as they are"
    fields = {"thresholds", "direction"}
    for before, after in zip(rough.nodes, fitted.nodes, strict=True):
        assert before.name == name or before is after
        assert all(getattr(before, field) is getattr(after, field) for field in vars(before) if field not in fields)


def test_a_graph_on_affine_functions_or_of_few_bits_stays_the_same() -> None:
    found = fit_thresholds(GRAPH)
    assert found.graph is GRAPH
    assert found.moved == {"conv0": 0, "conv1": 0}
    assert found.summary == "thresholds moved by one accumulator onto affine functions: none"
    few = random_graph(1, bits=4)
    assert fit_thresholds(few) == (few, {}, {})


def test_layers_with_thresholds_far_from_any_function_are_kept() -> None:
    rough = nudged(GRAPH, "act1", 0)
    node = next(each for each in random_graph(1, bits=6).nodes if each.name == "act0")
    mixed = replace(rough, nodes=tuple(node if each.name == "act0" else each for each in rough.nodes))
    fitted = fit_thresholds(mixed)
    assert fitted.kept == {"conv0": 8}
    assert list(fitted.moved) == ["conv1"]
    assert missing(fitted.graph)["conv1"] == ()
    assert next(each for each in fitted.graph.nodes if each.name == "act0") is node
    assert re.search(r"affine functions: \d+ in conv1; conv0 keeps its own: 8 channels are farther from one", fitted.summary)
