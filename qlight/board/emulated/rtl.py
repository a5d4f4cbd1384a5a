"""The accelerator of an emulated board, gate by gate: the verilated top level, its AXI4-Lite registers and its streams."""

from __future__ import annotations

import ctypes
import threading

import numpy as np

from qlight.board.emulated.memory import Memory
from qlight.board.emulated.weight_ports import WeightPorts
from qlight.engines import native_rtlsim
from qlight.engines.rtlsim import Instance
from qlight.hardware import registers
from qlight.hardware.build import Build
from qlight.hardware.units import Mvtu
from qlight.intgraph.nodes import Array

#: images that go through at a time, back to back
_PIECE_IMAGES = 8


def prepared(build: Build) -> ctypes.CDLL:
    """The simulation of a build, compiled now if the cache does not hold it.

    Raises:
        HardwareError: verilator or a C++ compiler is missing.
    """
    units = [unit.name for unit in build.pipeline.units if isinstance(unit, Mvtu)]
    return native_rtlsim.load(native_rtlsim.compiled(build.sources, build.geometry_hash, len(build.pipeline.streamed), units))


class RtlCore:
    """A `Core` that is the RTL. Its memory ports read the board's memory by the addresses in the registers of their readers.

    Args:
        library: of `prepared`.
        memory: of the board; None where no layer is streamed.
    """

    def __init__(self, build: Build, library: ctypes.CDLL, memory: Memory | None = None) -> None:
        self.image_words = build.pipeline.image_bytes // 4
        self.piece = _PIECE_IMAGES * self.image_words
        self._instance = Instance(library, build, start=False)
        self._ports = WeightPorts(build.pipeline.streamed, memory)
        self._classes, self._chain = build.pipeline.classes, 4 * len(build.pipeline.units) + 16
        self._control = 0
        self._begun = 0  # words of an image that is not whole
        self._lock = threading.Lock()

    @property
    def takes_images(self) -> bool:
        return not self._control & registers.LOAD_MODE

    def read(self, offset: int) -> int:
        with self._lock:
            return self._instance.read(offset)

    def write(self, offset: int, value: int) -> None:
        with self._lock:
            if offset == registers.CONTROL:
                if self._control & registers.LOAD_MODE:  # the last words arrive
                    self._instance.step(self._chain)
                self._control = value & 3
                if value & registers.SOFT_RESET:
                    self._begun = 0
            elif offset >= registers.STREAMS:
                self._ports.write(offset, value)
                self._place()
            self._instance.write(offset, value)

    def push(self, words: Array) -> tuple[Array, Array]:
        with self._lock:
            self._place()  # buffers may be freed at any time
            if self._control & registers.SOFT_RESET:
                return np.empty(0, np.uint32), np.empty(0, np.bool_)  # the stream is not ready; nobody has a use for what waits
            pixels = len(words)
            if self._control & registers.LOAD_MODE:  # an image that has begun is finished first
                pixels = min(pixels, -self._begun % self.image_words)
            images, self._begun = divmod(self._begun + pixels, self.image_words)
            return self._instance.transfer(words, images * self._classes)

    def _place(self) -> None:
        """Let every memory port see the buffer that its reader's address is in: elsewhere it gets decode errors."""
        for port in range(len(self._ports.units)):
            base, buffer = self._ports.place(port)
            content = np.frombuffer(b"" if buffer is None else buffer.memory, np.uint8)
            self._instance.weights.place(port, content, base if buffer is None else buffer.address, decodes=True)

    def close(self) -> None:
        """The simulation goes with the last reference to it."""
