"""What can be chosen for a layer on a board, with the cycles, resources and DRAM bytes of each choice.

A choice is a legal fold: PE and SIMD, weights resident or streamed, products of LUTs or DSP slices; and of what its weight memory is made.
What lies between two layers (a FIFO and a width converter) depends on the lanes of one's output and of the other's input alone: `Links`.
Depths of FIFOs are bounds here, as they depend on the whole pipeline (`qlight.hardware.fifos`): a row of the map behind a pool, two pixels
without one, a whole image before a dense layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

from qlight.hardware.boards import KINDS, ULTRASCALE, Board, Resources
from qlight.hardware.features import reader_registers
from qlight.hardware.folding import (
    DSP,
    DSP4,
    LUT,
    RESIDENT,
    STREAMED,
    Fold,
    divisors,
    dram_words,
    layer_cycles,
    requantization,
    window_lanes,
)
from qlight.hardware.layers import Layer
from qlight.hardware.memories import AUTO, BLOCK, DISTRIBUTED, ULTRA
from qlight.hardware.pipeline import _append_layer, _convert, _queue, implementation
from qlight.hardware.resources import model, unit_resources, weighed
from qlight.hardware.units import Fifo, Mvtu, Stream, Unit
from qlight.intgraph import Linear


@dataclass(frozen=True)
class Choice:
    """One way to build a layer.

    Attributes:
        fold: as `make_pipeline` takes it, with the memory of resident weights.
        lanes: codes a beat that it reads.
        given: codes a beat that it writes.
        cycles: an image.
        dram_bytes: an image.
        resources: of its units, without the `Link` before it.
    """

    fold: Fold
    lanes: int
    given: int
    cycles: int
    dram_bytes: int
    resources: Resources


def choices(layers: Sequence[Layer], index: int, board: Board) -> list[Choice]:
    """All choices for a layer but those that another one with the same lanes on both sides is at least as good as in everything."""
    layer = layers[index]
    found: dict[tuple[int, int], list[Choice]] = {}
    for fold in folds(layer, board):
        lanes = needed_lanes(layer, fold)
        units = _units(layers, index, fold, lanes)
        given = units[-1].target.lanes
        *others, unit_of_style = sorted(units, key=lambda unit: isinstance(unit, Mvtu))
        rest = weighed([reader_registers(1, together=False)], model()["coefficients"]) if fold.streamed else Resources()
        for unit in others:
            rest += unit_resources(unit, board.family)
        for style in styles(fold, board):
            total = rest + unit_resources(unit_of_style, board.family, None if style == AUTO else style)
            bytes_read = dram_words(layer, fold) * fold.port_bits // 8
            choice = Choice(fold._replace(memory=style), lanes, given, layer_cycles(layer, fold), bytes_read, total)
            found.setdefault((given, lanes), []).append(choice)
    return [choice for group in found.values() for choice in _not_worse(group)]


def folds(layer: Layer, board: Board) -> list[Fold]:
    """All legal folds; products of LUTs and of DSP slices only where they are made differently."""
    found = []
    how = requantization(layer)
    for pe in divisors(layer.outputs):
        for simd in divisors(layer.inputs):
            made: dict[int, str] = {}
            for multiply in (LUT, DSP, DSP4) if board.family == ULTRASCALE else (LUT, DSP):
                made.setdefault(implementation(layer, simd, multiply), multiply)
            for multiply in made.values():
                for weights in (RESIDENT, STREAMED):
                    found.append(Fold(pe, simd, weights, multiply, board.port_bits, requantize=how))
    return found


def styles(fold: Fold, board: Board) -> tuple[str, ...]:
    """Of what the weights of a layer can be made. Streamed weights have a small memory, whose style its shape says."""
    if fold.streamed:
        return (AUTO,)
    return (BLOCK, DISTRIBUTED, ULTRA) if board.resources.uram else (BLOCK, DISTRIBUTED)


def needed_lanes(layer: Layer, fold: Fold) -> int:
    """Codes a beat that a layer's window generator, or its MVTU without one, reads."""
    return window_lanes(layer, fold.simd) if layer.windowed else fold.simd


class Links:
    """What lies between a layer and the one before it, by the lanes on both sides."""

    def __init__(self, layers: Sequence[Layer], board: Board) -> None:
        self._layers, self._board = layers, board
        self.of = cache(self._of)

    def _of(self, index: int, given: int, needed: int) -> Resources:
        """Before layer ``index``, of a stream of ``given`` lanes where ``needed`` are read; `Choice` has that of equal lanes already."""
        if given == needed:
            return Resources()
        fold = Fold(1, needed)
        sums = []
        for lanes in (given, needed):
            total = Resources()
            for unit in _units(self._layers, index, fold, lanes):
                if not isinstance(unit, Mvtu):
                    total += unit_resources(unit, self._board.family)
            sums.append(total)
        return Resources(*(getattr(sums[0], kind) - getattr(sums[1], kind) for kind in KINDS))


def _units(layers: Sequence[Layer], index: int, fold: Fold, lanes: int) -> list[Unit]:
    """The units of a layer that reads a stream of so many lanes, FIFOs as deep as they may have to be."""
    layer, source = layers[index], layers[index].source
    units: list[Unit] = []
    stream = _append_layer(units, layer, fold, Stream(source.bits, lanes, prod(source.shape) // lanes), first=index == 0)
    if index == len(layers) - 1 and stream.lanes > 1:
        _queue(units, f"{layer.name}_out_fifo", layer.name, stream, stream.beats)
        _convert(units, f"{layer.name}_out_dwc", layer.name, stream, 1)
    after_pool = index > 0 and bool(layers[index - 1].pools)
    return [replace(unit, depth=_bound(layer, unit, after_pool)) if isinstance(unit, Fifo) and not unit.depth else unit for unit in units]


def _bound(layer: Layer, fifo: Fifo, after_pool: bool) -> int:
    if isinstance(layer.node, Linear):
        return max(2, fifo.source.beats)
    height, width = layer.source.shape[:2]
    return max(2, fifo.source.beats // height if after_pool else 2 * fifo.source.beats // (height * width))


def _not_worse(group: list[Choice]) -> list[Choice]:
    """Those that no other one is at least as good as in everything."""
    measures = [(choice.cycles, choice.dram_bytes, *(getattr(choice.resources, kind) for kind in KINDS)) for choice in group]
    order = sorted(range(len(group)), key=lambda index: measures[index])
    kept: list[int] = []
    for index in order:
        if not any(all(a <= b for a, b in zip(measures[other], measures[index], strict=True)) for other in kept):
            kept.append(index)
    return [group[index] for index in kept]
