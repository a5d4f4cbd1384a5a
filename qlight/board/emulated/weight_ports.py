"""Streamed weights of an emulated accelerator: the registers of their readers, and what lies in the board's memory where they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qlight.board.emulated.memory import AddressError, Buffer, Memory
from qlight.hardware import registers
from qlight.hardware.dram import ADDRESS_BITS
from qlight.hardware.units import StreamedMvtu


@dataclass
class _Reader:
    """What a reader keeps: where it begins, the words that it got, and whether one came with an error."""

    base: int = 0
    words: int = 0
    error: bool = False


class WeightPorts:
    """The registers of qlight_weight_registers for a model of the accelerator; the model counts no cycles in which weights are awaited.

    Args:
        units: of the pipeline, in the order of their ports.
        memory: of the board; None where no layer is streamed.

    Attributes:
        go: whether the readers were started.
    """

    def __init__(self, units: Sequence[StreamedMvtu], memory: Memory | None) -> None:
        assert memory is not None or not units
        self.units, self._memory = units, memory
        self._readers = [_Reader() for _ in units]
        self._select = 0
        self.go = False

    def read(self, offset: int) -> int:
        """A register from `registers.STREAMS` on."""
        if not self.units:
            return 0
        unit, reader = self.units[self._select], self._readers[self._select]
        return {
            registers.STREAMS: len(self.units),
            registers.STREAM_SELECT: self._select,
            registers.STREAM_GO: 3 * self.go,
            registers.STREAM_BASE_LOW: reader.base & 0xFFFF_FFFF,
            registers.STREAM_BASE_HIGH: reader.base >> 32,
            registers.STREAM_WORD_BYTES: unit.port_bits // 8,
            registers.STREAM_IMAGE_WORDS: unit.dram_words,
            registers.STREAM_WORDS: reader.words & 0xFFFF_FFFF,
            registers.STREAM_WORDS + 4: reader.words >> 32,
            registers.STREAM_BUSY: reader.words & 0xFFFF_FFFF,  # a word a cycle
            registers.STREAM_BUSY + 4: reader.words >> 32,
            registers.STREAM_ERROR: int(reader.error),
        }.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write such a register."""
        if offset == registers.STREAM_SELECT and value < len(self.units):
            self._select = value
        elif offset == registers.STREAM_GO and self.units:
            self.go = bool(value & 1)
        elif offset in (registers.STREAM_BASE_LOW, registers.STREAM_BASE_HIGH) and self.units:
            reader = self._readers[self._select]
            low, high = reader.base & 0xFFFF_FFFF, reader.base >> 32
            low, high = (value, high) if offset == registers.STREAM_BASE_LOW else (low, value)
            reader.base = (high << 32 | low) & (1 << ADDRESS_BITS) - 1

    def clear(self) -> None:
        """As a write to CLEAR does."""
        for reader in self._readers:
            reader.words, reader.error = 0, False

    def place(self, port: int) -> tuple[int, Buffer | None]:
        """The address at which a reader begins, and the buffer that it lies in, if it does."""
        assert self._memory is not None
        base = self._readers[port].base
        try:
            return base, self._memory.at(base, 1)
        except AddressError:
            return base, None

    def fetch(self, images: int) -> tuple[bytes, ...] | None:
        """What the readers find for so many images, of each layer its bytes of DRAM; None where an address holds no memory of the board."""
        found = []
        for unit, reader in zip(self.units, self._readers, strict=True):
            assert self._memory is not None
            reader.words += images * unit.dram_words
            try:
                found.append(self._memory.read(reader.base, unit.dram_bytes))
            except AddressError:
                reader.error = True
        return tuple(found) if len(found) == len(self.units) else None
