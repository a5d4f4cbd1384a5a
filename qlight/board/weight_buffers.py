"""Streamed layers of an accelerator behind pynq: their weights in the board's DRAM, and the registers of the readers that fetch them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qlight.board.accelerator import DeviceError
from qlight.hardware import registers


class WeightBuffers:
    """Contiguous memory for the weights of every streamed layer, which the accelerator reads by physical address once an image.

    Args:
        mmio: registers of the accelerator.
        allocate: (shape, dtype, what for) -> a buffer as pynq makes them; raises DeviceError where there is no memory.

    Attributes:
        sizes: bytes of each layer's weights, in the order of the memory ports, as the registers say.
        loaded: whether the buffers hold weights.
    """

    def __init__(self, mmio: Any, allocate: Callable[[tuple[int, ...], type[np.generic], str], Any]) -> None:
        self._mmio, self._allocate = mmio, allocate
        self._buffers: list[Any] = []
        self.loaded = False
        self._word_bytes, sizes = [], []
        for port in range(self._read(registers.STREAMS)):
            self._mmio.write(registers.STREAM_SELECT, port)
            self._word_bytes.append(self._read(registers.STREAM_WORD_BYTES))
            sizes.append(self._word_bytes[-1] * self._read(registers.STREAM_IMAGE_WORDS))
        self.sizes = tuple(sizes)

    def put(self, weights: Sequence[np.ndarray[Any, Any]]) -> None:
        """Write weights to memory, and their addresses to the registers, while the readers stand still (in load mode).

        Args:
            weights: uint8, of `sizes`.

        Raises:
            DeviceError: there is no memory, or no reader can reach it.
        """
        self.loaded = False
        for port in range(len(self._buffers), len(self.sizes)):
            self._buffers.append(self._allocate((self.sizes[port],), np.uint8, f"weights of streamed layer {port}"))
        for port, (buffer, content) in enumerate(zip(self._buffers, weights, strict=True)):
            buffer[:] = content
            buffer.flush()  # the readers are not coherent with the processor's caches
            self._point(port, int(buffer.physical_address))
        self.loaded = True

    def start(self) -> None:
        """Let the readers fetch; they go on by themselves after a soft reset or a load."""
        if self.sizes:
            self._mmio.write(registers.STREAM_GO, 1)

    def check(self) -> None:
        """See that every word that came was one of memory.

        Raises:
            DeviceError: one was not: the address is wrong, or the memory is not there any more.
        """
        for port in range(len(self.sizes)):
            self._mmio.write(registers.STREAM_SELECT, port)
            if self._read(registers.STREAM_ERROR):
                raise DeviceError(f"the memory answered with an error while weights of streamed layer {port} were read")

    def counters(self) -> list[dict[str, int]]:
        """Of each layer since the counters were cleared: bytes read, cycles with reads under way, cycles in which weights were awaited."""
        found = []
        for port, word_bytes in enumerate(self._word_bytes):
            self._mmio.write(registers.STREAM_SELECT, port)
            words, busy, starved = (
                self._read(low) | self._read(low + 4) << 32
                for low in (registers.STREAM_WORDS, registers.STREAM_BUSY, registers.STREAM_STARVED)
            )
            found.append({"bytes": words * word_bytes, "busy_cycles": busy, "starved_cycles": starved})
        return found

    def close(self) -> None:
        """Stop the readers, and give the memory back."""
        self.loaded = False
        if self._buffers:
            with contextlib.suppress(Exception):  # a board that does not answer reads nothing either
                self._mmio.write(registers.CONTROL, registers.SOFT_RESET)  # even where an image is in flight
                self._mmio.write(registers.STREAM_GO, 0)
        while self._buffers:
            self._buffers.pop().freebuffer()

    def _point(self, port: int, address: int) -> None:
        """Let a reader begin at an address: a multiple of a word, of which its register keeps all bits."""
        for offset, value in (
            (registers.STREAM_SELECT, port),
            (registers.STREAM_BASE_LOW, address & 0xFFFF_FFFF),
            (registers.STREAM_BASE_HIGH, address >> 32),
        ):
            self._mmio.write(offset, value)
        found = self._read(registers.STREAM_BASE_LOW) | self._read(registers.STREAM_BASE_HIGH) << 32
        if found != address or address % self._word_bytes[port]:
            raise DeviceError(f"the reader of streamed layer {port} cannot begin at the address {address:#x} of its memory")

    def _read(self, offset: int) -> int:
        return int(self._mmio.read(offset))
