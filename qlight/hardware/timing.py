"""When every beat of every stream moves: the cells of hw/rtl as a timed event graph, solved for a few images at once.

A cell is rules of the form "beat i of one stream comes at least d cycles after beat j of another": a FIFO's beat leaves a cycle after it
came and comes a cycle after the beat `depth` before it left; an MVTU's result leaves some cycles after its last product was issued. The
earliest times that keep all rules are those of the hardware, which does everything as early as it can. They are found by applying the rules
over and over to whole arrays (a least fixed point; later beats never act on earlier ones), instead of stepping through cycles.

One cell is not quite such a graph: the MVTU stops its pipeline as a whole while its output waits. The rule here is that of a pipeline
without gaps. A stopped unit is ahead of the one behind it, so this moves no beat of the output; tests compare with simulation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qlight.hardware.event_rules import BufferRules, DwcRules, FifoRules, Rules, StageRules, at_least, in_turn
from qlight.hardware.timing_streamed import StreamedMvtuRules, reorder_rules, replay_rules
from qlight.hardware.units import Affine, Dwc, Fifo, Mvtu, Pool, Reorder, Replay, StreamedMvtu, Swg, Unit
from qlight.intgraph.nodes import Array

_SWEEPS = 10_000
_AFFINE_STAGES = 6


def transfer_times(units: Sequence[Unit], images: int, period: int | None = None) -> list[Array]:
    """int64 for the input of every unit, and for the output of the last: the cycle in which each beat moves.

    The input stream always has data and the output stream is always ready.

    Args:
        units: a pipeline's.
        images: how many follow each other.
        period: None: the hardware as it is. A number of cycles: no unit is faster than an image in so many cycles, its vectors spread
            evenly (`qlight.hardware.fifos`). A FIFO of depth 0 has no end.
    """
    streams = [np.arange(images * unit.source.beats) for unit in units]
    streams.append(np.arange(images * units[-1].target.beats))
    if period is not None:
        beats = units[0].source.beats
        streams[0] = np.maximum(streams[0], np.repeat(np.arange(images) * period, beats))
        in_turn(streams[0])
    rules = [_rules(unit, images, period) for unit in units]
    before = -1
    for _ in range(_SWEEPS):
        for index in (*range(len(units)), *reversed(range(len(units)))):
            rules[index].apply(streams[index], streams[index + 1])
        total = sum(int(stream.sum()) for stream in streams)  # times only grow
        if total == before:
            return streams
        before = total
    raise AssertionError("the rules of the pipeline contradict each other")


def swg_capacity(unit: Swg) -> int:
    """Beats that the window generator's buffer holds: WORDS of qlight_swg.sv."""
    (tall, wide), (top, bottom, left, right) = unit.kernel, unit.padding
    row = (tall - 1) * unit.width + max(wide + 1, 2 * wide - left - right)
    frame = (2 * tall - 2 - top - bottom) * unit.width + 2 * wide - left - right
    return max(row, frame) * unit.folds


