"""The units of a pipeline, with what their memory files hold, compute the integers of the graph; other graphs are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.hardware.packing import memory_files
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.units import MULTIPLY, PACKED, PLANES, XNOR, Fifo, Mvtu, Pool, Swg
from qlight.intgraph import Graph, GraphBuilder, execute
from tests.engines.networks import network_graph
from tests.hardware.model import run
from tests.hardware.strategies import foldings, random_graph, random_images, supported_graphs
from tests.intgraph.strategies import image_batches


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_units_compute_the_graph_in_any_folding(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs())
    pipeline = make_pipeline(graph, data.draw(foldings(graph)))
    images = data.draw(image_batches(graph))
    np.testing.assert_array_equal(run(pipeline, images), execute(graph, images))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_streams_fit_together(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs())
    pipeline = make_pipeline(graph, data.draw(foldings(graph)))
    assert pipeline.image_bytes == np.prod(graph.input.shape)
    assert pipeline.classes == graph.output.channels
    assert pipeline.units[0].source.lanes == 4
    assert pipeline.units[-1].target.lanes == 1
    for unit, following in zip(pipeline.units, pipeline.units[1:], strict=False):
        assert unit.target == following.source
    assert len({unit.name for unit in pipeline.units}) == len(pipeline.units)
    for unit in pipeline.units:
        if isinstance(unit, Mvtu):
            assert (unit.source.lanes, unit.mw % unit.simd, unit.mh % unit.pe) == (unit.simd, 0, 0)
            assert pipeline.folding[unit.name][:2] == (unit.pe, unit.simd)
        if isinstance(unit, Swg | Pool):
            assert unit.channels % unit.source.lanes == 0


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (4, 4), (2, 8)])
def test_a_network_of_the_paper(weights: int, activations: int) -> None:
    graph = network_graph(weights, activations, side=16)
    images = random_images(0, graph, 2)
    np.testing.assert_array_equal(run(make_pipeline(graph), images), execute(graph, images))


def test_a_fault_in_any_memory_file_shows() -> None:
    """The comparison can fail: every file of memory is read."""
    graph = random_graph(0)
    pipeline = make_pipeline(graph)
    images = random_images(0, graph, 8)
    files = dict(memory_files(pipeline))
    assert sum(".thresholds/" in name for name in files) == sum(
        unit.pe * unit.output_bits for unit in pipeline.units if isinstance(unit, Mvtu)
    )
    assert len(files) > 6
    for name, text in files.items():
        # the other directions, other signs of weights and thresholds
        lines = [f"{(1 << 4 * len(line)) - 1 ^ int(line, 16):x}" for line in text.split()]
        found = run(pipeline, images, {**files, name: "\n".join(lines)})
        assert (found != execute(graph, images)).any(), name


def test_pools_of_accumulators_move_behind_thresholds() -> None:
    pipeline = make_pipeline(network_graph(1, 1), target_cycles=18432)
    kinds = [type(unit).__name__ for unit in pipeline.units if unit.layer == "conv1"]
    assert kinds == ["Fifo", "Dwc", "Swg", "Mvtu", "Pool"]
    pool = pipeline.unit("pool1")
    assert isinstance(pool, Pool)
    assert pool.directed
    builder = GraphBuilder((2, 2, 1))
    builder.conv2d("conv", np.ones((1, 1, 1, 1), np.uint8), bits=1, encoding="odd")
    builder.threshold("act", np.array([[3]], np.int32), np.array([-1], np.int8), bits=1)
    builder.max_pool("pool")
    builder.flatten("flat")
    builder.linear("output", np.ones((1, 1), np.uint8), bits=1, encoding="odd")
    pool = make_pipeline(builder.build(np.ones(1), np.zeros(1))).unit("pool")
    assert isinstance(pool, Pool)
    assert not pool.directed


@pytest.mark.parametrize(
    ("weights", "activations", "encoding", "expected"),
    [
        *[(1, 1, "odd", XNOR), (2, 1, "odd", PLANES), (2, 2, "odd", PLANES), (2, 2, "signed", PLANES)],
        *[(3, 4, "odd", PACKED), (4, 4, "signed", PACKED), (8, 8, "signed", MULTIPLY), (2, 8, "odd", MULTIPLY)],
    ],
)
def test_how_products_are_made(weights: int, activations: int, encoding: str, expected: int) -> None:
    pipeline = make_pipeline(network_graph(weights, activations, weights=encoding, side=16))
    found = {unit.name: unit.implementation for unit in pipeline.units if isinstance(unit, Mvtu)}
    assert found["conv1"] == expected
    assert found["conv0"] == MULTIPLY


@pytest.mark.parametrize(("bits", "encoding", "expected"), [(1, "odd", XNOR), (3, "odd", PLANES), (2, "signed", MULTIPLY)])
def test_how_products_with_bipolar_codes_are_made(bits: int, encoding: str, expected: int) -> None:
    builder = GraphBuilder((1, 1, 4))
    builder.flatten("flat")
    builder.linear("dense", np.zeros((2, 4), np.uint8), bits=1, encoding="odd")
    builder.threshold("act", np.zeros((2, 1), np.int32), np.ones(2, np.int8), bits=1, encoding="bipolar")
    builder.linear("output", np.zeros((2, 2), np.uint8 if encoding == "odd" else np.int8), bits=bits, encoding=encoding)
    unit = make_pipeline(builder.build(np.ones(2), np.zeros(2))).unit("output")
    assert isinstance(unit, Mvtu)
    assert unit.implementation == expected


def _chain(*, stride=(1, 1), kernel=(3, 3), padding=(1, 1, 1, 1), side=4, channels=1, pool=None, pool_stride=None, late=False) -> Graph:
    builder = GraphBuilder((side, side, channels))
    builder.conv2d("conv", np.zeros((2, *kernel, channels), np.uint8), bits=1, encoding="odd", stride=stride, padding=padding)
    if pool:
        builder.max_pool("pool", pool, pool_stride)
    if late:
        builder.flatten("flat")
    size = builder.operand.type.channels
    builder.threshold("act", np.zeros((size, 1), np.int32), np.ones(size, np.int8), bits=1)
    if not late:
        builder.flatten("flat")
    builder.linear("output", np.zeros((2, builder.operand.type.channels), np.uint8), bits=1, encoding="odd")
    return builder.build(np.ones(2), np.zeros(2))


def _pooled_pixels() -> Graph:
    builder = GraphBuilder((4, 4, 1))
    builder.max_pool("first")
    builder.flatten("flat")
    builder.linear("output", np.zeros((1, 4), np.uint8), bits=1, encoding="odd")
    return builder.build(np.ones(1), np.zeros(1))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_chain(stride=(2, 1)), "Expected node 'conv' to have stride 1 x 1, but got 2 x 1; the hardware runs Conv2d of stride 1"),
        (_chain(kernel=(5, 5), padding=(2, 2, 2, 2)), "Expected node 'conv' to have a kernel within its map of 4 x 4, but got 5 x 5"),
        (_chain(pool=(2, 2), pool_stride=(1, 1)), "Expected node 'pool' to pool 2 x 2 with stride 2 x 2, but got 2 x 2 with stride 1 x 1"),
        (_chain(pool=(3, 3)), "Expected node 'pool' to pool 2 x 2 with stride 2 x 2, but got 3 x 3 with stride 3 x 3"),
        (_chain(late=True), "Expected node 'act' to have the 2 channels of 'conv', but got 32, after a Flatten"),
        (_pooled_pixels(), "Expected node 'first' to come after a Conv2d, but got pixels;"),
        (_chain(side=3), "Expected `graph` to read images of a multiple of 4 bytes, .* but got 3 x 3 x 1"),
        ("folder", "Expected `graph` to be a Graph, but got str"),
    ],
)
def test_what_the_cells_cannot_do_is_refused_by_name(graph: Graph, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_pipeline(graph)


def test_fifos_have_places() -> None:
    assert all(unit.depth >= 2 for unit in make_pipeline(network_graph(2, 2)).units if isinstance(unit, Fifo))
