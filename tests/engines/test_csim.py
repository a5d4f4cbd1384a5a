"""The HLS C++ as an engine and a target: batches, threads, loading of other networks, and plain words where something is missing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from qlight.engines import compiling, native_csim
from qlight.engines.csim import CSimEngine
from qlight.engines.simulated import SimulationError
from qlight.errors import HardwareError, InputError
from qlight.hardware.hls_build import HlsBuild, write_hls_build
from qlight.intgraph import execute
from qlight.targets import CSimTarget, PackedTarget, open_target, parse_target
from tests.engines.checks import check_batch, check_callers
from tests.hardware.strategies import random_graph, random_images
from tests.hls.test_units import tools_or_skip

GRAPH = random_graph(0)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> HlsBuild:
    return write_hls_build(GRAPH, tmp_path_factory.mktemp("csim") / "build")


@pytest.fixture(scope="module")
def engine(build: HlsBuild) -> CSimEngine:
    tools_or_skip()
    return CSimEngine(build.folder, threads=2)


@pytest.mark.parametrize("count", [0, 1, 3, 37])
def test_batches_of_any_size(engine: CSimEngine, count: int) -> None:
    check_batch(engine, GRAPH, count)


def test_several_threads_at_once(engine: CSimEngine) -> None:
    check_callers(engine, GRAPH)


def test_loading_of_another_network(engine: CSimEngine) -> None:
    images, other = random_images(4, GRAPH, 3), random_graph(9)
    assert (execute(other, images) != execute(GRAPH, images)).any()
    own = CSimEngine(engine.build.folder, threads=1)
    own.load(other)
    np.testing.assert_array_equal(own(images), execute(other, images))
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(again(images), execute(other, images))
    own.load(GRAPH)
    np.testing.assert_array_equal(own(images), execute(GRAPH, images))
    np.testing.assert_array_equal(engine(images), execute(GRAPH, images))


def test_an_instance_is_loaded_anew_between_images(engine: CSimEngine) -> None:
    """Parameters reach all units of one instance that has already run, and only it."""
    images, other = random_images(5, GRAPH, 2), write_words(9)
    first, second = engine._instance(), engine._instance()
    for _ in range(2):
        np.testing.assert_array_equal(first.run(images)[0], execute(GRAPH, images))
        first.load(other)
        np.testing.assert_array_equal(first.run(images)[0], execute(random_graph(9), images))
        np.testing.assert_array_equal(second.run(images)[0], execute(GRAPH, images))
        first.load(engine.build.words())


def write_words(seed: int) -> np.ndarray:
    """Parameter words of another network."""
    from qlight.hardware import make_pipeline, parameter_words

    return parameter_words(make_pipeline(random_graph(seed)))


def test_another_network_of_the_geometry_is_not_compiled_again(engine: CSimEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_csim, "compile_library", lambda *_: pytest.fail("compiled again"))
    other = random_graph(11)
    second = CSimEngine(write_hls_build(other, tmp_path / "other").folder, threads=1)
    images = random_images(5, other, 2)
    np.testing.assert_array_equal(second(images), execute(other, images))


def test_a_target_for_attacks(engine: CSimEngine) -> None:
    target = open_target(parse_target(f"csim:{engine.build.folder}"))
    assert isinstance(target, CSimTarget)
    images = torch.from_numpy(random_images(6, GRAPH, 3)).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(target(images), PackedTarget(GRAPH, backend="numpy")(images))
    assert (target.kind, target.graph_hash, target.queries) == ("csim", GRAPH.content_hash, 3)


def test_a_simulation_that_stands_still(engine: CSimEngine) -> None:
    instance = engine._instance()
    instance._patience = 3
    with pytest.raises(SimulationError, match="stands still: nothing moved for 3 calls"):
        instance.run(random_images(0, GRAPH, 1))


def test_bad_input(engine: CSimEngine, build: HlsBuild, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected `threads` to be a whole number from 1"):
        CSimEngine(build.folder, threads=0)
    with pytest.raises(InputError, match="Expected `folder` to be a build folder"):
        CSimEngine(tmp_path)
    with pytest.raises(InputError, match="Expected `images` to be uint8 pixels N x 8 x 8 x 4"):
        engine(np.zeros((1, 8, 8, 3), np.uint8))
    for call in (engine.run, engine.trace):
        with pytest.raises(InputError, match="Expected `images` to hold at least one image"):
            call(np.zeros((0, 8, 8, 4), np.uint8))
    with pytest.raises(InputError, match=r"Expected `graph` to have the geometry [0-9a-f]{12} of .*, but got another"):
        engine.load(random_graph(0, bits=1))
    with pytest.raises(InputError, match="Expected `graph` to be a Graph, but got str"):
        engine.load("folder")  # type: ignore[arg-type]


def test_missing_tools(build: HlsBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XILINX_HLS", str(tmp_path / "no"))
    with monkeypatch.context() as patch:
        patch.setattr(native_csim.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(HardwareError, match=r"The target csim needs ap_int\.h, but there is none; install it with `pip install"):
            CSimEngine(build.folder)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.setattr(native_csim, "find_ap_int", lambda: tmp_path)
        with pytest.raises(HardwareError, match=r"There is no C\+\+ compiler; install g\+\+"):
            CSimEngine(build.folder)


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools_or_skip()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "wrong.cpp").write_text("int x = ;\n")
    with pytest.raises(HardwareError, match=r"does not compile the C-simulation: .*wrong\.cpp:1.*error"):
        native_csim.compile_library([tmp_path / "wrong.cpp"], tmp_path / "library.so", [])
    monkeypatch.setattr(compiling, "cxx", lambda: ("/bin/nothing",))
    with pytest.raises(HardwareError, match="The tool /bin/nothing does not run"):
        native_csim.compile_library([tmp_path / "wrong.cpp"], tmp_path / "library.so", [])
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.cpp"], "nothing half-written"


def test_ap_int_of_an_installed_vitis_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XILINX_HLS", str(tmp_path))
    (tmp_path / "include" / "etc").mkdir(parents=True)
    for name in native_csim._AP_INT:
        (tmp_path / "include" / name).write_text("")
    assert native_csim.find_ap_int() == tmp_path / "include"
