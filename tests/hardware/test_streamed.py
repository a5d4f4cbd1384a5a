"""Layers whose weights come from DRAM: the integers of the graph, the cycles of stepped cells, bytes, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.hardware.build import load_build, write_build
from qlight.hardware.cycles import cycles, image_ends
from qlight.hardware.folding import Fold, dram_words, layer_cycles
from qlight.hardware.packing import dram_weights, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.top import top_level
from qlight.hardware.units import MULTIPLY, PACKED, PLANES, XNOR, Mvtu, StreamedMvtu
from qlight.intgraph import execute
from tests.engines.networks import network_graph
from tests.hardware import stepped
from tests.hardware.model import contents, run
from tests.hardware.strategies import foldings, random_graph, random_images, supported_graphs
from tests.hardware.test_packing import memory_from_words
from tests.intgraph.strategies import image_batches

GRAPH = random_graph(0)
STREAMED: dict[str, Any] = {
    "conv0": (8, 4),
    "conv1": {"pe": 2, "simd": 8, "weights": "streamed"},
    "output": {"pe": 1, "simd": 16, "weights": "streamed", "port_bits": 32},
}


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_units_compute_the_graph(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs())
    pipeline = make_pipeline(graph, data.draw(foldings(graph, streamed=True)))
    images = data.draw(image_batches(graph))
    np.testing.assert_array_equal(run(pipeline, images), execute(graph, images))
    for unit, following in zip(pipeline.units, pipeline.units[1:], strict=False):
        assert unit.target == following.source


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_images_end_when_the_stepped_cells_end_them(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs(max_bits=2))
    pipeline = make_pipeline(graph, data.draw(foldings(graph, streamed=True)))
    assert image_ends(pipeline, 4) == stepped.image_ends(pipeline, 4)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_steady_state_is_the_slowest_unit_or_port(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs(max_bits=2))
    pipeline = make_pipeline(graph, data.draw(foldings(graph, streamed=True)))
    ends = image_ends(pipeline, 12)
    assert ends[-1] - ends[-2] == cycles(pipeline).image
    slowest = max(layer_cycles(layer, pipeline.folding[layer.name]) for layer in pipeline.layers)
    assert slowest <= cycles(pipeline).image, "the input stream or the output stream may be slower than every layer"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_weight_lies_in_dram_once(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs())
    pipeline = make_pipeline(graph, data.draw(foldings(graph, streamed=True)))
    found = dict(dram_weights(pipeline))
    for unit, content in zip(pipeline.streamed, found.values(), strict=True):
        layer = next(layer for layer in pipeline.layers if layer.name == unit.layer)
        bits = layer.node.weight.size * unit.weight_bits
        assert len(content) == unit.dram_bytes == math.ceil(bits / unit.port_bits) * unit.port_bits // 8
        assert dram_words(layer, pipeline.folding[layer.name]) == unit.dram_words
    assert pipeline.dram_bytes == sum(map(len, found.values()))
    # thresholds and directions go the way of the parameter stream, streamed weights do not
    words = parameter_words(pipeline)
    assert len(words) == pipeline.words
    files = {name: [int(line, 16) for line in text.split()] for name, text in contents(pipeline).items() if name not in found}
    assert files == memory_from_words(pipeline, words)


def test_a_fault_in_dram_shows() -> None:
    pipeline = make_pipeline(GRAPH, STREAMED)
    images = random_images(0, GRAPH, 8)
    files = contents(pipeline)
    np.testing.assert_array_equal(run(pipeline, images, files), execute(GRAPH, images))
    for name in ("conv1.weights.bin", "output.weights.bin"):
        wrong = files[name][:-1] + f"{15 - int(files[name][-1], 16):x}"
        assert (run(pipeline, images, {**files, name: wrong}) != execute(GRAPH, images)).any(), name


def test_units_of_streamed_layers() -> None:
    """A convolution is replayed before its window generator and put in order behind; a dense layer needs no order."""
    pipeline = make_pipeline(GRAPH, STREAMED)
    kinds = [(type(unit).__name__, unit.layer) for unit in pipeline.units]
    assert [kind for kind, layer in kinds if layer == "conv1"] == ["Fifo", "Replay", "Swg", "StreamedMvtu", "Reorder", "Pool"]
    assert [kind for kind, layer in kinds if layer == "output"] == ["Dwc", "Fifo", "Replay", "StreamedMvtu"]
    whole = make_pipeline(GRAPH, {**STREAMED, "conv1": Fold(8, 8, "streamed")})
    assert [type(unit).__name__ for unit in whole.units if unit.layer == "conv1"] == ["Fifo", "Swg", "StreamedMvtu", "Pool"]


def test_the_port_is_the_bottleneck_where_it_is_narrow() -> None:
    graph = network_graph(1, 1, side=16)
    folding = {name: fold.entry for name, fold in make_pipeline(graph, target_cycles=9216).folding.items()}
    folding["dense0"] = {"pe": 64, "simd": 256, "weights": "streamed", "port_bits": 32}  # two rows
    pipeline = make_pipeline(graph, folding)
    unit = pipeline.unit("dense0")
    assert isinstance(unit, StreamedMvtu)
    assert cycles(pipeline).units["dense0"] == unit.dram_words == 128 * 256 // 32
    folding["dense0"] = {"pe": 1, "simd": 2, "weights": "streamed"}
    model = cycles(make_pipeline(graph, folding))
    assert model.units["dense0"] == model.image == 128 * 256 // 2


def test_the_top_level_has_a_port_a_layer(tmp_path) -> None:
    pipeline = make_pipeline(GRAPH, STREAMED)
    text = top_level(pipeline, "0" * 64, "0" * 64)
    assert "input  logic [63:0] m_axi_w0_rdata" in text
    assert "input  logic [31:0] m_axi_w1_rdata" in text
    assert "m_axi_w2" not in text
    assert "m_axi_" not in top_level(make_pipeline(GRAPH), "0" * 64, "0" * 64)
    build = write_build(GRAPH, tmp_path / "build", STREAMED)
    again = load_build(tmp_path / "build")
    assert again.pipeline.units == build.pipeline.units == pipeline.units
    said = build.manifest["dram"]
    assert [(entry["layer"], entry["bytes"], entry["port_bits"]) for entry in said] == [("conv1", 144, 64), ("output", 640, 32)]
    for entry, (_, content) in zip(said, dram_weights(pipeline), strict=True):
        assert (tmp_path / "build" / entry["file"]).read_bytes() == content.tobytes()
    (tmp_path / "build" / said[0]["file"]).write_bytes(b"short")
    with pytest.raises(InputError, match=r"Expected dram/conv1\.weights\.bin of the build .* to have the checksum"):
        load_build(tmp_path / "build")


@pytest.mark.parametrize(
    ("weights", "activations", "multiply", "expected"),
    [
        *[(1, 1, "lut", XNOR), (1, 1, "dsp", MULTIPLY), (2, 2, "lut", PLANES), (2, 2, "dsp", PACKED), (4, 4, "lut", PLANES)],
        *[(4, 4, "dsp", PACKED), (2, 8, "lut", PLANES), (2, 8, "dsp", PACKED), (4, 4, "auto", PACKED)],
    ],
)
def test_how_products_are_made_may_be_chosen(weights: int, activations: int, multiply: str, expected: int) -> None:
    graph = network_graph(weights, activations, side=16)
    folding = {name: fold.entry for name, fold in make_pipeline(graph).folding.items()}
    folding["conv1"] = {"pe": 2, "simd": 4, "multiply": multiply}
    unit = make_pipeline(graph, folding).unit("conv1")
    assert isinstance(unit, Mvtu)
    assert unit.implementation == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"pe": 2}, r"Expected `folding` of 'conv1' to be a pair of positive integers \(PE, SIMD\), but got {'pe': 2}"),
        ({"pe": 3, "simd": 8}, "Expected `folding` of 'conv1' to have a PE that divides its 8 outputs, but got 3"),
        ({"pe": 2, "simd": 8, "weights": "dram"}, "Expected `weights` of 'conv1' to be one of resident, streamed, but got 'dram'"),
        ({"pe": 2, "simd": 8, "port_bits": 256}, "Expected `port_bits` of 'conv1' to be one of 32, 64, 128, but got 256"),
        ({"pe": 2, "simd": 8, "multiply": ["lut"]}, r"Expected `multiply` of 'conv1' to be one of auto, lut, dsp.*, but got \['lut'\]"),
        (
            {"pe": 2, "simd": 8, "ram": "block"},
            "Expected `folding` of 'conv1' to have pe, simd, weights, multiply, port_bits, memory, requantize, but got 'ram'",
        ),
        (
            {"pe": 2, "simd": 8, "weights": "streamed", "memory": "ultra"},
            "Expected `memory` of 'conv1' with resident weights only, but got 'ultra' and streamed ones; leave it out",
        ),
    ],
)
def test_wrong_entries(entry: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_pipeline(GRAPH, {**STREAMED, "conv1": entry})
