"""What the memories of the HLS twin hold after configuration: files of C++ initializers, one a memory, which the generated source includes.

Weights are a memory a PE, with a row for each cycle of a vector; thresholds a memory a PE and stage of the search, as in the RTL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from qlight.hardware.layers import Layer
from qlight.hardware.packing import affine_rows, pack_codes, sorted_thresholds
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Affine, Mvtu, Pool, StreamedMvtu
from qlight.intgraph.nodes import Array

#: beyond it C++ has no literals, and initializers are texts
_LITERAL_BITS = 64


def memory_path(unit: Mvtu | Affine | Pool, what: str, folder: str) -> str:
    """File of a unit's memory: ``weights``, ``directions`` or ``forms``."""
    return f"{folder}/{unit.name}.{what}.inc"


def levels_file(unit: Mvtu, stage: int, folder: str) -> str:
    """File of the thresholds of a stage."""
    return memory_path(unit, f"levels{stage}", folder)


def initializers(pipeline: Pipeline, folder: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every file, in the order of the units. There is none of weights that are streamed, or that lie in UltraRAM."""
    by_name = {layer.name: layer for layer in pipeline.layers}
    for unit in pipeline.units:
        layer = by_name[unit.layer]
        if isinstance(unit, Mvtu):
            if unit.preset and not isinstance(unit, StreamedMvtu):
                yield memory_path(unit, "weights", folder), _weights(layer, unit)
            if unit.levels:
                yield memory_path(unit, "directions", folder), _rows(_by_pe(falling(layer), unit))
                for stage in range(unit.output_bits):
                    step = 1 << (unit.output_bits - stage)
                    levels = sorted_thresholds(layer)[:, step // 2 - 1 :: step]  # channels x 2^stage
                    yield levels_file(unit, stage, folder), _rows(_by_pe(levels, unit))
        elif isinstance(unit, Affine):
            yield memory_path(unit, "forms", folder), _forms(layer, unit)
        elif isinstance(unit, Pool) and unit.directed:
            yield memory_path(unit, "directions", folder), _directions(layer, unit)


def falling(layer: Layer) -> Array:
    """int64, one per channel: the direction bit, 1 where d = -1."""
    assert layer.threshold is not None
    return (layer.threshold.direction < 0).astype(np.int64)


def _by_pe(channels: Array, unit: Mvtu) -> Array:
    """Of every channel, n values -> PE x (NF n): channel nf * PE + pe is in fold nf of memory pe."""
    return channels.reshape(unit.neuron_folds, unit.pe, -1).transpose(1, 0, 2).reshape(unit.pe, -1)


def _weights(layer: Layer, unit: Mvtu) -> str:
    codes = layer.node.weight.reshape(unit.neuron_folds, unit.pe, unit.synapse_folds, unit.simd)
    bits = unit.simd * unit.weight_bits
    rows = pack_codes(codes.transpose(1, 0, 2, 3).reshape(-1, unit.simd).astype(np.uint8), unit.weight_bits)  # keeps an int8's bits
    literals = _literals(rows, bits)
    length = unit.neuron_folds * unit.synapse_folds
    return _lines(literals[start : start + length] for start in range(0, len(literals), length))


def _forms(layer: Layer, unit: Affine) -> str:
    """A lane has the words of every so many channels."""
    rows = affine_rows(layer)
    literals = _literals(rows, 8 * rows.shape[1])
    return _lines(literals[lane :: unit.lanes] for lane in range(unit.lanes))


def _literals(rows: Array, bits: int) -> list[str]:
    """Of rows of little-endian bytes that are words of so many bits."""
    words = [row[::-1].tobytes().hex().lstrip("0") or "0" for row in np.ascontiguousarray(rows)]
    return [f"0x{word}{'ull' if bits > 32 else ''}" if bits <= _LITERAL_BITS else f'"0x{word}"' for word in words]


def _directions(layer: Layer, unit: Pool) -> str:
    """A literal a fold: a bit a lane."""
    lanes = unit.source.lanes
    words = [sum(int(bit) << i for i, bit in enumerate(fold)) for fold in falling(layer).reshape(-1, lanes)]
    return ",\n".join(f"{word:#x}ull" if lanes <= _LITERAL_BITS else f'"{word:#x}"' for word in words) + "\n"


def _rows(rows: Array) -> str:
    return _lines(map(str, row) for row in rows.tolist())


def _lines(rows: Iterable[Iterable[str]]) -> str:
    return "".join(f"{{{', '.join(row)}}},\n" for row in rows)
