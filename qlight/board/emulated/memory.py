"""The board's memory for DMA: buffers with physical addresses, and what the processor's caches hide from the DMA."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

#: where the allocator's memory begins, beyond 4 GiB as on an UltraScale+ with that much, the bytes that it has, and of a page
BASE, SIZE, PAGE = 0x8_4000_0000, 1 << 28, 4096


class AddressError(Exception):
    """A DMA access outside all buffers: on a board a decode error."""


@dataclass
class Buffer:
    """Memory that the processor and the DMA see through different doors.

    Attributes:
        address: physical.
        cached: what the processor reads and writes.
        memory: what the DMA reads and writes; `flush` and `invalidate` copy.
    """

    address: int
    size: int
    cached: bytearray = field(init=False)
    memory: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.cached, self.memory = bytearray(self.size), bytearray(self.size)

    def flush(self) -> None:
        """Let the DMA see what the processor wrote."""
        self.memory[:] = self.cached

    def invalidate(self) -> None:
        """Let the processor see what the DMA wrote."""
        self.cached[:] = self.memory


class Memory:
    """The allocator. Threads may share it."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self._buffers: list[Buffer] = []  # by address
        self._lock = threading.Lock()

    def allocate(self, size: int) -> Buffer | None:
        """A buffer of `size` bytes in the first gap that takes it, or None where none does."""
        with self._lock:
            address = BASE
            for index, buffer in enumerate([*self._buffers, None]):
                end = BASE + self.size if buffer is None else buffer.address
                if 0 < size <= end - address:
                    found = Buffer(address, size)
                    self._buffers.insert(index, found)
                    return found
                if buffer is not None:
                    address = buffer.address + -(-buffer.size // PAGE) * PAGE
            return None

    def free(self, buffer: Buffer) -> None:
        """Give a buffer back; its address may be given out again."""
        with self._lock:
            self._buffers = [each for each in self._buffers if each is not buffer]

    def read(self, address: int, size: int) -> bytes:
        """What the DMA finds.

        Raises:
            AddressError: not all of it is in one buffer.
        """
        buffer = self.at(address, size)
        start = address - buffer.address
        return bytes(buffer.memory[start : start + size])

    def write(self, address: int, content: bytes) -> None:
        """What the DMA leaves.

        Raises:
            AddressError: not all of it goes into one buffer.
        """
        buffer = self.at(address, len(content))
        start = address - buffer.address
        buffer.memory[start : start + len(content)] = content

    def at(self, address: int, size: int) -> Buffer:
        """The buffer that these bytes are of.

        Raises:
            AddressError: not all of them are in one buffer.
        """
        with self._lock:
            for buffer in self._buffers:
                if buffer.address <= address and address + size <= buffer.address + buffer.size:
                    return buffer
        raise AddressError(f"no buffer holds {size} bytes at {address:#x}")
