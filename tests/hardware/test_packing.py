"""Memory files and the word stream hold the same parameters, in the layout that the cells read."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.hardware.packing import hex_lines, memory_files, pack_codes, parameter_words
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.hardware.units import Affine, Mvtu, Pool, StreamedMvtu
from tests.hardware.strategies import foldings, random_graph, supported_graphs


def memory_from_words(pipeline: Pipeline, words: np.ndarray) -> dict[str, list[int]]:
    """What the cells' memories hold after a load, row by row as integers: the parameter chain, written a second time."""
    stream = iter(int(word) for word in words)
    found: dict[str, list[int]] = {}
    for unit in pipeline.units:
        if isinstance(unit, Mvtu):
            rows = [] if isinstance(unit, StreamedMvtu) else found.setdefault(f"{unit.name}.weights.mem", [])
            for _ in range(0 if isinstance(unit, StreamedMvtu) else unit.neuron_folds * unit.synapse_folds):
                rows.append(sum(next(stream) << 32 * index for index in range(-(-unit.row_bits // 32))) & (1 << unit.row_bits) - 1)
            if unit.output_bits:
                bits, width, codes = unit.output_bits, unit.acc_bits + 1, 2**unit.output_bits
                channels = [[next(stream) for _ in range(codes)] for _ in range(unit.mh)]
                for pe, stage in itertools.product(range(unit.pe), range(bits)):
                    rows = found[f"{unit.name}.thresholds/{pe}_{stage}.mem"] = []
                    for channel, code in itertools.product(channels[pe :: unit.pe], range(2**stage)):
                        word = channel[(2 * code + 1) * codes // 2 ** (stage + 1) - 1]  # the middle of what is left
                        level = (word - (word >> 31 << 32)) & (1 << width) - 1
                        rows.append(level | channel[-1] << width if stage == 0 else level)
        elif isinstance(unit, Affine):
            channels = [sum(next(stream) << 32 * index for index in range(3)) for _ in range(unit.channels)]
            found |= {f"{unit.name}/{lane}.mem": channels[lane :: unit.lanes] for lane in range(unit.lanes)}
        elif isinstance(unit, Pool) and unit.directed:
            bits = sum(next(stream) << 32 * index for index in range(-(-unit.channels // 32)))
            found[f"{unit.name}.directions.mem"] = [bits & (1 << unit.channels) - 1]
    assert next(stream, None) is None, "words are left"
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_words_and_files_hold_the_same(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs())
    pipeline = make_pipeline(graph, data.draw(foldings(graph)))
    words = parameter_words(pipeline)
    assert words.dtype == np.uint32
    assert len(words) == pipeline.words
    files = {name: [int(line, 16) for line in text.split()] for name, text in memory_files(pipeline)}
    assert files == memory_from_words(pipeline, words)


@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_codes_are_packed_least_significant_first(bits: int, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 2**bits, (2, count))
    lines = hex_lines(pack_codes(codes.astype(np.uint8), bits), bits * count).split()
    assert [len(line) for line in lines] == [-(-bits * count // 4)] * 2
    for line, row in zip(lines, codes, strict=True):
        assert int(line, 16) == sum(int(code) << bits * place for place, code in enumerate(row))


def test_a_worked_example() -> None:
    """First weights, thresholds and direction of a layer, found by hand from the graph."""
    graph = random_graph(3)
    pipeline = make_pipeline(graph, {"conv0": (2, 4), "conv1": (2, 8), "output": (1, 8)})
    node, act = graph.nodes[2], graph.nodes[4]
    files = dict(memory_files(pipeline))
    weight = getattr(node, "weight").reshape(8, 72)  # noqa: B009
    second_row = files["conv1.weights.mem"].split()[1]  # nf 0, sf 1: rows 0 and 1, columns 8 to 15
    codes = [int(second_row, 16) >> 2 * place & 3 for place in range(16)]
    assert codes == [*weight[0, 8:16], *weight[1, 8:16]]
    width = graph.tensor["conv1_out"].bits + 1
    levels, direction = getattr(act, "thresholds"), getattr(act, "direction")  # noqa: B009
    assert {-1, 1} <= set(direction[1::2])
    for pe in range(2):
        for place in range(4):  # fold
            channel = 2 * place + pe
            middle, lowest, highest = (
                int(files[f"conv1.thresholds/{pe}_{stage}.mem"].split()[line], 16)
                for stage, line in ((0, place), (1, 2 * place), (1, 2 * place + 1))
            )
            assert middle >> width == (direction[channel] < 0)
            found = [level & (1 << width) - 1 for level in (lowest, middle, highest)]
            found = [level - (level >> (width - 1) << width) for level in found]
            assert found == sorted(levels[channel], reverse=bool(direction[channel] < 0))
    assert list(files) == [
        *("conv0.weights.mem", *(f"conv0.thresholds/{pe}_{stage}.mem" for pe in (0, 1) for stage in (0, 1))),
        *("conv1.weights.mem", *(f"conv1.thresholds/{pe}_{stage}.mem" for pe in (0, 1) for stage in (0, 1))),
        *("pool.directions.mem", "output.weights.mem"),
    ]
