"""The pipeline as functions on streams, driven by memory files and DRAM alone: what the cells must do, written a second time.

A stream is an array of beats x lanes of codes (accumulators as signed integers). Units are taken one after the other; nothing here is fast.
"""

from __future__ import annotations

import numpy as np

from qlight.hardware.packing import dram_weights, memory_files
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Affine, Dwc, Fifo, Mvtu, Pool, Reorder, Replay, StreamedMvtu, Swg, Unit

Beats = np.ndarray
Memory = dict[str, str]


def run(pipeline: Pipeline, images: np.ndarray, memory: Memory | None = None) -> np.ndarray:
    """Accumulators N x classes of uint8 images, through every unit."""
    files = contents(pipeline) if memory is None else memory
    stream = images.reshape(-1, 4).astype(np.int64)
    for unit in pipeline.units:
        assert stream.shape == (len(images) * unit.source.beats, unit.source.lanes), unit.name
        stream = step(unit, stream, files)
        assert stream.shape == (len(images) * unit.target.beats, unit.target.lanes), unit.name
    return stream.reshape(len(images), -1)


def contents(pipeline: Pipeline) -> Memory:
    """Memory files, and the bytes of DRAM as one hexadecimal number a layer."""
    return dict(memory_files(pipeline)) | {name: content.tobytes()[::-1].hex() for name, content in dram_weights(pipeline)}


def step(unit: Unit, stream: Beats, files: Memory) -> Beats:
    """What a unit makes of a stream."""
    if isinstance(unit, Fifo):
        assert unit.depth >= 2
        return stream
    if isinstance(unit, Dwc):
        return stream.reshape(-1, unit.target.lanes)
    if isinstance(unit, Swg):
        return windows(unit, stream)
    if isinstance(unit, Replay):
        return np.repeat(stream.reshape(-1, unit.frame, unit.source.lanes), unit.times, axis=0).reshape(-1, unit.source.lanes)
    if isinstance(unit, Reorder):
        return stream.reshape(-1, unit.outer, unit.inner, unit.source.lanes).swapaxes(1, 2).reshape(-1, unit.source.lanes)
    if isinstance(unit, StreamedMvtu):
        return streamed(unit, stream, files)
    if isinstance(unit, Mvtu):
        return products(unit, stream, files)
    if isinstance(unit, Affine):
        return affine(unit, stream, files)
    assert isinstance(unit, Pool)
    return pooled(unit, stream, files)


