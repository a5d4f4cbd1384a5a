"""Parameter words and weights in DRAM back into a graph: the inverse of `qlight.hardware.packing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qlight.hardware.affine import MULTIPLIER_BITS, OFFSET_BITS, levels_of
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Affine, Mvtu, Pool, StreamedMvtu
from qlight.intgraph import Graph
from qlight.intgraph.encodings import Operand
from qlight.intgraph.nodes import Array, Node
from qlight.intgraph.validate import operands


def loaded_graph(pipeline: Pipeline, words: Array, dram: Sequence[bytes] = ()) -> Graph:
    """The network that an accelerator runs once `words` are loaded and `dram` lies where it reads.

    Its scales are those of the pipeline's graph: words do not hold them. Nor do they hold the direction of a channel of one code only
    where thresholds are in an affine form.

    Args:
        pipeline: of a network of the same geometry.
        words: uint32, `pipeline.words` of them.
        dram: of every streamed layer, in order, its `dram_bytes`.

    Raises:
        InputError: the words are not the parameters of a valid graph.
    """
    fields: dict[str, dict[str, Array]] = {}
    by_name, known = {layer.name: layer for layer in pipeline.layers}, operands(pipeline.graph)
    at, blobs = 0, iter(dram)
    for unit in pipeline.units:
        if isinstance(unit, Mvtu):
            layer = by_name[unit.layer]
            streamed = isinstance(unit, StreamedMvtu)
            rows = _streamed_rows(unit, next(blobs)) if streamed else _rows(unit, words[at : at + unit.weight_words])
            fields[layer.name] = {"weight": _weights(unit, rows).reshape(layer.node.weight.shape)}
            if unit.levels:
                assert layer.threshold is not None
                levels = words[at + unit.weight_words : at + unit.words].view(np.int32).reshape(unit.mh, unit.levels + 1)
                direction = np.where(levels[:, -1] & 1, -1, 1).astype(np.int8)
                fields[layer.threshold.name] = {"thresholds": _passed_in_order(levels[:, :-1], direction), "direction": direction}
            at += unit.words
        elif isinstance(unit, Affine):
            threshold = by_name[unit.layer].threshold
            assert threshold is not None
            reached = known[by_name[unit.layer].accumulator.name]
            fields[threshold.name] = _affine_thresholds(threshold.bits, reached, words[at : at + unit.words])
            at += unit.words
        elif isinstance(unit, Pool) and unit.directed:
            at += unit.words  # the same directions as its layer's thresholds have
    assert at == len(words)
    nodes: list[Node] = [replace(node, **fields.get(node.name, {})) for node in pipeline.graph.nodes]
    return replace(pipeline.graph, nodes=tuple(nodes))


def _rows(unit: Mvtu, words: Array) -> Array:
    """Bits, rows x row_bits, of parameter words: each row fills whole words."""
    rows = words.reshape(unit.synapse_folds * unit.neuron_folds, -1)
    return np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")[:, : unit.row_bits]


def _streamed_rows(unit: Mvtu, dram: bytes) -> Array:
    """Bits, rows x row_bits, of weights in DRAM: rows follow each other bit by bit."""
    rows = unit.synapse_folds * unit.neuron_folds
    bits = np.unpackbits(np.frombuffer(dram, np.uint8), bitorder="little", count=rows * unit.row_bits)
    return bits.reshape(rows, unit.row_bits)


def _weights(unit: Mvtu, rows: Array) -> Array:
    """Codes, MH x MW, of the bits of a weight memory's rows."""
    spread = rows.reshape(unit.neuron_folds, unit.synapse_folds, unit.pe, unit.simd, unit.weight_bits)
    codes = (spread << np.arange(unit.weight_bits, dtype=np.uint8)).sum(-1, dtype=np.uint8)
    if unit.weight_signed:
        unused = 8 - unit.weight_bits
        codes = (codes << unused).view(np.int8) >> unused
    return codes.transpose(0, 2, 1, 3).reshape(unit.mh, unit.mw)


def _affine_thresholds(bits: int, reached: Operand, words: Array) -> dict[str, Array]:
    """The thresholds of {B, M} a channel, for codes of so many bits and accumulators of this type and range."""
    held = np.unpackbits(words.reshape(-1, 3).view(np.uint8), axis=1, bitorder="little")
    multiplier, offset = _signed(held[:, :MULTIPLIER_BITS]), _signed(held[:, MULTIPLIER_BITS : MULTIPLIER_BITS + OFFSET_BITS])
    thresholds, direction = levels_of(multiplier, offset, bits, reached.type.bits, reached.low, reached.high)
    return {"thresholds": thresholds, "direction": direction}


def _signed(bits: Array) -> Array:
    """int64 of two's complement, the first bit the least."""
    weights = np.int64(1) << np.arange(bits.shape[1], dtype=np.int64)
    weights[-1] = -weights[-1]
    return bits.astype(np.int64) @ weights


def _passed_in_order(thresholds: Array, direction: Array) -> Array:
    """Sorted as graphs have them: d * T ascending. How many fire does not depend on the order."""
    ascending = np.sort(thresholds, axis=1)
    return np.where(direction[:, None] > 0, ascending, ascending[:, ::-1]).astype(np.int32)
