"""The packed engine gives the integers of the reference executor: every one, on every graph, without a tolerance."""

from __future__ import annotations

import itertools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.engines import packed as packed_module
from qlight.engines.native import Library, UnavailableError
from qlight.engines.packed import PackedEngine
from qlight.errors import InputError
from qlight.intgraph import Graph, GraphBuilder, execute
from tests.engines.networks import THRESHOLDS, network_graph
from tests.intgraph.strategies import graphs, image_batches

BACKENDS = ("native", "numpy")
#: weight bits, activation bits, weight encoding
FORMS = [(1, 1, "odd"), (2, 2, "odd"), (3, 3, "odd"), (4, 4, "odd"), (2, 8, "odd"), (8, 8, "signed"), (8, 8, "odd"), (1, 2, "odd")]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        request.getfixturevalue("kernels")
    return request.param


def pictures(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *graph.input.shape), dtype=np.uint8)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_graphs(kernels: Library, data: st.DataObject) -> None:
    graph = data.draw(graphs())
    images = data.draw(image_batches(graph, max_images=5))
    assert (PackedEngine(graph, 1, "native")(images) == execute(graph, images)).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_graphs_in_numpy(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    images = data.draw(image_batches(graph))
    assert (PackedEngine(graph, 1, "numpy")(images) == execute(graph, images)).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_graphs_of_more_channels_than_a_vector(kernels: Library, data: st.DataObject) -> None:
    graph = data.draw(graphs(max_channels=70, max_side=5, max_bits=4))
    images = data.draw(image_batches(graph))
    assert (PackedEngine(graph, 1, "native")(images) == execute(graph, images)).all()


@pytest.mark.parametrize(("weight_bits", "activation_bits", "weights"), FORMS)
@pytest.mark.parametrize("thresholds", THRESHOLDS)
def test_the_networks(backend: str, weight_bits: int, activation_bits: int, weights: str, thresholds: str) -> None:
    graph = network_graph(weight_bits, activation_bits, weights=weights, thresholds=thresholds, side=16)
    images = np.concatenate([pictures(graph, 3), np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 255, np.uint8)])
    expected = execute(graph, images)
    assert (PackedEngine(graph, 1, backend)(images) == expected).all()
    if thresholds != "saturated":
        assert (expected[0] != expected[1]).any(), "the network is constant: this test sees nothing"


@pytest.mark.parametrize("form", [(1, 1), (2, 2), (4, 4), (2, 8)])
def test_the_paper_s_image_size(kernels: Library, form: tuple[int, int]) -> None:
    graph = network_graph(*form, width=0.25)
    images = pictures(graph, 2)
    assert (PackedEngine(graph, 1, "native")(images) == execute(graph, images)).all()


def test_any_batch_with_any_number_of_threads(backend: str) -> None:
    graph = network_graph(2, 2, side=8)
    images = pictures(graph, 33)
    expected = execute(graph, images)
    for count, threads in itertools.product((0, 1, 3, 33), (1, 2, 5)):
        found = PackedEngine(graph, threads, backend)(images[:count])
        assert found.dtype == np.int32
        assert found.shape == (count, 10)
        assert (found == expected[:count]).all(), (count, threads)


def test_images_that_lie_anyhow_in_memory(backend: str) -> None:
    graph = network_graph(1, 1, side=8)
    engine = PackedEngine(graph, 2, backend)
    images = pictures(graph, 12)
    expected = execute(graph, images)
    assert (engine(images[::-2]) == expected[::-2]).all()
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    assert (engine(channels_first.transpose(0, 2, 3, 1)) == expected).all()
    frozen = images.copy()
    frozen.setflags(write=False)
    assert (engine(frozen) == expected).all()


def test_threads_that_call_at_once(backend: str) -> None:
    graph = network_graph(2, 2, side=8)
    engine = PackedEngine(graph, 2, backend)
    images = pictures(graph, 48)
    expected = execute(graph, images)
    together = threading.Barrier(4)

    def call(seed: int) -> bool:
        order = np.random.default_rng(seed).permutation(len(images))
        together.wait()
        return all((engine(images[order]) == expected[order]).all() for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(4)))


