"""Weights, thresholds and directions as the cells read them: memory files (`$readmemh`) and the parameter word stream.

An MVTU's weight memory has a row for each cycle of a vector, nf * SF + sf; the code of (pe, simd) is at bit (pe * SIMD + simd) * bits.
Its thresholds are searched bit by bit, so they are sorted as a growing code passes them, descending where the direction is -1, and stage s
of the search has a memory of its own in every PE: in row nf * 2^s + code, with the s upper bits of the code, threshold
(2 * code + 1) * 2^(OUTPUT_BITS - 1 - s) - 1 of channel nf * PE + pe, in ACC_BITS + 1 bits; in stage 0 the direction bit (1: d = -1) is on
top. The word stream has the weights' rows in 32-bit words, then every channel's sorted thresholds with its direction; unit after unit.
A layer with an affine form has in their place, in a memory a lane, {B, M} of channel row * LANES + lane, and three words a channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from qlight.hardware.affine import MULTIPLIER_BITS, OFFSET_BITS
from qlight.hardware.layers import Layer
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import LOADED, Affine, Mvtu, Pool, StreamedMvtu
from qlight.intgraph.nodes import Array

WORD_BITS = 32


def memory_files(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """(name, text) of every memory file, in the order of the units; names of thresholds have a folder.

    There is none of weights that are streamed, or that lie in UltraRAM.
    """
    for unit, layer in _loaded(pipeline):
        if isinstance(unit, Mvtu):
            if unit.preset and not isinstance(unit, StreamedMvtu):
                yield weight_file(unit), hex_lines(weight_rows(layer, unit), unit.row_bits)
            for pe, stage in itertools.product(range(unit.pe if unit.levels else 0), range(unit.output_bits)):
                yield threshold_file(threshold_folder(unit), pe, stage), _threshold_memory(layer, unit, pe, stage)
        elif isinstance(unit, Affine):
            rows = affine_rows(layer)
            for lane in range(unit.lanes):
                yield affine_file(affine_folder(unit), lane), hex_lines(rows[lane :: unit.lanes], 8 * rows.shape[1])
        else:
            yield direction_file(unit), hex_lines(pack_bits(_falling(layer)[None]), unit.channels)


def parameter_words(pipeline: Pipeline) -> Array:
    """uint32: the words that load a network at run time, in the order of the units.

    A unit's words: its weight rows, each padded to whole words, least significant first; for every channel in order (nf, then pe) its
    thresholds, sign-extended, and a word with the direction in bit 0. Those of an affine unit: {B, M} of every channel in order. A pool's:
    bit c % 32 of word c // 32 for channel c. Weights in DRAM are not among them (`dram_weights`).
    """
    found = [np.empty(0, np.uint32)]
    for unit, layer in _loaded(pipeline):
        if isinstance(unit, Mvtu):
            if not isinstance(unit, StreamedMvtu):
                found.append(_words(weight_rows(layer, unit)))
            if unit.levels:
                rows = np.concatenate([sorted_thresholds(layer), _falling(layer)[:, None]], axis=1)
                found.append(rows.astype("<i4").view("<u4").ravel())
        elif isinstance(unit, Affine):
            found.append(_words(affine_rows(layer)))
        else:
            found.append(_words(pack_bits(_falling(layer)[None])))
    words = np.concatenate(found).astype(np.uint32)
    assert len(words) == pipeline.words
    return words


def dram_weights(pipeline: Pipeline) -> Iterator[tuple[str, Array]]:
    """(name, uint8) of what must lie in DRAM for each streamed layer, in the order of the memory ports (`qlight.hardware.dram`)."""
    for unit, layer in _loaded(pipeline):
        if isinstance(unit, StreamedMvtu):
            codes = _row_codes(layer, unit).reshape(1, -1)
            found = pack_codes(codes, unit.weight_bits).ravel()
            yield dram_file(unit), np.pad(found, (0, unit.dram_bytes - len(found)))


def dram_file(unit: StreamedMvtu) -> str:
    """File name of the weights of a streamed layer."""
    return f"{unit.name}.weights.bin"


def weight_file(unit: Mvtu) -> str:
    """File name of an MVTU's weights."""
    return f"{unit.name}.weights.mem"


def threshold_folder(unit: Mvtu) -> str:
    """What the names of an MVTU's threshold files begin with: a folder."""
    return f"{unit.name}.thresholds/"


def threshold_file(prefix: str, pe: int, stage: int) -> str:
    """Name of the memory file of a stage of a PE, as qlight_threshold makes it from its THRESHOLD_FILE."""
    return f"{prefix}{pe}_{stage}.mem"


