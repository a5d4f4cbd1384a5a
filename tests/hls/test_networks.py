"""Whole networks in the HLS C++: the integers of the reference executor, the beats of the RTL's streams, the cycle model's calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from qlight.engines import compiling, native_csim
from qlight.engines.csim import CSimEngine
from qlight.hardware.cycles import cycles
from qlight.hardware.hls_build import VECTORS_FILE, HlsBuild, write_hls_build
from qlight.hardware.units import Fifo
from qlight.intgraph import Graph, GraphBuilder, execute
from tests.engines.networks import network_graph
from tests.hardware import model
from tests.hardware.strategies import random_graph, random_images
from tests.hls.test_units import tools_or_skip

GRAPH = random_graph(0)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> HlsBuild:
    return write_hls_build(GRAPH, tmp_path_factory.mktemp("hls") / "build", board="pynq_z2")


def check_network(build: HlsBuild, count: int = 3) -> None:
    """Images back to back: accumulators, the beats of every stream, calls an image in steady state, and bytes of weights from DRAM."""
    tools_or_skip()
    images = random_images(1, build.graph, count)
    engine = CSimEngine(build.folder, threads=1)
    found, spent = engine.run(images)
    np.testing.assert_array_equal(found, execute(build.graph, images))
    assert set(np.diff(spent.done)) == {cycles(build.pipeline).image}
    assert (np.diff(spent.taken) > 0).all()
    assert spent.traffic == tuple(count * unit.dram_bytes for unit in build.pipeline.streamed)
    check_streams(engine, images[:2])


def check_streams(engine: CSimEngine, images: np.ndarray) -> None:
    """Every stream carries what the units of `tests.hardware.model`, which the RTL equals, make of the memory files."""
    traced, units = engine.trace(images), engine.build.pipeline.units
    assert set(traced) == {unit.name for unit in units if not isinstance(unit, Fifo) or unit is units[0]}
    files, stream = model.contents(engine.build.pipeline), images.reshape(-1, 4).astype(np.int64)
    for unit in units:
        stream = model.step(unit, stream, files)
        if unit.name in traced:
            np.testing.assert_array_equal(traced[unit.name], as_bytes(stream, unit.target.bits), unit.name)


def as_bytes(stream: np.ndarray, bits: int) -> np.ndarray:
    """Beats x lanes of codes or signed integers -> beats x bytes, lane 0 lowest, little-endian."""
    spread = (stream[..., None] >> np.arange(bits)) & 1
    return np.packbits(spread.reshape(len(stream), -1).astype(np.uint8), axis=1, bitorder="little")


def test_a_small_network(build: HlsBuild) -> None:
    check_network(build)


def run_test_bench(core: Path, bench: Path, folder: Path, compiled: bool = False) -> subprocess.CompletedProcess[str]:
    """The sources in `core` with testbench.cpp and vectors in `bench`, as `csim_design` compiles them: C++14, memories filled.

    Args:
        folder: for the program.
        compiled: the core is in it from a call before.
    """
    include = [f"-I{each}" for each in (bench, native_csim.hls_folder() / "csim", core, native_csim.find_ap_int())]
    compiler = (*compiling.cxx(), "-std=c++14", "-O0", "-w")
    objects = {"core": core / "qlight_hls.cpp", "bench": bench / "testbench.cpp"}
    for name, source in objects.items():
        if name == "bench" or not compiled:
            subprocess.run([*compiler, *include, "-c", str(source), "-o", str(folder / f"{name}.o")], check=True, timeout=600)
    made = [str(folder / f"{name}.o") for name in objects]
    subprocess.run([*compiler, *made, "-o", str(folder / "program")], check=True, timeout=600)
    return subprocess.run([str(folder / "program")], capture_output=True, text=True, check=False, timeout=600)


def test_the_test_bench_runs_on_the_memories_after_configuration(build: HlsBuild, tmp_path: Path) -> None:
    """A wrong vector is noticed."""
    tools_or_skip()
    found = run_test_bench(build.sources, build.sources, tmp_path)
    assert (found.returncode, found.stdout[-8:]) == (0, "0 wrong\n"), found.stdout
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "testbench.cpp").write_text((build.sources / "testbench.cpp").read_text())
    vectors = (build.sources / VECTORS_FILE).read_text()
    (wrong / VECTORS_FILE).write_text(vectors.replace("ACCUMULATORS[] = {", "ACCUMULATORS[] = {1"))
    found = run_test_bench(build.sources, wrong, tmp_path, compiled=True)
    assert found.returncode == 1
    assert "image 0, class 0: expected 1" in found.stdout
    assert "1 wrong" in found.stdout


def odd_graph() -> Graph:
    """Kernels that are not square, padding with a code, a 1 x 1 convolution, odd maps, pools of codes and of accumulators."""
    rng = np.random.default_rng(5)
    builder = GraphBuilder((7, 9, 4))

    def threshold(name: str, bits: int, encoding: str = "unsigned") -> None:
        channels, reach = builder.operand.type.channels, builder.operand.high // 2
        levels = np.sort(rng.integers(-reach, reach, (channels, 2**bits - 1)), axis=1)
        direction = rng.choice([-1, 1], channels).astype(np.int8)
        ordered = np.where(direction[:, None] > 0, levels, levels[:, ::-1]).astype(np.int32)
        builder.threshold(name, ordered, direction, bits=bits, encoding=encoding)

    signed = rng.integers(-8, 8, (6, 2, 3, 4)).astype(np.int8)
    builder.conv2d("for", signed, bits=4, encoding="signed", padding=(1, 0, 2, 1), pad_code=200)
    threshold("act0", 3)
    builder.max_pool("codes")
    builder.conv2d("point", rng.integers(0, 8, (10, 1, 1, 6)).astype(np.uint8), bits=3, encoding="odd")
    builder.max_pool("sums")
    threshold("act1", 1, "bipolar")
    builder.conv2d("last", rng.integers(-2, 2, (4, 1, 2, 10)).astype(np.int8), bits=2, encoding="signed", padding=(0, 0, 1, 1))
    threshold("act2", 8)
    builder.flatten("flat")
    builder.linear("int", rng.integers(-128, 128, (6, builder.operand.type.channels)).astype(np.int8), bits=8, encoding="signed")
    return builder.build(np.ones(6), np.zeros(6))


@pytest.mark.slow
def test_an_odd_network(tmp_path: Path) -> None:
    """Names of the graph are words of C++; SIMD that does not divide the channels; lanes that do not divide each other."""
    check_network(write_hls_build(odd_graph(), tmp_path / "build", {"for": (3, 8), "point": (5, 2), "last": (2, 4), "int": (3, 2)}))


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (3, 3), (4, 4), (2, 8)])
def test_networks_of_the_paper(weights: int, activations: int, tmp_path: Path) -> None:
    """At width 0.125; w2a32 has 8-bit activations where it is deployed."""
    graph = network_graph(weights, activations, thresholds="ties", seed=weights)
    check_network(write_hls_build(graph, tmp_path / "build"))