def test_the_same_images_give_the_same_again(backend: str) -> None:
    """Scratch memory is used again: nothing of one call is left for the next."""
    graph = network_graph(3, 3, side=8)
    engine = PackedEngine(graph, 1, backend)
    images = pictures(graph, 9)
    expected = execute(graph, images)
    for chosen in (slice(0, 9), slice(4, 5), slice(2, 9), slice(0, 1)):
        assert (engine(images[chosen]) == expected[chosen]).all()


def test_more_images_than_a_block_take_no_more_memory(kernels: Library) -> None:
    graph = network_graph(1, 1, side=8)
    engine = PackedEngine(graph, 1, "native")
    assert engine.plan.block < 100
    images = np.repeat(pictures(graph, 1), 1000, axis=0)
    assert (engine(images) == execute(graph, images[:1])).all()
    assert engine.plan.scratch_bytes < 8 << 20


def test_accumulators_of_32_bits(backend: str) -> None:
    """Sums that float32 does not hold: all weights and pixels at their ends."""
    builder = GraphBuilder((64, 64, 16))
    builder.flatten("flat")
    weight = np.full((3, 65536), -128, np.int8)
    weight[1], weight[2] = 127, np.random.default_rng(0).integers(-128, 128, 65536)
    builder.linear("output", weight, bits=8, encoding="signed")
    assert builder.operand.type.bits == 32
    graph = builder.build(np.ones(3), np.zeros(3))
    images = np.full((2, 64, 64, 16), 255, np.uint8)
    images[1, ::2] = 254
    found = PackedEngine(graph, 1, backend)(images)
    assert found[0, 0] == -128 * 255 * 65536
    assert (found == execute(graph, images)).all()


def test_layers_run_as_one(kernels: Library) -> None:
    """A convolution takes its pool and thresholds along: one step a layer with weights, and one that brings the pixels in."""
    names = [step.name for step in PackedEngine(network_graph(2, 2), 1, "native").plan.steps]
    assert names == ["conv0", "conv0", "conv1", "conv2", "conv3", "conv4", "conv5", "dense0", "dense1", "output"]


def test_a_pickled_engine(backend: str) -> None:
    engine = PackedEngine(network_graph(1, 1, side=8), 2, backend)
    copy = pickle.loads(pickle.dumps(engine))
    images = pictures(engine.graph, 5)
    assert repr(copy) == repr(engine)
    assert (copy(images) == engine(images)).all()


def test_build_time_and_backend_are_told(kernels: Library) -> None:
    graph = network_graph(1, 1, side=8)
    assert PackedEngine(graph).backend == "native"
    assert PackedEngine(graph, backend="numpy").backend == "numpy"
    assert PackedEngine(graph).build_seconds > 0


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Library:
        raise UnavailableError("There is no C++ compiler.")

    monkeypatch.setattr(packed_module, "library", none)
    graph = network_graph(2, 2, side=8)
    with pytest.warns(RuntimeWarning, match=r"falls back to numpy.*There is no C\+\+ compiler"):
        engine = PackedEngine(graph)
    assert engine.backend == "numpy"
    images = pictures(graph, 2)
    assert (engine(images) == execute(graph, images)).all()
    with pytest.raises(InputError, match=r"`backend` 'native' to work.*There is no C\+\+ compiler"):
        PackedEngine(graph, backend="native")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": 0}, "`threads` to be a whole number from 1.*0"),
        ({"threads": 1.5}, "`threads` to be a whole number from 1.*1.5"),
        ({"threads": True}, "`threads` to be a whole number from 1.*True"),
        ({"backend": "cuda"}, "`backend` to be one of auto, native, numpy, but got 'cuda'"),
        ({"graph": "graph/"}, r"`graph` to be a Graph, but got str.*Graph\.load"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PackedEngine(**{"graph": network_graph(1, 1, side=8), **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 3, 8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8), [[0]], None],
    ids=["floats", "channels first", "no batch", "list", "None"],
)
def test_bad_images(images: object) -> None:
    engine = PackedEngine(network_graph(1, 1, side=8), backend="numpy")
    with pytest.raises(InputError, match="`images` to be uint8 pixels N x 8 x 8 x 3"):
        engine(images)  # type: ignore[arg-type]