def affine_folder(unit: Affine) -> str:
    """What the names of an affine unit's files begin with: a folder."""
    return f"{unit.name}/"


def affine_file(prefix: str, lane: int) -> str:
    """Name of the memory file of a lane, as qlight_affine makes it from its AFFINE_FILE."""
    return f"{prefix}{lane}.mem"


def direction_file(unit: Pool) -> str:
    """File name of a pool's directions."""
    return f"{unit.name}.directions.mem"


def weight_rows(layer: Layer, unit: Mvtu) -> Array:
    """uint8, (NF * SF) x bytes: the rows of the weight memory, little-endian."""
    return pack_codes(_row_codes(layer, unit), unit.weight_bits)


def _row_codes(layer: Layer, unit: Mvtu) -> Array:
    """uint8, (NF * SF) x (PE * SIMD): the codes of every row, in bits above those of a code whatever a negative one has."""
    codes = layer.node.weight.reshape(unit.neuron_folds, unit.pe, unit.synapse_folds, unit.simd)
    rows = codes.transpose(0, 2, 1, 3).reshape(unit.neuron_folds * unit.synapse_folds, -1)
    return rows.astype(np.uint8)  # int8 to uint8 keeps the bits


def sorted_thresholds(layer: Layer) -> Array:
    """int32, channels x T: each channel's thresholds in the order in which a growing code passes them."""
    assert layer.threshold is not None
    ascending = np.sort(layer.threshold.thresholds, axis=1)
    return np.where(_falling(layer)[:, None] == 1, ascending[:, ::-1], ascending)


def affine_rows(layer: Layer) -> Array:
    """uint8, channels x 9: {B, M} of every channel, little-endian."""
    form = layer.affine
    assert form is not None
    assert not form.missing, "make_pipeline refuses such a folding"
    bits = [(values[:, None] >> np.arange(width)) & 1 for values, width in ((form.multiplier, MULTIPLIER_BITS), (form.offset, OFFSET_BITS))]
    return pack_bits(np.concatenate(bits, axis=1))


def _threshold_memory(layer: Layer, unit: Mvtu, pe: int, stage: int) -> str:
    """The text of a stage's memory file."""
    bits = unit.acc_bits + 1
    step = 1 << (unit.output_bits - stage)
    levels = sorted_thresholds(layer)[pe :: unit.pe, step // 2 - 1 :: step].astype(np.int64) & ((1 << bits) - 1)
    if stage == 0:
        levels |= _falling(layer)[pe :: unit.pe, None] << bits
    digits = -(-(bits + (stage == 0)) // 4)
    return "".join(f"{level:0{digits}x}\n" for level in levels.ravel().tolist())


def pack_codes(rows: Array, bits: int) -> Array:
    """uint8 rows x n, the low ``bits`` of each code one after the other, as uint8 rows x bytes, little-endian.

    >>> pack_codes(np.array([[1, 2, 3, 0, 1]], np.uint8), 2)
    array([[57,  1]], dtype=uint8)
    """
    spread = (rows[..., None] >> np.arange(bits, dtype=np.uint8)) & np.uint8(1)
    return pack_bits(spread.reshape(len(rows), -1))


def pack_bits(rows: Array) -> Array:
    """Rows x n of 0 and 1, first bit least significant, as uint8 rows x bytes."""
    return np.packbits(rows.astype(np.uint8), axis=1, bitorder="little")


def hex_lines(rows: Array, bits: int) -> str:
    """Rows of little-endian bytes as lines of ceil(bits / 4) hexadecimal digits, most significant first.

    >>> hex_lines(np.array([[57, 1]], np.uint8), 10)
    '139\\n'
    """
    digits = -(-bits // 4)
    return "".join(f"{row[::-1].tobytes().hex()[-digits:]}\n" for row in np.ascontiguousarray(rows))


def _words(rows: Array) -> Array:
    """Rows of bytes as 32-bit words, each row padded to whole ones."""
    wanted = -(-rows.shape[1] // 4) * 4
    return np.pad(rows, ((0, 0), (0, wanted - rows.shape[1]))).view("<u4").ravel()


def _falling(layer: Layer) -> Array:
    """int64, one per channel: the direction bit, 1 where d = -1."""
    assert layer.threshold is not None
    return (layer.threshold.direction < 0).astype(np.int64)


def _loaded(pipeline: Pipeline) -> Iterator[tuple[Mvtu | Affine | Pool, Layer]]:
    """The units that have parameters, in order, with their layers."""
    by_name = {layer.name: layer for layer in pipeline.layers}
    for unit in pipeline.units:
        if isinstance(unit, LOADED) and (not isinstance(unit, Pool) or unit.directed):
            yield unit, by_name[unit.layer]
