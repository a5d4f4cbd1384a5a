"""The part of pynq that runs on a board itself, here on an emulated board in this process: the same calls, no wire."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np

from qlight.board.emulated.board import FIRMWARE, MANAGER, Board
from qlight.board.emulated.design import ACCELERATOR_BASE, DMA_BASE
from qlight.board.emulated.dma import ADDRESS, ADDRESS_HIGH, CONTROL, HALTED, IDLE, LENGTH, RUN, STATUS, TO_MEMORY


class Registers:
    """pynq.MMIO."""

    def __init__(self, board: Board, base: int) -> None:
        self._board, self._base = board, base

    def read(self, offset: int = 0) -> int:
        return self._board.read(self._base + offset)

    def write(self, offset: int, value: int) -> None:
        self._board.write(self._base + offset, value)


class Channel:
    """One direction of pynq.lib.dma.DMA."""

    def __init__(self, mmio: Registers, offset: int) -> None:
        self._mmio, self._offset = mmio, offset
        self.transferred = 0

    def start(self) -> None:
        self._mmio.write(self._offset + CONTROL, RUN)

    @property
    def idle(self) -> bool:
        return bool(self._mmio.read(self._offset + STATUS) & IDLE)

    def transfer(self, array: Any, start: int = 0, nbytes: int = 0) -> None:
        if self._mmio.read(self._offset + STATUS) & HALTED:
            raise RuntimeError("DMA channel not started")
        if self._offset == 0:
            array.flush()
        self._array = array
        address = array.physical_address + start
        self._mmio.write(self._offset + ADDRESS, address & 0xFFFF_FFFF)
        self._mmio.write(self._offset + ADDRESS_HIGH, address >> 32)
        self._mmio.write(self._offset + LENGTH, nbytes or array.nbytes - start)

    def wait(self) -> None:
        if self._offset == TO_MEMORY:
            self._array.buffer.invalidate()
        self.transferred = self._mmio.read(self._offset + LENGTH)


class Buffer(np.ndarray):
    """pynq.PynqBuffer."""

    buffer: Any = None
    memory: Any = None

    @property
    def physical_address(self) -> int:
        return self.buffer.address

    def flush(self) -> None:
        self.buffer.flush()

    def freebuffer(self) -> None:
        self.memory.free(self.buffer)


def module(board: Board) -> types.ModuleType:
    """A module to be imported as pynq."""
    found: Any = types.ModuleType("pynq")
    found.__version__ = "3.1.2"

    def overlay(bitstream: str, download: bool, device: object) -> Any:
        path = Path(bitstream)

        def load() -> None:
            board.write_file(FIRMWARE + path.name, path.read_bytes())
            board.write_file(f"{MANAGER}firmware", path.name.encode())

        dma = Registers(board, DMA_BASE)
        channels = {"sendchannel": Channel(dma, 0), "recvchannel": Channel(dma, TO_MEMORY)}
        return types.SimpleNamespace(
            download=load,
            axi_dma_0=types.SimpleNamespace(mmio=dma, **channels),
            qlight_top_0=types.SimpleNamespace(mmio=Registers(board, ACCELERATOR_BASE)),
        )

    def allocate(shape: tuple[int, ...], dtype: Any, target: object) -> Buffer:
        held = board.memory.allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        if held is None:
            raise RuntimeError("Failed to allocate Memory!")
        array = np.frombuffer(held.cached, dtype).reshape(shape).view(Buffer)
        array.buffer, array.memory = held, board.memory
        return array

    found.Overlay, found.allocate, found.Device = overlay, allocate, types.SimpleNamespace(active_device=types.SimpleNamespace(name="test"))
    return found
