"""The accelerator behind pynq as a board runs it: batches, loading, deadlines, and everything that the registers give away."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from qlight.board import owner, pynq_accelerator, pynq_session
from qlight.board.accelerator import Accelerator, DeviceError, DeviceTimeout, Parameters
from qlight.board.client import BoardClient
from qlight.board.emulated import dma
from qlight.board.emulated.board import Board
from qlight.board.emulated.design import DMA_BASE
from qlight.board.emulated.designs import designs
from qlight.board.emulated.faults import Fault, Faults
from qlight.board.link import BoardError
from qlight.board.pynq_accelerator import PynqAccelerator
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.errors import InputError
from qlight.hardware import registers
from qlight.hardware.build import Build
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.intgraph import execute
from tests.board.emulated.local_pynq import module
from tests.board.fakes import until
from tests.hardware.strategies import random_graph, random_images


class Setting:
    """An emulated board in this process, and what stands for the pynq on it."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.faults = Faults()
        self.board = Board(designs([build]), self.faults)
        self.faults.on_crash = self.board.suffer

    def open(self, most_images: int = 64) -> PynqAccelerator:
        return PynqAccelerator(self.build.folder, most_images)

    def pixels(self, count: int, seed: int = 0) -> np.ndarray:
        return random_images(seed, self.build.graph, count).reshape(count, -1)

    def due(self, pixels: np.ndarray) -> np.ndarray:
        return execute(self.build.graph, pixels.reshape(len(pixels), *self.build.graph.input.shape))


@pytest.fixture
def setting(build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Setting]:
    made = Setting(build)
    monkeypatch.setitem(sys.modules, "pynq", module(made.board))
    monkeypatch.setattr(pynq_accelerator, "cache_folder", lambda: tmp_path)
    yield made
    made.board.power_off()


def test_batches_of_any_size_and_what_the_accelerator_states(setting: Setting) -> None:
    accelerator = setting.open()
    assert isinstance(accelerator, Accelerator)
    assert (accelerator.image_bytes, accelerator.classes, accelerator.most_images) == (256, 5, 64)
    assert accelerator.graph_hash == setting.build.graph.content_hash
    assert accelerator.geometry_hash == setting.build.geometry_hash
    assert accelerator.description == "pynq 3.1.2, test"
    for count in (1, 2, 3, 64, 1):
        pixels = setting.pixels(count, count)
        found = accelerator.run(pixels, 5.0)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, setting.due(pixels))
    accelerator.close()
    accelerator.close()
    with pytest.raises(DeviceError, match="closed"):
        accelerator.run(pixels, 1.0)