def _rules(unit: Unit, images: int, period: int | None) -> Rules:
    if isinstance(unit, Fifo):
        return FifoRules(unit.depth)
    if isinstance(unit, Dwc):
        return DwcRules(unit.source.lanes, unit.target.lanes)
    if isinstance(unit, Swg):
        return _swg_rules(unit, images * unit.source.codes // (unit.channels * unit.height * unit.width))
    if isinstance(unit, StreamedMvtu):
        return StreamedMvtuRules(unit, images, period)
    if isinstance(unit, Mvtu):
        return _MvtuRules(unit, images, period)
    if isinstance(unit, Affine):
        return StageRules(_AFFINE_STAGES)
    if isinstance(unit, Replay):
        return replay_rules(unit, images)
    if isinstance(unit, Reorder):
        return reorder_rules(unit, images, period)
    assert isinstance(unit, Pool)
    return _PoolRules(unit, images)


def _swg_rules(unit: Swg, frames: int) -> BufferRules:
    folds, size = unit.folds, unit.height * unit.width * unit.folds
    (tall, wide), (top, _, left, _) = unit.kernel, unit.padding
    out_height, out_width = unit.out_height, unit.out_width
    rows = np.arange(out_height)[:, None] + np.arange(tall) - top  # oy, ky
    columns = np.arange(out_width)[:, None] + np.arange(wide) - left  # ox, kx
    y = rows[:, None, :, None, None]
    x = columns[None, :, None, :, None]
    place = (y * unit.width + x) * folds + np.arange(folds)
    inside = np.broadcast_to((y >= 0) & (y < unit.height) & (x >= 0) & (x < unit.width), place.shape)
    needs = np.where(inside, place, -1).ravel()
    needs[0] = max(needs[0], 0)  # the first window waits for the first beat of its image even if it starts with padding
    starts = np.arange(frames)[:, None] * size
    # room is given back with the last beat of a window
    oy, ox = np.arange(out_height)[:, None], np.arange(out_width)[None, :]
    first_used = np.where(oy > top, (oy - top) * unit.width * folds, 0) + np.where(oy >= top, (ox - left).clip(0) * folds, 0)
    freed = np.empty((out_height, out_width), np.int64)
    freed.flat[:-1] = first_used.ravel()[1:]  # everything before the next window's first pixel inside of the map
    freed.flat[-1] = size
    total = (freed.ravel() + starts).ravel()
    # write i needs the window after which i + 1 - capacity beats are free
    wanted = np.arange(1, frames * size + 1) - swg_capacity(unit)
    window = np.searchsorted(total, wanted)
    waiting = np.flatnonzero(wanted > 0)
    return BufferRules(np.where(needs < 0, -1, needs + starts).ravel(), waiting, (window[waiting] + 1) * tall * wide * folds - 1)


class _MvtuRules:
    """Times of the first fold's issues, which read the stream, and of the last issue of every fold.

    ``latency``: cycles from that issue to the result at the output.
    """

    def __init__(self, unit: Mvtu, images: int, period: int | None) -> None:
        self.latency = 4 + 2 * unit.output_bits
        self.vectors, self.sf, self.nf = images * unit.vectors, unit.synapse_folds, unit.neuron_folds
        self.ends = np.zeros((self.vectors, self.nf), np.int64)
        within = np.concatenate([np.arange(self.sf), (np.arange(1, self.nf) + 1) * self.sf - 1])
        self.issue = (np.arange(self.vectors)[:, None] * (self.sf * self.nf) + within).ravel()
        self.pace = None if period is None else np.arange(self.vectors) * period // unit.vectors

    def apply(self, source: Array, target: Array) -> None:
        reads = source.reshape(self.vectors, self.sf)
        if self.pace is not None:
            first = np.maximum.accumulate(reads[:, 0] - self.pace) + self.pace
            reads[:, 0] = first
        # while a result waits, what is issued `latency` issues later waits as well
        flat = self.ends.ravel()
        fold, rest = divmod(self.latency - 1, self.sf)
        stopped = np.zeros_like(flat)
        if len(flat) > fold + 1:
            stopped[fold + 1 :] = target[: -fold - 1]
        stopped = stopped.reshape(self.ends.shape)
        reads[:, rest] = np.maximum(reads[:, rest], stopped[:, 0])
        at_least(self.ends, stopped + self.sf - 1 - rest)
        times = np.concatenate([reads, self.ends[:, 1:]], axis=1).ravel() - self.issue
        np.maximum.accumulate(times, out=times)
        times = (times + self.issue).reshape(self.vectors, -1)
        reads[:] = times[:, : self.sf]
        self.ends[:, 0] = times[:, self.sf - 1]
        self.ends[:, 1:] = times[:, self.sf :]
        steps = np.arange(len(target)) * self.sf  # results are SF places apart in the pipeline
        at_least(target, self.ends.ravel() + self.latency)
        np.maximum.accumulate(target - steps, out=target)
        target += steps


class _PoolRules:
    def __init__(self, unit: Pool, images: int) -> None:
        folds = unit.channels // unit.source.lanes
        rows, columns = unit.height // 2 * 2, unit.width // 2 * 2
        y, x = np.arange(unit.height)[:, None, None], np.arange(unit.width)[:, None]
        last = (y % 2 == 1) & (y < rows) & (x % 2 == 1) & (x < columns) & np.ones(folds, bool)
        self.last = np.flatnonzero(np.tile(last.ravel(), images))
        before = np.zeros(images * last.size, np.int64)
        before[1:] = np.cumsum(np.tile(last.ravel(), images))[:-1]  # results of earlier beats
        self.waiting = np.flatnonzero(before > 0)
        self.result = before[self.waiting] - 1

    def apply(self, source: Array, target: Array) -> None:
        in_turn(source)
        at_least(target, source[self.last] + 1)
        in_turn(target)
        source[self.waiting] = np.maximum(source[self.waiting], target[self.result])
        in_turn(source)
