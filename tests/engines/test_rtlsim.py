"""The RTL in simulation: the integers of the reference executor, the cycles of the model, and plain words where something is missing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from qlight.engines import compiling, native_rtlsim
from qlight.engines.packed import PackedEngine
from qlight.engines.rtlsim import RtlSimEngine, SimulationError
from qlight.errors import HardwareError, InputError
from qlight.hardware import registers
from qlight.hardware.build import Build, load_build, write_build
from qlight.hardware.cycles import cycles, image_ends
from qlight.intgraph import Graph, execute
from qlight.targets import PackedTarget
from qlight.targets.rtlsim_certify import CertificationError, Sample, certify
from qlight.targets.rtlsim_target import RtlSimTarget
from tests.engines.checks import check_batch, check_callers
from tests.engines.networks import network_graph
from tests.hardware.strategies import random_graph, random_images

GRAPH = random_graph(0, bits=1)


def tools_or_skip() -> None:
    try:
        native_rtlsim.find_verilator()
        compiling.cxx()
    except HardwareError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return write_build(GRAPH, tmp_path_factory.mktemp("rtlsim") / "build")


@pytest.fixture(scope="module")
def engine(build: Build) -> RtlSimEngine:
    tools_or_skip()
    return RtlSimEngine(build.folder, threads=2)


def test_integers_of_the_executor_and_cycles_of_the_model(engine: RtlSimEngine) -> None:
    images = random_images(1, GRAPH, 6)
    found, spent = engine.run(images)
    np.testing.assert_array_equal(found, execute(GRAPH, images))
    assert list(spent.done) == image_ends(engine.build.pipeline, 6)
    assert set(np.diff(spent.done)) == {cycles(engine.build.pipeline).image}
    assert (spent.taken < spent.done).all()


@pytest.mark.parametrize("count", [0, 1, 3, 37])
def test_batches_of_any_size(engine: RtlSimEngine, count: int) -> None:
    check_batch(engine, GRAPH, count)


@pytest.mark.parametrize("stall", [2, 3, 7])
def test_a_receiver_that_is_not_always_ready(engine: RtlSimEngine, stall: int) -> None:
    images = random_images(3, GRAPH, 4)
    found, spent = engine.run(images, stall=stall)
    np.testing.assert_array_equal(found, execute(GRAPH, images))
    assert spent.done[-1] >= image_ends(engine.build.pipeline, 4)[-1]


def test_several_threads_at_once(engine: RtlSimEngine) -> None:
    check_callers(engine, GRAPH)


def test_registers_and_loading_of_another_network(engine: RtlSimEngine) -> None:
    images = random_images(4, GRAPH, 3)
    own = RtlSimEngine(engine.build.folder, threads=1)
    other = random_graph(9, bits=1)
    assert (execute(other, images) != execute(GRAPH, images)).any()
    own.load(other)
    np.testing.assert_array_equal(own(images), execute(other, images))
    assert own.read_register(registers.ID) == registers.ID_VALUE
    assert own.read_register(registers.LOADED) == own.read_register(registers.PARAMETER_WORDS) == engine.build.pipeline.words
    assert _hash(own, registers.GRAPH_HASH) == other.content_hash
    assert _hash(own, registers.GEOMETRY_HASH) == engine.build.geometry_hash
    assert own.read_register(registers.IMAGE_BYTES) == engine.build.pipeline.image_bytes
    assert own.read_register(registers.CLASSES) == 5
    assert own.read_register(registers.IMAGES) == 3
    assert own.read_register(registers.CYCLES_LOW) == image_ends(engine.build.pipeline, 3)[-1]
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(again(images), execute(other, images))
    own.load(GRAPH)
    np.testing.assert_array_equal(own(images), execute(GRAPH, images))
    np.testing.assert_array_equal(engine(images), execute(GRAPH, images))


def _hash(engine: RtlSimEngine, addresses: tuple[int, ...]) -> str:
    return "".join(f"{engine.read_register(address):08x}" for address in addresses)


def test_another_network_of_the_geometry_is_not_compiled_again(
    engine: RtlSimEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_rtlsim, "_compile", lambda *_: pytest.fail("compiled again"))
    other = random_graph(11, bits=1)
    second = RtlSimEngine(write_build(other, tmp_path / "other").folder, threads=1)
    images = random_images(5, other, 2)
    np.testing.assert_array_equal(second(images), execute(other, images))


def test_networks_of_another_geometry_are_refused(engine: RtlSimEngine) -> None:
    for graph in (random_graph(0, bits=2), random_graph(0, bits=1, channels=4), network_graph(1, 1, side=16)):
        with pytest.raises(InputError, match=r"Expected `graph` to have the geometry [0-9a-f]{12} of .*, but got another"):
            engine.load(graph)
    with pytest.raises(InputError, match="Expected `graph` to be a Graph, but got str"):
        engine.load("folder")  # type: ignore[arg-type]


def test_a_target_for_attacks(engine: RtlSimEngine) -> None:
    target = RtlSimTarget(engine.build.folder, threads=1, budget=5)
    images = torch.from_numpy(random_images(6, GRAPH, 3)).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(target(images), PackedTarget(GRAPH, backend="numpy")(images))
    assert (target.kind, target.graph_hash, target.queries) == ("rtlsim", GRAPH.content_hash, 3)
    assert target.differentiable is False


def test_certify(engine: RtlSimEngine) -> None:
    packed = PackedEngine(GRAPH, threads=1, backend="numpy")
    sample = Sample(packed, 20, seed=1)
    for seed in range(5):
        sample(random_images(seed, GRAPH, 10))
    assert certify(packed, engine, sample.images) == 20


def test_bad_input(engine: RtlSimEngine, build: Build, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected `threads` to be a whole number from 1"):
        RtlSimEngine(build.folder, threads=0)
    with pytest.raises(InputError, match="Expected `folder` to be a build folder"):
        RtlSimEngine(tmp_path)
    with pytest.raises(InputError, match="Expected `images` to be uint8 pixels N x 8 x 8 x 4"):
        engine(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="Expected `images` to hold at least one image"):
        engine.run(np.zeros((0, 8, 8, 4), np.uint8))
    with pytest.raises(InputError, match="Expected `images` to be uint8"):
        engine.run(np.zeros((1, 8, 8, 4), np.float32))


def test_a_memory_file_that_vanishes_is_an_error_not_an_abort(engine: RtlSimEngine, tmp_path: Path) -> None:
    second = RtlSimEngine(write_build(GRAPH, tmp_path / "gone").folder, threads=1)
    (tmp_path / "gone" / "memory" / "conv1.weights.mem").unlink()
    with pytest.raises(SimulationError, match=r"does not start: .*conv1\.weights\.mem"):
        second.run(random_images(0, GRAPH, 1))


def test_missing_tools(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(native_rtlsim.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(HardwareError, match=r"The target rtlsim needs verilator, but there is none; install it with `pip install"):
            RtlSimEngine(build.folder)
    tools = native_rtlsim.Verilator(tmp_path, tmp_path)
    monkeypatch.setattr(native_rtlsim, "find_verilator", lambda: tools)
    with pytest.raises(HardwareError, match=r"There is no C\+\+ compiler; install g\+\+"):
        RtlSimEngine(build.folder)
    monkeypatch.setattr(compiling, "cxx", lambda: ("false",))
    with pytest.raises(HardwareError, match=r"The tool .* does not run"):
        RtlSimEngine(build.folder)


def test_tools_that_fail(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools_or_skip()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = load_build(build.folder)
    (tmp_path / "wrong.sv").write_text("module qlight_top; wire\nendmodule\n")
    with pytest.raises(HardwareError, match=r"The tool verilator does not compile the simulation: .*wrong\.sv"):
        native_rtlsim.compiled([tmp_path / "wrong.sv"], broken.geometry_hash)
    (tmp_path / "wrong.sv").write_text('module qlight_top;\n if (1) begin : g\n $error("qlight_top: PE must be 1.");\n end\nendmodule\n')
    with pytest.raises(HardwareError, match=r"The tool verilator does not compile the simulation: .*: qlight_top: PE must be 1\."):
        native_rtlsim.compiled([tmp_path / "wrong.sv"], broken.geometry_hash)
    assert not list((tmp_path / "qlight").iterdir()), "nothing half-written"
    (tmp_path / "library.so").write_text("nothing")
    with pytest.raises(HardwareError, match="The compiled simulation does not load"):
        native_rtlsim.load(tmp_path / "library.so")


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (3, 3), (4, 4), (2, 8)])
def test_networks_of_the_paper(weights: int, activations: int, tmp_path: Path) -> None:
    check_network(network_graph(weights, activations, thresholds="ties", seed=weights), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "activations"),
    [pytest.param(1, 1, marks=pytest.mark.thorough), (2, 2), pytest.param(4, 4, marks=pytest.mark.thorough), (2, 32)],
)
def test_lowered_networks(weights: int, activations: int, tmp_path: Path) -> None:
    from qlight.lowering import lower
    from tests.models.networks import classifier

    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
    check_network(lower(classifier(weights, activations, seed=weights, network="cifar10"), images).graph, tmp_path)


def check_network(graph: Graph, folder: Path) -> None:
    tools_or_skip()
    built = write_build(graph, folder / "build")
    images = random_images(0, graph, 8)
    found, spent = RtlSimEngine(built.folder, threads=1).run(images)
    np.testing.assert_array_equal(found, execute(graph, images))
    model = cycles(built.pipeline)
    assert list(spent.done) == image_ends(built.pipeline, 8)
    assert set(np.diff(spent.done)) == {model.image}
    # the multiply-accumulates of the slowest layer over PE * SIMD, from the graph and the folding alone
    folds = built.pipeline.folding
    products = max(layer.products // (folds[layer.name].pe * folds[layer.name].simd) for layer in built.pipeline.layers)
    assert products <= model.image <= 1.03 * products
    steady = np.flatnonzero(spent.done <= spent.taken[-1])  # images that end while others still come in
    first, last = steady[0], steady[-1]
    assert last > first
    busy = (spent.issued[last] - spent.issued[first]) / (spent.done[last] - spent.done[first])
    assert 0.97 <= busy.max() <= 1, "counted by the driver, in the simulation"


def test_a_sample_is_uniform() -> None:
    counts = np.zeros(20)
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    for seed in range(400):
        sample = Sample(lambda x: x.reshape(-1, 1).astype(np.int32), 5, seed)
        sample(images[:3])
        sample(images[3:])
        assert sample.seen == 20
        counts[sample.images.ravel()] += 1
    assert counts.sum() == 2000
    assert (np.abs(counts - 100) < 5 * np.sqrt(75)).all(), "each is kept with a chance of 1/4: binomial, 5 standard deviations"


def test_a_difference_stops_the_certificate() -> None:
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    asked = []

    def wrong(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        return np.stack([batch.ravel(), batch.ravel() * 2 + (batch.ravel() == 20)], axis=1).astype(np.int32)

    def right(batch: np.ndarray) -> np.ndarray:
        return np.stack([batch.ravel(), batch.ravel() * 2], axis=1).astype(np.int32)

    with pytest.raises(CertificationError, match="Image 20 of 40: accumulator 1 is 40 on function, but 41 on function; 20 images before"):
        certify(right, wrong, images)
    assert asked == [16, 16], "the rest is not asked"


def test_bad_input_of_certify() -> None:
    with pytest.raises(InputError, match="Expected `images` to hold at least one image, but got none"):
        certify(len, len, np.zeros((0, 1, 1, 1), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Expected `size` to be a whole number from 1, but got 0"):
        Sample(len, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Expected `seed` to be a whole number from 0, but got -1"):
        Sample(len, 1, -1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Expected queries to certify, but none was made"):
        _ = Sample(len, 1).images  # type: ignore[arg-type]
