"""Everything of an emulated board that a daemon on it can touch: files, registers by physical address, memory, the programmable fabric."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from qlight.board.emulated.core import Core
from qlight.board.emulated.design import ACCELERATOR_BASE, BLOCK_BYTES, DMA_BASE, read_container
from qlight.board.emulated.dma import AxiDma
from qlight.board.emulated.faults import Fault, Faults
from qlight.board.emulated.memory import Memory
from qlight.errors import InputError

FIRMWARE = "/lib/firmware/"
MANAGER = "/sys/class/fpga_manager/fpga0/"
#: the processing system's own registers: memory here, what is written is read
_SYSTEM_BASE, _SYSTEM_END = 0xF900_0000, 0x1_0000_0000
#: IOPLL_CTRL: 33.333 MHz x 90 / 2 = 1,500 MHz, of which pynq makes the fabric's clocks
_SYSTEM = {0xFF5E_0020: 90 << 8 | 1 << 16}
_DISK_BYTES = 1 << 28
#: what the decoy of the fault wrong_bitstream is called among the designs
DECOY = "decoy"


class BusError(Exception):
    """An address at which nothing answers. On a board this stops the processor; here the daemon says it."""


class DiskFullError(Exception):
    """There is no room for a file."""


class Board:
    """A board after power-up: no design in the fabric, no files but the system's.

    Args:
        designs: geometry hash -> what makes the accelerator of that design on the board's memory; `DECOY`: what wrong_bitstream loads.
        faults: that come.
    """

    def __init__(self, designs: Mapping[str, Callable[[Memory], Core]], faults: Faults, disk_bytes: int = _DISK_BYTES) -> None:
        self.designs, self.faults, self.disk_bytes = designs, faults, disk_bytes
        self.memory = Memory()
        self._dma: AxiDma | None = None
        self._lock = threading.RLock()
        self._system = dict(_SYSTEM)
        self._disk_until = self._memory_until = 0.0
        self._files: dict[str, bytes] = {
            "/proc/version": b"Linux version 0 (emulated by qlight) aarch64\n",
            "/proc/device-tree/chosen/pynq_board": b"qlight-emulated\0",
            f"{MANAGER}state": b"power off\n",
            f"{MANAGER}flags": b"0\n",
        }

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def read_file(self, path: str) -> bytes:
        """The content of a file; nothing where there is none."""
        return self._files.get(path, b"")

    def write_file(self, path: str, content: bytes) -> None:
        """Write a file. One name in the manager's `firmware` configures the fabric.

        Raises:
            DiskFullError: there is no room; what there was room for is written.
        """
        with self._lock:
            if path.startswith(FIRMWARE):
                room = 0 if time.monotonic() < self._disk_until else self.disk_bytes - sum(map(len, self._files.values()))
                self._files[path] = content[:room]
                if room < len(content):
                    raise DiskFullError(f"no space left on device for {path}")
            elif path == f"{MANAGER}firmware":
                self._configure(self._files.get(FIRMWARE + content.decode("utf-8", "replace").strip(), b""))
            elif path == f"{MANAGER}flags":
                self._files[path] = content

    def read(self, address: int) -> int:
        """A register of 32 bits.

        Raises:
            BusError: there is none.
        """
        with self._lock:
            if _SYSTEM_BASE <= address < _SYSTEM_END:
                return self._system.get(address, 0)
            dma = self._configured(address)
        return dma.core.read(address - ACCELERATOR_BASE) if address >= ACCELERATOR_BASE else dma.read(address - DMA_BASE)

    def write(self, address: int, value: int) -> None:
        """Write a register.

        Raises:
            BusError: there is none.
        """
        with self._lock:
            if _SYSTEM_BASE <= address < _SYSTEM_END:
                self._system[address] = value
                return
            dma = self._configured(address)
        if address >= ACCELERATOR_BASE:
            dma.core.write(address - ACCELERATOR_BASE, value)
        else:
            dma.write(address - DMA_BASE, value)

    @property
    def allocates(self) -> bool:
        """Whether there is memory to allocate at this time."""
        return time.monotonic() >= self._memory_until

    def suffer(self, fault: Fault) -> None:
        """What a fault leaves on the board: another design, a disk or a memory that is full for a time."""
        if fault.kind == "wrong_bitstream":
            with self._lock:
                self._load(self.designs[DECOY](self.memory))
        if fault.kind == "full_disk":
            self._disk_until = time.monotonic() + fault.seconds
        if fault.kind == "out_of_memory":
            self._memory_until = time.monotonic() + fault.seconds

    def power_off(self) -> None:
        """End what runs."""
        with self._lock:
            self._load(None)

    def _configured(self, address: int) -> AxiDma:
        if not (DMA_BASE <= address < ACCELERATOR_BASE + BLOCK_BYTES):
            raise BusError(f"nothing answers at {address:#x}")
        if self._dma is None:
            raise BusError(f"nothing answers at {address:#x}: the fabric has no design")
        return self._dma

    def _configure(self, content: bytes) -> None:
        """Load the design that a file names; a file that is none leaves the fabric empty, as a damaged bitstream does."""
        self._load(None)
        try:
            geometry_hash, _ = read_container(content)
            make = self.designs[geometry_hash]
            self._load(make(self.memory))
        except (ValueError, KeyError, TypeError, InputError):
            self._files[f"{MANAGER}state"] = b"write error\n"

    def _load(self, core: Core | None) -> None:
        if self._dma is not None:
            self._dma.close()
            self._dma.core.close()
        self._dma = None if core is None else AxiDma(self.memory, core, self.faults)
        self._files[f"{MANAGER}state"] = b"power off\n" if core is None else b"operating\n"
