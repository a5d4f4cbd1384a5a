"""What lies behind the memory ports of a simulated top level: the weights of streamed layers, and what was read of them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from qlight.hardware.dram import DEPTH
from qlight.hardware.registers import (
    STREAM_BASE_HIGH,
    STREAM_BASE_LOW,
    STREAM_BUSY,
    STREAM_GO,
    STREAM_SELECT,
    STREAM_STARVED,
    STREAM_WORDS,
)
from qlight.hardware.units import StreamedMvtu
from qlight.intgraph.nodes import Array

#: where the weights of port k lie: (k + 1) of these, so that both halves of an address count
_REGION = 1 << 32


class MemoryTiming(NamedTuple):
    """How fast a memory is.

    Attributes:
        latency: cycles until a burst's first word, beyond the one that it takes at least.
        gap: 0: a word a cycle; else none every so many cycles.
    """

    latency: int = 0
    gap: int = 0


class Traffic(NamedTuple):
    """Of a memory port, as the hardware counted since its reset: bytes that came, cycles with reads outstanding, cycles without weights."""

    bytes: int
    busy: int
    starved: int


class Registers(Protocol):
    """AXI4-Lite registers, and a clock."""

    def write(self, address: int, value: int) -> None: ...

    def read(self, address: int) -> int: ...

    def step(self, cycles: int) -> None: ...


class WeightMemory:
    """The memory ports of one simulated top level.

    Args:
        units: of the pipeline, in the order of the ports.
        library, handle: of the simulation.
        registers: its registers.
        checked: raises where a call of the library fails.
    """

    def __init__(
        self,
        units: Sequence[StreamedMvtu],
        library: ctypes.CDLL,
        handle: int,
        registers: Registers,
        checked: Callable[[int], int],
        timing: MemoryTiming,
    ) -> None:
        self._units, self._library, self._handle = units, library, handle
        self._registers, self._checked, self._timing = registers, checked, timing
        self._kept: dict[int, Array] = {}  # the library reads them

    def fill(self, weights: Sequence[Array]) -> None:
        """Put what `qlight.hardware.packing.dram_weights` gives behind the ports; readers must not run."""
        for port, content in enumerate(weights):
            base = _REGION * (port + 1)
            self.place(port, np.ascontiguousarray(content, np.uint8), base)
            self._registers.write(STREAM_SELECT, port)
            self._registers.write(STREAM_BASE_LOW, base & 0xFFFFFFFF)
            self._registers.write(STREAM_BASE_HIGH, base >> 32)

    def place(self, port: int, content: Array, base: int, decodes: bool = False) -> None:
        """Let a port find ``content`` at the address ``base`` and up, and nothing elsewhere.

        Args:
            content: uint8, contiguous; what is written to it later is seen.
            decodes: answer a wrong address by a decode error, as a board does; else it is a `SimulationError`.
        """
        arguments = (port, content.ctypes.data, len(content), base, self._timing.latency, self._timing.gap, decodes)
        self._checked(self._library.qlight_memory(self._handle, *arguments))
        self._kept[port] = content

    def start(self) -> None:
        """Start the readers, and wait until they have fetched what they can."""
        if self._units:
            self._registers.write(STREAM_GO, 1)
            self.settle()

    def settle(self) -> None:
        """Wait until everything that fits is fetched."""
        if self._units:
            words = max(DEPTH + (2 * unit.synapse_folds + 3) * -(-unit.row_bits // unit.port_bits) for unit in self._units)
            bursts = self._timing.latency * (words // 16 + 2)
            self._registers.step((2 if self._timing.gap else 1) * words + bursts + 50)

    def traffic(self) -> tuple[Traffic, ...]:
        """Of every port."""
        found = []
        for port, unit in enumerate(self._units):
            self._registers.write(STREAM_SELECT, port)
            words, busy, starved = (self._counter(low) for low in (STREAM_WORDS, STREAM_BUSY, STREAM_STARVED))
            found.append(Traffic(words * unit.port_bits // 8, busy, starved))
        return tuple(found)

    def given(self) -> list[int]:
        """Bytes that the memory gave at each port: what the hardware should have counted."""
        given = self._library.qlight_memory_words
        return [given(self._handle, port) * unit.port_bits // 8 for port, unit in enumerate(self._units)]

    def _counter(self, low: int) -> int:
        return self._registers.read(low) | self._registers.read(low + 4) << 32
