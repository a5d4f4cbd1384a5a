"""Weights from DRAM in simulation: the integers of the reference executor, the cycles of the model, and every weight read once an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qlight.engines.rtlsim import RtlSimEngine, SimulationError
from qlight.engines.rtlsim_memory import MemoryTiming
from qlight.hardware import registers
from qlight.hardware.build import Build, write_build
from qlight.hardware.cycles import cycles, image_ends
from qlight.hardware.folding import choose
from qlight.hardware.layers import layers
from qlight.intgraph import Graph, execute
from tests.engines.networks import network_graph, starved_network
from tests.engines.test_rtlsim import tools_or_skip
from tests.hardware.strategies import random_graph, random_images

#: a convolution in two folds with its pool, and a dense layer; widths of rows above, below and equal to those of ports
GRAPH = random_graph(0, side=4)
FOLDING: dict[str, Any] = {
    "conv0": {"pe": 4, "simd": 4, "weights": "streamed", "port_bits": 128},
    "conv1": {"pe": 4, "simd": 8, "weights": "streamed"},
    "output": {"pe": 5, "simd": 4, "weights": "streamed", "port_bits": 32},
}
SLOW = (MemoryTiming(latency=60), MemoryTiming(gap=2), MemoryTiming(latency=9, gap=5))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return write_build(GRAPH, tmp_path_factory.mktemp("streamed") / "build", FOLDING)


@pytest.fixture(scope="module")
def engine(build: Build) -> RtlSimEngine:
    tools_or_skip()
    return RtlSimEngine(build.folder, threads=1)


def check_run(engine: RtlSimEngine, graph: Graph, images: np.ndarray, memory: MemoryTiming | None = None) -> list[int]:
    """Integers and bytes; the cycles in which images end."""
    found, spent = engine.run(images, memory=memory)
    np.testing.assert_array_equal(found, execute(graph, images))
    streamed = engine.build.pipeline.streamed
    assert [port.bytes for port in spent.traffic] == [len(images) * unit.dram_bytes for unit in streamed]
    return [int(each) for each in spent.done]


def test_integers_cycles_and_bytes(engine: RtlSimEngine) -> None:
    ends = check_run(engine, GRAPH, random_images(1, GRAPH, 6))
    assert ends == image_ends(engine.build.pipeline, 6)
    assert set(np.diff(ends)) == {cycles(engine.build.pipeline).image}


@pytest.mark.parametrize("memory", SLOW)
def test_a_slow_memory_changes_cycles_alone(engine: RtlSimEngine, memory: MemoryTiming) -> None:
    ends = check_run(engine, GRAPH, random_images(2, GRAPH, 4), memory)
    assert ends >= image_ends(engine.build.pipeline, 4)


def test_a_receiver_that_is_not_always_ready(engine: RtlSimEngine) -> None:
    images = random_images(3, GRAPH, 4)
    found, spent = engine.run(images, stall=2, memory=SLOW[2])
    np.testing.assert_array_equal(found, execute(GRAPH, images))
    assert [port.bytes for port in spent.traffic] == [4 * unit.dram_bytes for unit in engine.build.pipeline.streamed]


def test_another_network_is_loaded_through_stream_and_dram(engine: RtlSimEngine) -> None:
    own, other = RtlSimEngine(engine.build.folder, threads=1), random_graph(9, side=4)
    images = random_images(4, GRAPH, 5)
    assert (execute(other, images) != execute(GRAPH, images)).any()
    own.load(other)
    check_run(own, other, images)
    np.testing.assert_array_equal(own(images), execute(other, images))
    with own._lent() as instance:  # back to the first one in an instance that has run, and fetched ahead
        instance.load(engine.build.words(), [np.fromfile(engine.build.folder / entry["file"], np.uint8) for entry in _dram(engine)])
        np.testing.assert_array_equal(instance.run(images)[0], execute(GRAPH, images))


def test_a_soft_reset_in_the_middle_of_an_image(engine: RtlSimEngine) -> None:
    """Reads are under way when it comes; the weights of the next image begin anew."""
    images = random_images(7, GRAPH, 4)
    instance = engine._instance(SLOW[0])
    for words in (5, 16, 19):
        instance.transfer(np.frombuffer(images.tobytes(), np.uint32)[:words], 0)
        instance.step(30 * words)
        instance.write(registers.CONTROL, registers.SOFT_RESET)
        instance.write(registers.CONTROL, registers.RUN)
        np.testing.assert_array_equal(instance.run(images)[0], execute(GRAPH, images))


def test_registers_of_the_readers(engine: RtlSimEngine) -> None:
    with engine._lent() as instance:
        instance.run(random_images(5, GRAPH, 2))
        streamed = engine.build.pipeline.streamed
        assert instance.read(registers.STREAMS) == len(streamed) == 3
        assert instance.read(registers.STREAM_GO) == 3
        for port, unit in enumerate(streamed):
            instance.write(registers.STREAM_SELECT, port)
            assert instance.read(registers.STREAM_WORD_BYTES) * 8 == unit.port_bits
            assert instance.read(registers.STREAM_IMAGE_WORDS) == unit.dram_words
            assert instance.read(registers.STREAM_BASE_HIGH) == port + 1
            assert instance.read(registers.STREAM_ERROR) == 0
        assert [port.bytes for port in instance.weights.traffic()] == instance.weights.given()
        instance.write(registers.CLEAR, 0)
        assert [port.bytes for port in instance.weights.traffic()] == [0, 0, 0]


def test_an_address_without_weights_is_an_error(engine: RtlSimEngine) -> None:
    instance = engine._instance()
    instance.write(registers.STREAM_SELECT, 1)
    instance.write(registers.STREAM_BASE_LOW, 4096)
    with pytest.raises(SimulationError, match=r"address \d+ of a memory port holds no weights"):
        instance.run(random_images(6, GRAPH, 20))


@pytest.mark.slow
def test_a_port_that_is_the_bottleneck(tmp_path: Path) -> None:
    """A dense layer whose rows come more slowly than they could be used: an image takes as many cycles as it has words."""
    tools_or_skip()
    graph, folding = starved_network()
    built = write_build(graph, tmp_path / "build", folding)
    engine = RtlSimEngine(built.folder, threads=1)
    ends = check_run(engine, graph, random_images(0, graph, 30))
    assert ends == image_ends(built.pipeline, 30)
    assert set(np.diff(ends)[10:]) == {cycles(built.pipeline).image} == {24 * 16 * 3 // 32}


@pytest.mark.slow
def test_a_network_of_width_a_half(tmp_path: Path) -> None:
    """Dense layers streamed: 2.4 Mbit of weights, each read once an image."""
    tools_or_skip()
    graph = network_graph(1, 1, width=0.5, thresholds="ties", seed=1)
    folding: dict[str, Any] = {name: fold.entry for name, fold in choose(layers(graph), 73728).items()}
    for name, (pe, simd) in {"dense0": (4, 16), "dense1": (2, 16), "output": (1, 8)}.items():
        folding[name] = {"pe": pe, "simd": simd, "weights": "streamed"}
    built = write_build(graph, tmp_path / "build", folding)
    assert built.pipeline.dram_bytes == (4096 * 512 + 512 * 512 + 8 * 512 * 10) // 8
    ends = check_run(RtlSimEngine(built.folder, threads=1), graph, random_images(0, graph, 3))
    assert ends == image_ends(built.pipeline, 3)
    assert set(np.diff(ends)) == {cycles(built.pipeline).image} == {73728}


def _dram(engine: RtlSimEngine) -> list[dict[str, Any]]:
    return engine.build.manifest["dram"]