def test_an_accelerator_that_ends_a_packet_with_every_image(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bitstreams had before PACKET: its register reads 0, and every image is a transfer of its own."""
    read, write = setting.board.read, setting.board.write
    is_packet: Callable[[int], bool] = lambda address: address & 0xFFF == registers.PACKET and address >= 0xA001_0000  # noqa: E731
    monkeypatch.setattr(setting.board, "read", lambda address: 0 if is_packet(address) else read(address))
    monkeypatch.setattr(setting.board, "write", lambda address, value: None if is_packet(address) else write(address, value))
    accelerator = setting.open()
    pixels = setting.pixels(7)
    np.testing.assert_array_equal(accelerator.run(pixels, 5.0), setting.due(pixels))
    accelerator.close()


def test_loading(setting: Setting) -> None:
    accelerator = setting.open()
    other = random_graph(9, bits=1)
    words = parameter_words(make_pipeline(other))
    with pytest.raises(InputError, match="words"):
        accelerator.load(Parameters(words[:-1], other.content_hash))
    with pytest.raises(InputError, match="uint32"):
        accelerator.load(Parameters(words.astype(np.int64), other.content_hash))
    with pytest.raises(InputError, match=r"`weights` of no bytes .* got 3"):
        accelerator.load(Parameters(words, other.content_hash, (np.zeros(3, np.uint8),)))
    accelerator.load(Parameters(words, other.content_hash))
    assert accelerator.graph_hash == other.content_hash
    pixels = setting.pixels(4)
    np.testing.assert_array_equal(accelerator.run(pixels, 5.0), execute(other, pixels.reshape(4, 8, 8, 4)))
    accelerator.reset()  # parameters stay
    np.testing.assert_array_equal(accelerator.run(pixels, 5.0), execute(other, pixels.reshape(4, 8, 8, 4)))
    accelerator.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("freeze", "in time"),
        ("slave_error", "a slave error"),
        ("decode_error", "a decode error"),
        ("short_input", "in time"),
        ("short_output", "bytes of answers where"),
        ("long_output", "in time"),
    ],
)
def test_a_fault_is_an_error_by_the_deadline_and_a_reset_mends_it(setting: Setting, kind: str, words: str) -> None:
    accelerator = setting.open()
    setting.faults.arm(Fault(kind, 3))
    pixels = setting.pixels(8)
    with pytest.raises(DeviceError, match=words):
        accelerator.run(pixels, 0.3 if words == "in time" else 30.0)
    accelerator.reset(5.0)
    np.testing.assert_array_equal(accelerator.run(pixels, 5.0), setting.due(pixels))
    accelerator.close()


def test_another_design_is_noticed_and_only_opening_helps(setting: Setting) -> None:
    accelerator = setting.open()
    pixels = setting.pixels(3)
    setting.board.suffer(Fault("wrong_bitstream"))
    with pytest.raises(DeviceError):
        accelerator.run(pixels, 1.0)
    with pytest.raises(DeviceError, match="another design"):
        accelerator.reset(1.0)
    accelerator.close()
    again = setting.open()
    np.testing.assert_array_equal(again.run(pixels, 5.0), setting.due(pixels))
    again.close()


@pytest.mark.parametrize(("register", "words"), [(registers.GRAPH_HASH[0], "another network"), (registers.CLEAR, "has answered 3 images")])
def test_a_network_or_a_count_that_changed_behind_its_back(setting: Setting, register: int, words: str) -> None:
    accelerator = setting.open()
    accelerator.run(setting.pixels(2), 5.0)
    setting.board.write(0xA001_0000 + register, 1)
    with pytest.raises(DeviceError, match=words):
        accelerator.run(setting.pixels(3), 5.0)
    accelerator.close()


def test_no_memory(setting: Setting) -> None:
    setting.board.memory.size = 8192
    accelerator = setting.open()
    with pytest.raises(DeviceError, match="no memory"):
        accelerator.run(setting.pixels(64), 5.0)
    pixels = setting.pixels(8)
    np.testing.assert_array_equal(accelerator.run(pixels, 5.0), setting.due(pixels))
    accelerator.close()


def test_a_call_to_a_remote_board_that_does_not_come_back_is_left_behind(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = setting.open()
    monkeypatch.setattr(accelerator._thread, "replaceable", True)  # as with `remote`
    ended, read = threading.Event(), setting.board.read
    monkeypatch.setattr(setting.board, "read", lambda address: (ended.wait(10), read(address))[1])
    start = time.monotonic()
    with pytest.raises(DeviceTimeout, match="did not answer"):
        accelerator.run(setting.pixels(1), 0.1)
    assert time.monotonic() - start < 5
    with pytest.raises(DeviceError, match=r"closed \(the board did not answer"):
        accelerator.reset(0.1)
    accelerator.close()
    ended.set()


def test_on_the_board_itself_such_a_call_has_no_successor(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would touch the fabric: the owner says that it is stuck, for which `serve` ends."""
    monkeypatch.setattr(owner, "GRACE_SECONDS", 0.2)
    ended, read, calls = threading.Event(), setting.board.read, []
    with BoardServer(setting.open, Settings(port=0, care=owner.Care(device_seconds=0.2))) as server:
        monkeypatch.setattr(setting.board, "read", lambda address: (calls.append(address), ended.wait(10), read(address))[2])
        with BoardClient(server.address, deadline=0.6) as client, pytest.raises(BoardError, match="did not answer within"):
            client.query(setting.pixels(1))
        until(lambda: server.owner.stuck)
        assert len(calls) == 1
        ended.set()
        until(lambda: not server.owner.stuck)


def test_a_dma_that_stays_in_reset(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator, read = setting.open(), setting.board.read
    monkeypatch.setattr(pynq_session, "_RESET_SECONDS", 0.05)
    monkeypatch.setattr(setting.board, "read", lambda address: dma.RESET if address == DMA_BASE else read(address))
    with pytest.raises(DeviceTimeout, match="does not come back from its reset"):
        accelerator.reset()
    accelerator.close()


def test_a_fabric_without_an_accelerator(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting.board, "read", lambda address: 0xDEADBEEF)
    with pytest.raises(DeviceError, match="0xdeadbeef"):
        setting.open()


def test_without_pynq(build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(DeviceError, match="pynq is not installed"):
        PynqAccelerator(build.folder)
    with pytest.raises(InputError, match="hold one bitstream"):
        PynqAccelerator(tmp_path)


def test_it_needs_what_a_board_has() -> None:
    """Numpy and the standard library of Python 3.10."""
    script = """
import sys
for name in ("torch", "safetensors", "scipy", "tomllib", "pynq"):
    sys.modules[name] = None
import qlight.board.commands, qlight.board.pynq_accelerator
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
