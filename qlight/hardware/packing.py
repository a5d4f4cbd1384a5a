"""Weights, thresholds and directions as the cells read them: memory files (`$readmemh`) and the parameter word stream.

An MVTU's weight memory has a row for each cycle of a vector, nf * SF + sf; the code of (pe, simd) is at bit (pe * SIMD + simd) * bits. A
row of its threshold memory serves PE channels: from the least significant bit on, for each pe the thresholds T_0, T_1, ... of ACC_BITS + 1
bits and the direction bit (1: d = -1). The word stream has the same in 32-bit words, unit after unit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qlight.hardware.layers import Layer
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Mvtu, Pool
from qlight.intgraph.nodes import Array

WORD_BITS = 32


def memory_files(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """(name, text) of every memory file, in the order of the units: ``<unit>.weights.mem``, ``.thresholds.mem``, ``.directions.mem``."""
    for unit, layer in _loaded(pipeline):
        if isinstance(unit, Mvtu):
            yield weight_file(unit), hex_lines(weight_rows(layer, unit), unit.row_bits)
            if unit.levels:
                yield threshold_file(unit), hex_lines(threshold_rows(layer, unit), threshold_row_bits(unit))
        else:
            yield direction_file(unit), hex_lines(pack_bits(_falling(layer)[None]), unit.channels)


def parameter_words(pipeline: Pipeline) -> Array:
    """uint32: the words that load a network at run time, in the order of the units.

    A unit's words: its weight rows, each padded to whole words, least significant first; for every channel in order (nf, then pe) its
    thresholds, sign-extended, and a word with the direction in bit 0. A pool's: bit c % 32 of word c // 32 for channel c.
    """
    found = []
    for unit, layer in _loaded(pipeline):
        if isinstance(unit, Mvtu):
            found.append(_words(weight_rows(layer, unit)))
            if unit.levels:
                threshold = layer.threshold
                assert threshold is not None
                rows = np.concatenate([threshold.thresholds, _falling(layer)[:, None]], axis=1)
                found.append(rows.astype("<i4").view("<u4").ravel())
        else:
            found.append(_words(pack_bits(_falling(layer)[None])))
    words = np.concatenate(found).astype(np.uint32)
    assert len(words) == pipeline.words
    return words


def weight_file(unit: Mvtu) -> str:
    """File name of an MVTU's weights."""
    return f"{unit.name}.weights.mem"


def threshold_file(unit: Mvtu) -> str:
    """File name of an MVTU's thresholds."""
    return f"{unit.name}.thresholds.mem"


def direction_file(unit: Pool) -> str:
    """File name of a pool's directions."""
    return f"{unit.name}.directions.mem"


def weight_rows(layer: Layer, unit: Mvtu) -> Array:
    """uint8, (NF * SF) x bytes: the rows of the weight memory, little-endian."""
    codes = layer.node.weight.reshape(unit.neuron_folds, unit.pe, unit.synapse_folds, unit.simd)
    rows = codes.transpose(0, 2, 1, 3).reshape(unit.neuron_folds * unit.synapse_folds, -1)
    return pack_codes(rows.astype(np.uint8), unit.weight_bits)  # int8 to uint8 keeps the bits


def threshold_row_bits(unit: Mvtu) -> int:
    """Bits of a row of the threshold memory."""
    return unit.pe * (unit.levels * (unit.acc_bits + 1) + 1)


def threshold_rows(layer: Layer, unit: Mvtu) -> Array:
    """uint8, NF x bytes: the rows of the threshold memory, little-endian."""
    assert layer.threshold is not None
    bits = unit.acc_bits + 1
    thresholds = layer.threshold.thresholds.astype(np.int64)
    spread = (thresholds[..., None] >> np.arange(bits)) & 1  # arithmetic shift: the sign fills what int32 has not
    channels = np.concatenate([spread.reshape(unit.mh, -1), _falling(layer)[:, None]], axis=1)
    return pack_bits(channels.reshape(unit.neuron_folds, -1))


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


def _loaded(pipeline: Pipeline) -> Iterator[tuple[Mvtu | Pool, Layer]]:
    """The units that have parameters, in order, with their layers."""
    by_name = {layer.name: layer for layer in pipeline.layers}
    for unit in pipeline.units:
        if isinstance(unit, Mvtu) or (isinstance(unit, Pool) and unit.directed):
            yield unit, by_name[unit.layer]
