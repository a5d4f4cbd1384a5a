"""An integer graph as a pipeline of units with all parameters, for a folding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from qlight.errors import InputError
from qlight.hardware.boards import Board
from qlight.hardware.fifos import depths
from qlight.hardware.folding import AUTO, DSP4, LUT, Fold, Folding, affine_lanes, checked, choose, window_lanes
from qlight.hardware.layers import BEAT_BYTES, Layer, layers
from qlight.hardware.units import (
    FOUR,
    LOADED,
    MULTIPLY,
    PACKED,
    PLANES,
    XNOR,
    Affine,
    Dwc,
    Fifo,
    Mvtu,
    Pool,
    Reorder,
    Replay,
    Stream,
    StreamedMvtu,
    Swg,
    Unit,
)
from qlight.intgraph import Conv2d, Graph
from qlight.intgraph.nodes import BIPOLAR, SIGNED


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Units in the order of the stream; each reads what the one before writes.

    Attributes:
        graph: whose weights and thresholds it is loaded with.
        folding: of each layer.
        layers: what of the graph each MVTU runs.
        units: from the input stream of `BEAT_BYTES` pixels' bytes a beat to one accumulator a beat.
    """

    graph: Graph
    folding: Folding
    layers: tuple[Layer, ...]
    units: tuple[Unit, ...]

    @property
    def image_bytes(self) -> int:
        """Bytes of an image on the input stream."""
        return self.units[0].source.codes

    @property
    def classes(self) -> int:
        """Accumulators of an image on the output stream."""
        return self.units[-1].target.codes

    @cached_property
    def words(self) -> int:
        """Parameter words that a load takes."""
        return sum(unit.words for unit in self.units if isinstance(unit, LOADED))

    @property
    def preset(self) -> bool:
        """Whether it computes its graph from configuration on; if not, its parameters must be loaded before the first image."""
        return all(unit.preset for unit in self.units if isinstance(unit, Mvtu))

    @property
    def streamed(self) -> tuple[StreamedMvtu, ...]:
        """The units whose weights lie in DRAM, in the order of their memory ports."""
        return tuple(unit for unit in self.units if isinstance(unit, StreamedMvtu))

    @property
    def dram_bytes(self) -> int:
        """Bytes of weights that an image reads from DRAM."""
        return sum(unit.dram_bytes for unit in self.streamed)

    def unit(self, name: str) -> Unit:
        """The unit of this name."""
        return next(unit for unit in self.units if unit.name == name)