def windows(unit: Swg, stream: Beats) -> Beats:
    found = []
    top, _, left, _ = unit.padding
    padding = np.full(unit.source.lanes, unit.pad_code)
    for frame in stream.reshape(-1, unit.height, unit.width, unit.channels // unit.source.lanes, unit.source.lanes):
        for y in range(-top, -top + unit.out_height):
            for x in range(-left, -left + unit.out_width):
                for row in range(y, y + unit.kernel[0]):
                    for column in range(x, x + unit.kernel[1]):
                        inside = 0 <= row < unit.height and 0 <= column < unit.width
                        found += [frame[row, column, f] if inside else padding for f in range(frame.shape[2])]
    return np.array(found)


def streamed(unit: StreamedMvtu, stream: Beats, files: Memory) -> Beats:
    """Every image comes once a fold; its results leave fold by fold."""
    folds = stream.reshape(-1, unit.neuron_folds, unit.vectors * unit.synapse_folds, unit.simd)
    assert (folds == folds[:, :1]).all()
    found = products(unit, folds[:, 0].reshape(-1, unit.simd), files)
    return found.reshape(-1, unit.vectors, unit.neuron_folds, unit.pe).swapaxes(1, 2).reshape(-1, unit.pe)


def weight_rows(unit: Mvtu, files: Memory) -> list[int]:
    """Of the memory file, or bits of DRAM that follow each other."""
    if not isinstance(unit, StreamedMvtu):
        return [int(line, 16) for line in files[f"{unit.name}.weights.mem"].split()]
    text = files[f"{unit.name}.weights.bin"]
    assert len(text) == 2 * unit.dram_bytes
    rows, bits = unit.synapse_folds * unit.neuron_folds, int(text, 16)
    assert bits >> (rows * unit.row_bits) == 0, "what fills up the last word is zero"
    return [field(bits, row, unit.row_bits) for row in range(rows)]


def products(unit: Mvtu, stream: Beats, files: Memory) -> Beats:
    bits, sf, nf = unit.weight_bits, unit.synapse_folds, unit.neuron_folds
    rows = weight_rows(unit, files)
    assert len(rows) == sf * nf
    weights = np.array([[field(row, index, bits) for index in range(unit.pe * unit.simd)] for row in rows])
    signed, odd = weights - (weights >> (bits - 1) << bits), 2 * weights - ((1 << bits) - 1)
    weights = signed if unit.weight_signed else odd
    weights = weights.reshape(nf, sf, unit.pe, unit.simd)
    assert stream.max() < 1 << unit.activation_bits
    values = 2 * stream - 1 if unit.bipolar else stream
    sums = np.einsum("nspi,vsi->vnp", weights, values.reshape(-1, sf, unit.simd))
    assert -(1 << (unit.acc_bits - 1)) <= sums.min()
    assert sums.max() < 1 << (unit.acc_bits - 1)
    if not unit.levels:
        return sums.reshape(-1, unit.pe)
    width = unit.acc_bits + 1
    found = np.zeros_like(sums)
    for pe in range(unit.pe):
        for stage in range(unit.output_bits):
            words = np.array([int(line, 16) for line in files[f"{unit.name}.thresholds/{pe}_{stage}.mem"].split()]).reshape(nf, -1)
            assert words.shape == (nf, 1 << stage)
            if stage == 0:
                falling = words[:, 0] >> width
                words = words & ((1 << width) - 1)
            levels = (words - (words >> (width - 1) << width))[np.arange(nf), found[:, :, pe]]
            fires = np.where(falling, sums[:, :, pe] <= levels, sums[:, :, pe] >= levels)
            found[:, :, pe] = 2 * found[:, :, pe] + fires
    return found.reshape(-1, unit.pe)


def affine(unit: Affine, stream: Beats, files: Memory) -> Beats:
    """Row by row, a group of rows several times, with integers of any size."""
    memory = [[int(line, 16) for line in files[f"{unit.name}/{lane}.mem"].split()] for lane in range(unit.lanes)]
    assert [len(rows) for rows in memory] == [unit.rows] * unit.lanes
    groups = [range(start, start + unit.group) for start in range(0, unit.rows, unit.group)]
    order = [row for group in groups for _ in range(unit.repeat) for row in group]
    found = np.empty(stream.shape, np.int64)
    for beat, accumulators in enumerate(stream.tolist()):
        for lane, accumulator in enumerate(accumulators):
            word = memory[lane][order[beat % len(order)]]
            multiplier, offset = word & 2**34 - 1, word >> 34
            value = (multiplier - (multiplier >> 33 << 34)) * accumulator + (offset - (offset >> 37 << 38) << 17)
            found[beat, lane] = min(max(value >> unit.source.bits + 22 - unit.target.bits, 0), 2**unit.target.bits - 1)
    return found


def pooled(unit: Pool, stream: Beats, files: Memory) -> Beats:
    maps = stream.reshape(-1, unit.height, unit.width, unit.channels)[:, : unit.height // 2 * 2, : unit.width // 2 * 2]
    corners = [maps[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    falling = int(files[f"{unit.name}.directions.mem"], 16) if unit.directed else 0
    smallest = np.array([falling >> channel & 1 for channel in range(unit.channels)], bool)
    return np.where(smallest, np.min(corners, axis=0), np.max(corners, axis=0)).reshape(-1, unit.target.lanes)


def field(row: int, index: int, bits: int) -> int:
    """Bits index * bits and up of a row."""
    return row >> (index * bits) & ((1 << bits) - 1)
