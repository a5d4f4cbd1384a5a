"""Thresholds moved onto affine functions of the accumulator, for networks some of whose thresholds are next to one.

A lowered network has the thresholds of torch's float32 arithmetic, to the last integer. Where accumulators are large its rounding moves one
threshold or other of a channel by an accumulator: in one of a hundred channels at a span of 2^16 accumulators, in most at 2^20. The channel
then has no affine form, and one channel is enough for a layer to need thresholds. Here these move to the nearest affine function. That is
another network: it differs from the first one in the codes of single accumulators, by one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from qlight.hardware.affine import affine_form, levels_of
from qlight.hardware.folding import AFFINE_BITS
from qlight.hardware.layers import layers
from qlight.intgraph import Graph
from qlight.intgraph.nodes import Node


class Fitted(NamedTuple):
    """What `fit_thresholds` makes.

    Attributes:
        graph: the one that was given where nothing moved.
        moved: how many thresholds moved by one accumulator, of each layer with codes of `AFFINE_BITS` bits or more.
        kept: layers that are as they were, since so many of their channels have thresholds farther from any affine function.
    """

    graph: Graph
    moved: dict[str, int]
    kept: dict[str, int]

    @property
    def summary(self) -> str:
        """In words."""
        moved = ", ".join(f"{count} in {name}" for name, count in self.moved.items() if count) or "none"
        kept = "".join(f"; {name} keeps its own: {count} channels are farther from one" for name, count in self.kept.items())
        return f"thresholds moved by one accumulator onto affine functions: {moved}{kept}"


def fit_thresholds(graph: Graph) -> Fitted:
    """The graph with the thresholds of its layers on affine functions, none more than an accumulator from where it was.

    Raises:
        InputError: the cells cannot run the graph.
    """
    moved: dict[str, int] = {}
    kept: dict[str, int] = {}
    changed: dict[str, Node] = {}
    for layer in layers(graph):
        node, form = layer.threshold, layer.affine
        if node is None or form is None or node.bits < AFFINE_BITS:
            continue
        if not form.missing:
            moved[layer.name] = 0
            continue
        wrong = list(form.missing)
        levels, direction = levels_of(form.multiplier[wrong], form.offset[wrong], node.bits, layer.accumulator.bits, *layer.reach)
        thresholds, directions = node.thresholds.copy(), node.direction.copy()
        steps = np.abs(levels.astype(np.int64) - thresholds[wrong])
        thresholds[wrong], directions[wrong] = levels, direction
        fitted = replace(node, thresholds=thresholds, direction=directions)
        far = {channel for channel, step in zip(wrong, steps.max(axis=1).tolist(), strict=True) if step > 1}
        far |= set(affine_form(fitted, layer.accumulator.bits, *layer.reach).missing)
        if far:
            kept[layer.name] = len(far)
            continue
        moved[layer.name] = int(steps.sum())
        changed[node.name] = fitted
    if changed:
        graph = replace(graph, nodes=tuple(changed.get(node.name, node) for node in graph.nodes))
    return Fitted(graph, moved, kept)