def make_pipeline(graph: Graph, folding: Mapping[str, Any] | None = None, target_cycles: int | None = None) -> Pipeline:
    """The pipeline of a graph.

    Args:
        folding: {layer: (PE, SIMD)}, or a mapping in place of the pair (`qlight.hardware.folding`); None: chosen for ``target_cycles``,
            or a modest parallelism.
        target_cycles: the most cycles between two images; not with ``folding``.

    Raises:
        InputError: the cells cannot run the graph, or the folding or target is not possible; the message names the node.

    >>> import numpy as np
    >>> from qlight.intgraph import GraphBuilder
    >>> builder = GraphBuilder((2, 2, 1))
    >>> builder.flatten("flat")
    >>> builder.linear("output", np.array([[1, -2, 0, 1]], np.int8), bits=2, encoding="signed")
    >>> pipeline = make_pipeline(builder.build(np.ones(1), np.zeros(1)), {"output": (1, 2)})
    >>> [(unit.name, unit.source.lanes, unit.target.lanes) for unit in pipeline.units]
    [('output_fifo', 4, 4), ('output_dwc', 4, 2), ('output', 2, 1)]
    """
    found = layers(graph)
    if folding is not None and target_cycles is not None:
        raise InputError(f"Expected `folding` or `target_cycles`, but got both ({target_cycles} cycles); leave one out.")
    folds = choose(found, target_cycles) if folding is None else checked(found, folding)
    units: list[Unit] = []
    stream = Stream(8, BEAT_BYTES, math.prod(found[0].source.shape) // BEAT_BYTES)
    for layer in found:
        stream = _append_layer(units, layer, folds[layer.name], stream, first=layer is found[0])
    last = found[-1].name
    if stream.lanes > 1:
        _queue(units, f"{last}_out_fifo", last, stream)
    _convert(units, f"{last}_out_dwc", last, stream, 1)
    deep = depths(units)
    units = [replace(unit, depth=deep[unit.name]) if isinstance(unit, Fifo) and not unit.depth else unit for unit in units]
    return Pipeline(graph, folds, found, tuple(units))


def check_board(pipeline: Pipeline, board: Board) -> None:
    """Refuse a folding with memories that a board does not have.

    Raises:
        InputError: with the layer.
    """
    for unit in pipeline.units:
        if isinstance(unit, Mvtu) and not unit.preset and not board.resources.uram:
            raise InputError(
                f"Expected `memory` of {unit.layer!r} to be auto, block or distributed on {board.title}, which has no UltraRAM, but got "
                f"{unit.memory!r}; fold it anew, or take another board."
            )


def implementation(layer: Layer, simd: int, multiply: str = AUTO) -> int:
    """How the MVTU of a layer multiplies.

    XNOR where weights and activations are -1 and +1, bit planes up to 2 x 2 bits and where activations are -1 and +1, two products a
    multiply up to 4 x 4 bits, else one multiply a product.

    Args:
        multiply: AUTO: as above. LUT: XNOR or bit planes, where they can (signed weights with -1 and +1 are negated). DSP: one or two
            products a multiply. DSP4: four, where they fit a multiplier of UltraScale+, else as DSP.
    """
    weight, activation = layer.node.weight_bits, layer.source.bits
    bipolar, signed = layer.source.encoding == BIPOLAR, layer.node.weight_encoding == SIGNED
    small = bipolar or (weight <= 2 and activation <= 2)
    if not (bipolar and signed) and (multiply == LUT or (multiply == AUTO and small)):
        return XNOR if bipolar and weight == 1 else PLANES
    if bipolar:
        return MULTIPLY
    if multiply == DSP4 and weight + activation <= 8:
        return FOUR
    # the width of two packed products' sum that qlight_dot takes
    fits = 2 * weight + activation + (simd - 1).bit_length() <= 24
    return PACKED if fits and (multiply != AUTO or (weight <= 4 and activation <= 4)) else MULTIPLY


def _append_layer(units: list[Unit], layer: Layer, fold: Fold, stream: Stream, first: bool) -> Stream:
    """The units of a layer, from the stream that the one before makes; the stream that it makes itself."""
    name, node = layer.name, layer.node
    times = layer.outputs // fold.pe if fold.streamed else 1  # that the unit wants the map
    if isinstance(node, Conv2d) and layer.windowed:
        if not first:  # a window generator's rows buffer the input stream
            _queue(units, f"{name}_fifo", name, stream)
        height, width, channels = layer.source.shape
        stream = _convert(units, f"{name}_dwc", name, stream, window_lanes(layer, fold.simd))
        stream = _repeat(units, name, stream, times)
        windows = Stream(stream.bits, stream.lanes, times * layer.vectors * layer.inputs // stream.lanes)
        units.append(Swg(f"{name}_swg", name, stream, windows, channels, height, width, node.kernel, node.padding, node.pad_code))
        stream = _convert(units, f"{name}_window_dwc", name, windows, fold.simd)
        if stream is not windows:  # windows come more slowly than the first fold takes them: the next vector waits here, whole
            _queue(units, f"{name}_window_fifo", name, stream, max(2, layer.inputs // fold.simd))
    else:  # the first fold takes a beat a cycle, so beats must be whole where they wait
        wider = stream.lanes < fold.simd
        if not wider:
            _queue(units, f"{name}_fifo", name, stream)
        stream = _convert(units, f"{name}_dwc", name, stream, fold.simd)
        if wider:
            _queue(units, f"{name}_fifo", name, stream)
        stream = _repeat(units, name, stream, times)
    units.append(_mvtu(layer, fold, stream))
    stream = units[-1].target
    disordered = times > 1 and layer.vectors > 1
    if fold.affine:
        stream = _requantize(units, layer, fold, stream, layer.vectors if disordered else 1)
        if disordered:  # whole beats, as those of another pixel may follow
            stream = _convert(units, f"{name}_code_dwc", name, stream, fold.pe)
    if disordered:
        units.append(Reorder(f"{name}_reorder", name, stream, stream, times, layer.vectors))
    for pool in layer.pools:
        pooled = Stream(stream.bits, stream.lanes, (pool.height // 2) * (pool.width // 2) * pool.channels // stream.lanes)
        units.append(Pool(pool.name, name, stream, pooled, pool.channels, pool.height, pool.width, pool.directed))
        stream = pooled
    return stream


def _repeat(units: list[Unit], name: str, stream: Stream, times: int) -> Stream:
    """Every image ``times`` times."""
    if times == 1:
        return stream
    repeated = Stream(stream.bits, stream.lanes, times * stream.beats)
    units.append(Replay(f"{name}_replay", name, stream, repeated, stream.beats, times))
    return repeated


def _requantize(units: list[Unit], layer: Layer, fold: Fold, stream: Stream, repeat: int) -> Stream:
    """Accumulators become codes by an affine function, as few at a time as keep up with the MVTU."""
    assert layer.threshold is not None
    stream = _convert(units, f"{layer.name}_acc_dwc", layer.name, stream, affine_lanes(layer, fold))
    codes = Stream(layer.threshold.bits, stream.lanes, stream.beats)
    group = (fold.pe if repeat > 1 else layer.outputs) // stream.lanes
    units.append(Affine(f"{layer.name}_affine", layer.name, stream, codes, layer.outputs, group, repeat))
    return codes


def _mvtu(layer: Layer, fold: Fold, stream: Stream) -> Mvtu:
    accumulator = layer.accumulator.bits
    output_bits = 0 if layer.threshold is None or fold.affine else layer.threshold.bits
    resident = Mvtu(
        layer.name,
        layer.name,
        stream,
        Stream(output_bits or accumulator, fold.pe, layer.vectors * layer.outputs // fold.pe),
        pe=fold.pe,
        simd=fold.simd,
        mw=layer.inputs,
        mh=layer.outputs,
        vectors=layer.vectors,
        weight_bits=layer.node.weight_bits,
        weight_signed=layer.node.weight_encoding == SIGNED,
        activation_bits=layer.source.bits,
        bipolar=layer.source.encoding == BIPOLAR,
        output_bits=output_bits,
        acc_bits=accumulator,
        implementation=implementation(layer, fold.simd, fold.multiply),
        memory=fold.memory,
    )
    return StreamedMvtu(**vars(resident), port_bits=fold.port_bits) if fold.streamed else resident


def _convert(units: list[Unit], name: str, layer: str, stream: Stream, lanes: int) -> Stream:
    if stream.lanes == lanes:
        return stream
    units.append(Dwc(name, layer, stream, stream.of(lanes)))
    return units[-1].target


def _queue(units: list[Unit], name: str, layer: str, stream: Stream, depth: int = 0) -> None:
    """A FIFO; 0: its depth is computed when the pipeline is whole."""
    units.append(Fifo(name, layer, stream, stream, depth))
