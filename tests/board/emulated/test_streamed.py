"""Weights in the board's DRAM: from a build folder through pynq's buffers to the readers, and everything that can be wrong on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qlight.board import pynq_accelerator
from qlight.board.accelerator import DeviceError, Parameters
from qlight.board.client import BoardClient
from qlight.board.deployment import read_deployment
from qlight.board.emulated.board import Board
from qlight.board.emulated.core import Core, EngineCore
from qlight.board.emulated.design import ACCELERATOR_BASE, write_overlay
from qlight.board.emulated.designs import designs
from qlight.board.emulated.faults import Fault, Faults
from qlight.board.emulated.memory import BASE, Memory
from qlight.board.emulated.running import start_daemon, start_server
from qlight.board.owner import Care
from qlight.board.pynq_accelerator import PynqAccelerator
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.errors import InputError
from qlight.hardware import registers
from qlight.hardware.build import Build, write_build
from qlight.hardware.packing import dram_weights, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.intgraph import Graph, execute
from qlight.targets.board import BoardTarget
from tests.board.emulated.local_pynq import module
from tests.board.fakes import until
from tests.engines.test_rtlsim_streamed import FOLDING, GRAPH
from tests.hardware.strategies import random_graph, random_images

OTHER = random_graph(9, side=4)


def parameters(graph: Graph) -> Parameters:
    pipeline = make_pipeline(graph, FOLDING)
    return Parameters(parameter_words(pipeline), graph.content_hash, tuple(content for _, content in dram_weights(pipeline)))


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return random_images(seed, GRAPH, count).reshape(count, -1)


def due(graph: Graph, images: np.ndarray) -> np.ndarray:
    return execute(graph, images.reshape(-1, *graph.input.shape))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    made = write_build(GRAPH, tmp_path_factory.mktemp("streamed") / "build", FOLDING)
    write_overlay(made)
    return made


@pytest.fixture
def board(build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Board]:
    """An emulated board in this process, with the pynq of a board."""
    faults = Faults()
    made = Board(designs([build]), faults)
    faults.on_crash = made.suffer
    monkeypatch.setitem(sys.modules, "pynq", module(made))
    monkeypatch.setattr(pynq_accelerator, "cache_folder", lambda: tmp_path)
    yield made
    made.power_off()


@pytest.fixture
def accelerator(board: Board, build: Build) -> Iterator[PynqAccelerator]:
    made = PynqAccelerator(build.folder, 64)
    yield made
    made.close()


def base(board: Board, port: int) -> int:
    """Where a reader begins, which is selected then."""
    board.write(ACCELERATOR_BASE + registers.STREAM_SELECT, port)
    low, high = (board.read(ACCELERATOR_BASE + offset) for offset in (registers.STREAM_BASE_LOW, registers.STREAM_BASE_HIGH))
    return high << 32 | low


def test_weights_of_a_build_folder_and_of_another_network(accelerator: PynqAccelerator, board: Board, build: Build) -> None:
    assert accelerator.weight_bytes == tuple(unit.dram_bytes for unit in build.pipeline.streamed)
    with pytest.raises(DeviceError, match="not loaded"):
        accelerator.run(pixels(1), 5.0)
    given = read_deployment(build.folder).parameters
    assert [weights.tobytes() for weights in given.weights] == [content.tobytes() for _, content in dram_weights(build.pipeline)]
    accelerator.load(given)
    np.testing.assert_array_equal(accelerator.run(pixels(40), 5.0), due(GRAPH, pixels(40)))
    for port, weights in enumerate(given.weights):
        assert base(board, port) >= BASE > 1 << 32, "both halves of an address count"
        assert board.memory.read(base(board, port), weights.nbytes) == weights.tobytes()
    accelerator.load(parameters(OTHER))
    np.testing.assert_array_equal(accelerator.run(pixels(3), 5.0), due(OTHER, pixels(3)))
    accelerator.reset()
    np.testing.assert_array_equal(accelerator.run(pixels(3), 5.0), due(OTHER, pixels(3)))


def test_what_the_readers_counted(accelerator: PynqAccelerator, build: Build) -> None:
    accelerator.load(parameters(GRAPH))
    accelerator.run(pixels(7), 5.0)
    found = accelerator.counters()
    assert (found["images"], found["stalled_in"]) == (7, 0)
    assert found["cycles"] == 7 * build.manifest["cycles"]["image"]
    assert [each["bytes"] for each in found["streamed"]] == [7 * unit.dram_bytes for unit in build.pipeline.streamed]
    accelerator.reset()
    assert [each["bytes"] for each in accelerator.counters()["streamed"]] == [0, 0, 0]


@pytest.mark.parametrize("weights", [(), (np.zeros(4, np.uint8),), tuple(reversed(parameters(GRAPH).weights))])
def test_weights_of_other_sizes(accelerator: PynqAccelerator, weights: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match=r"Expected `weights` of \d+, \d+, \d+ bytes .*, but got .*; give dram/ of a build of the same"):
        accelerator.load(parameters(GRAPH)._replace(weights=weights))


@pytest.mark.parametrize("port", range(3))
def test_a_wrong_address_cannot_pass(accelerator: PynqAccelerator, board: Board, port: int) -> None:
    """Where no memory is, the readers say so; where something else lies, that is what is computed with. A load mends both."""
    accelerator.load(parameters(GRAPH))
    right = base(board, port)
    for offset, value in ((registers.STREAM_BASE_HIGH, 0), (registers.STREAM_BASE_LOW, (right & 0xFFFF_FFFF) + (1 << 27))):
        assert base(board, port) == right
        board.write(ACCELERATOR_BASE + offset, value)
        with pytest.raises(DeviceError, match=f"answered with an error while weights of streamed layer {port}"):
            accelerator.run(pixels(2), 5.0)
        accelerator.reset()
        accelerator.load(parameters(GRAPH))
        np.testing.assert_array_equal(accelerator.run(pixels(2), 5.0), due(GRAPH, pixels(2)))
    board.memory.write(right, b"\x55\xaa\x0f")
    assert (accelerator.run(pixels(20), 5.0) != due(GRAPH, pixels(20))).any()


def test_addresses_that_a_reader_cannot_hold(board: Board, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    held = type(sys.modules["pynq"].allocate((4,), np.uint8, None))  # type: ignore[attr-defined]
    accelerator = PynqAccelerator(build.folder, 64)
    for wrong in (1 << 40 | 0x1000, BASE + 8):  # beyond 40 bits; in the middle of a word of 128 bits
        monkeypatch.setattr(held, "physical_address", wrong)
        with pytest.raises(DeviceError, match=f"streamed layer 0 cannot begin at the address {wrong:#x}"):
            accelerator.load(parameters(GRAPH))
    accelerator.close()


def test_no_memory_is_one_message_and_nothing_stays(board: Board, build: Build) -> None:
    sizes = parameters(GRAPH).weights
    board.memory.size = 2 * 4096  # two pages: the third layer finds none
    with pytest.raises(DeviceError) as raised:
        BoardServer(lambda: PynqAccelerator(build.folder), Settings(port=0), parameters=parameters(GRAPH)).start()
    words = f"the board has no memory for {sizes[2].nbytes} contiguous bytes (CMA) of weights of streamed layer 2"
    assert str(raised.value).startswith(words)
    board.memory.size = 1 << 20
    server = BoardServer(lambda: PynqAccelerator(build.folder), Settings(port=0), parameters=parameters(GRAPH))
    with server, BoardClient(server.address) as client:
        np.testing.assert_array_equal(client.query(pixels(5)), due(GRAPH, pixels(5)))
    board.memory.size = 0
    assert board.memory.allocate(1) is None
    board.memory.size = 4096
    assert board.memory.allocate(4096) is not None, "all buffers were given back"


@pytest.mark.parametrize("kind", ["freeze", "slave_error", "wrong_bitstream"])
def test_faults_are_mended_with_their_weights(board: Board, build: Build, kind: str) -> None:
    settings = Settings(port=0, care=Care(device_seconds=0.5))
    server = BoardServer(lambda: PynqAccelerator(build.folder), settings, parameters=parameters(GRAPH))
    with server, BoardClient(server.address) as client:
        board.faults.arm(Fault(kind, 3))
        np.testing.assert_array_equal(client.query(pixels(30)), due(GRAPH, pixels(30)))
        status = client.status()
        assert status["resets"] + status["reopened"] == 1


@pytest.mark.slow
def test_the_rtl_reads_where_the_model_does(build: Build) -> None:
    """One memory, two accelerators: answers, addresses, errors and loads are the same; the RTL has fetched ahead, and says more bytes."""
    from qlight.board.emulated.rtl import RtlCore, prepared

    memory, library = Memory(), prepared(build)
    cores: list[Core] = [EngineCore(build.pipeline, build.geometry_hash, build.words(), 0, memory), RtlCore(build, library, memory)]
    buffers = {graph: [memory.allocate(weights.nbytes) for weights in parameters(graph).weights] for graph in (GRAPH, OTHER)}
    for graph, made in buffers.items():
        for buffer, weights in zip(made, parameters(graph).weights, strict=True):
            assert buffer is not None
            buffer.cached[:] = weights.tobytes()
            buffer.flush()

    def load(core: Core, graph: Graph, shift: int = 0) -> None:
        core.write(registers.CONTROL, registers.LOAD_MODE)
        for port, buffer in enumerate(buffers[graph]):
            assert buffer is not None
            core.write(registers.STREAM_SELECT, port)
            core.write(registers.STREAM_BASE_LOW, buffer.address + shift & 0xFFFF_FFFF)
            core.write(registers.STREAM_BASE_HIGH, buffer.address >> 32)
        core.push(parameters(graph).words)
        core.write(registers.CONTROL, registers.RUN)
        core.write(registers.STREAM_GO, 1)

    images = random_images(0, GRAPH, 11)
    for graph, shift, wrong in ((GRAPH, 0, 0), (OTHER, 0, 0), (GRAPH, 1 << 29, 1), (GRAPH, 0, 0)):
        for core in cores:
            core.write(registers.CONTROL, registers.SOFT_RESET)
            load(core, graph, shift)
            core.write(registers.CLEAR, 0)
            words, _ = core.push(images.reshape(-1).view(np.uint32))
            assert np.array_equal(words.view(np.int32).reshape(-1, 5), execute(graph, images)) == (not wrong)
        for port, unit in enumerate(build.pipeline.streamed):
            for core in cores:
                core.write(registers.STREAM_SELECT, port)
                assert core.read(registers.STREAM_WORDS) >= 10 * unit.dram_words  # the first image's may have come before CLEAR
                assert core.read(registers.STREAM_ERROR) == wrong
            for offset in (registers.STREAMS, registers.STREAM_BASE_LOW, registers.STREAM_BASE_HIGH, registers.STREAM_IMAGE_WORDS):
                assert cores[0].read(offset) == cores[1].read(offset), hex(offset)


@pytest.mark.slow
def test_unmodified_pynq_to_the_rtl_with_weights_in_dram(pynq: Path, build: Build, tmp_path: Path) -> None:
    """Client, board server, pynq's allocate, the addresses that it gives, the memory ports of the verilated top level."""
    from qlight.board.emulated.rtl import prepared

    prepared(build)
    with (
        start_daemon([build.folder], tmp_path / "daemon.log", "rtl", faults=["slave_error@20"]) as daemon,
        start_server(build.folder, daemon.says, tmp_path / "server.log") as server,
    ):
        target = BoardTarget(f"board://{server.says}", cache_bytes=0)
        images = random_images(3, GRAPH, 60)
        np.testing.assert_array_equal(target.query(images), execute(GRAPH, images))
        assert target.client.status()["resets"] == 1
        due = [60 * unit.dram_bytes for unit in build.pipeline.streamed]
        read: Callable[[], list[int]] = lambda: [each["bytes"] for each in target.client.status()["accelerator"]["streamed"]]  # noqa: E731
        until(lambda: all(found >= least for found, least in zip(read(), due, strict=True)))  # counters are read when nobody waits
        target.client.close()
