"""Parameter words back into a graph: the inverse of `qlight.hardware.packing.parameter_words`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Mvtu, Pool
from qlight.intgraph import Graph
from qlight.intgraph.nodes import Array, Node


def loaded_graph(pipeline: Pipeline, words: Array) -> Graph:
    """The network that an accelerator runs once `words` are loaded.

    Its scales are those of the pipeline's graph: words do not hold them.

    Args:
        pipeline: of a network of the same geometry.
        words: uint32, `pipeline.words` of them.

    Raises:
        InputError: the words are not the parameters of a valid graph.
    """
    fields: dict[str, dict[str, Array]] = {}
    by_name = {layer.name: layer for layer in pipeline.layers}
    at = 0
    for unit in pipeline.units:
        if isinstance(unit, Mvtu):
            layer = by_name[unit.layer]
            fields[layer.name] = {"weight": _weights(unit, words[at : at + unit.weight_words]).reshape(layer.node.weight.shape)}
            if layer.threshold is not None:
                rows = words[at + unit.weight_words : at + unit.words].view(np.int32).reshape(unit.mh, unit.levels + 1)
                direction = np.where(rows[:, -1] & 1, -1, 1).astype(np.int8)
                fields[layer.threshold.name] = {"thresholds": _passed_in_order(rows[:, :-1], direction), "direction": direction}
            at += unit.words
        elif isinstance(unit, Pool) and unit.directed:
            at += unit.words  # the same directions as its layer's thresholds have
    assert at == len(words)
    nodes: list[Node] = [replace(node, **fields.get(node.name, {})) for node in pipeline.graph.nodes]
    return replace(pipeline.graph, nodes=tuple(nodes))


def _weights(unit: Mvtu, words: Array) -> Array:
    """Codes, MH x MW, of the rows of a weight memory."""
    rows = unit.synapse_folds * unit.neuron_folds
    bits = np.unpackbits(words.reshape(rows, -1).view(np.uint8), axis=1, bitorder="little")[:, : unit.row_bits]
    spread = bits.reshape(unit.neuron_folds, unit.synapse_folds, unit.pe, unit.simd, unit.weight_bits)
    codes = (spread << np.arange(unit.weight_bits, dtype=np.uint8)).sum(-1, dtype=np.uint8)
    if unit.weight_signed:
        unused = 8 - unit.weight_bits
        codes = (codes << unused).view(np.int8) >> unused
    return codes.transpose(0, 2, 1, 3).reshape(unit.mh, unit.mw)


def _passed_in_order(thresholds: Array, direction: Array) -> Array:
    """Sorted as graphs have them: d * T ascending. How many fire does not depend on the order."""
    ascending = np.sort(thresholds, axis=1)
    return np.where(direction[:, None] > 0, ascending, ascending[:, ::-1]).astype(np.int32)
