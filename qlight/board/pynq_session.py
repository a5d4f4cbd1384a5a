"""One connection to an accelerator through pynq: the overlay, its DMA and registers, buffers. Whatever it does may hang or raise anything.

Works with the pynq of a board's image and, with `remote`, with PYNQ.remote (pynq 4). What pynq does not do, and is done here: transfers
that end at a deadline, a reset of the DMA, a bitstream on the board that is whole. Whole buffers only: pynq flushes a slice at the wrong
place.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from qlight.board.accelerator import DeviceError, DeviceTimeout, Parameters
from qlight.board.locking import alone
from qlight.board.overlay import DMA_TYPE, Overlay
from qlight.board.weight_buffers import WeightBuffers
from qlight.hardware import registers

#: where a daemon keeps bitstreams, and what says whether the fabric took one
FIRMWARE, STATE_FILE = "/lib/firmware/", "/sys/class/fpga_manager/fpga0/state"
#: AXI DMA: where the status is, and the registers of the direction to memory; the bit of the control register (offset 0) that resets both
_STATUS, _TO_MEMORY, _DMA_RESET = 0x04, 0x30, 4
#: bits of the status
_HALTED, _ERRORS = 0x1, {0x10: "an internal error", 0x20: "a slave error", 0x40: "a decode error"}
#: seconds between two looks at a transfer, at first and at most
_LOOKS = (20e-6, 1e-3)
#: seconds that the DMA may take to reset itself
_RESET_SECONDS = 1.0


class Session:
    """The accelerator behind pynq, loaded and at rest.

    Args:
        overlay: named by its content (`named_by_content`).
        remote: address of a PYNQ.remote daemon; None: the board that this runs on.
        lock: a file; pynq keeps state beside its own code, so processes that share it must not load overlays at once.

    Raises:
        Exception: whatever pynq raises, and DeviceError.
    """

    def __init__(self, overlay: Overlay, remote: str | None, lock: Path) -> None:
        pynq, self.device = _device(remote)
        self.pynq = pynq
        self._buffers: dict[int, tuple[Any, Any]] = {}
        if not overlay.dma_type.startswith(f"{DMA_TYPE}:"):
            _drive_dma(overlay.dma_type)
        with alone(lock), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of clocks that are a little off, and of memories that are not used here
            _forget_handoff(getattr(pynq, "__path__", ()))
            self.overlay = pynq.Overlay(str(overlay.bitstream), download=False, device=self.device)
            if remote is not None:
                self._mend_bitstream(overlay.bitstream.stem)
            self.overlay.download()
        if remote is not None and b"operating" not in self.device.read_file(STATE_FILE):
            raise DeviceError("the board's fabric did not take the bitstream; is its disk full, or is it of another part?")
        self.dma = getattr(self.overlay, overlay.dma)
        self.registers = getattr(self.overlay, overlay.accelerator).mmio
        self.version = str(pynq.__version__)
        self.check_identity()
        self.image_bytes, self.classes = self.read(registers.IMAGE_BYTES), self.read(registers.CLASSES)
        self.weights = WeightBuffers(self.registers, self._allocate)
        self.registers.write(registers.PACKET, 1)
        #: whether a packet, which ends a transfer, can have several images
        self.packets = self.read(registers.PACKET) == 1
        self.rest()

    def read(self, offset: int) -> int:
        """A register of the accelerator."""
        return int(self.registers.read(offset))

    def read_hash(self, offsets: tuple[int, ...]) -> str:
        """64 hexadecimal digits of eight registers."""
        return "".join(f"{self.read(offset):08x}" for offset in offsets)

    def check_identity(self) -> None:
        """See that an accelerator of qlight answers.

        Raises:
            DeviceError: something else does.
        """
        found = self.read(registers.ID)
        if found != registers.ID_VALUE:
            raise DeviceError(f"the fabric does not hold an accelerator of qlight: its first register is {found:#010x}")

    def rest(self) -> None:
        """Reset the DMA and the accelerator; parameters stay.

        Raises:
            DeviceTimeout: the DMA does not come back.
        """
        until = time.monotonic() + _RESET_SECONDS
        self.dma.mmio.write(0, _DMA_RESET)
        while self.dma.mmio.read(0) & _DMA_RESET:
            if time.monotonic() > until:
                raise DeviceTimeout("the DMA does not come back from its reset")
            time.sleep(_LOOKS[0])
        self.registers.write(registers.CONTROL, registers.SOFT_RESET)
        self.registers.write(registers.CONTROL, registers.RUN)
        self.registers.write(registers.CLEAR, 0)
        self.dma.sendchannel.start()
        self.dma.recvchannel.start()
        self.images = 0

    def run(self, pixels: np.ndarray[Any, Any], until: float, capacity: int) -> np.ndarray[Any, Any]:
        """Accumulators int32 N x classes of uint8 N x image_bytes, by the time `until` (`time.monotonic`).

        Args:
            capacity: images that the buffers are made for at most.

        Raises:
            DeviceTimeout: they are not there by then.
            DeviceError: the DMA or the memory of the weights reports an error, there are not as many bytes or images as there must be, or
                no weights yet.
        """
        if self.weights.sizes and not self.weights.loaded:
            raise DeviceError("the weights of its streamed layers are not loaded")
        count = len(pixels)
        source, target = self._room(min(1 << (count - 1).bit_length(), capacity))
        source[:count] = pixels
        each = self.classes * 4
        if self.packets:
            self.registers.write(registers.PACKET, count)
        for start, images in [(0, count)] if self.packets else [(image, 1) for image in range(count)]:
            self.dma.recvchannel.transfer(target, start=start * each, nbytes=images * each)
            if start == 0:
                self.dma.sendchannel.transfer(source, nbytes=count * self.image_bytes)
            self._wait(self.dma.recvchannel, "answers", until)
            self.dma.recvchannel.wait()  # it is over: this makes the answers visible
            if self.dma.recvchannel.transferred != images * each:
                raise DeviceError(f"the DMA brought {self.dma.recvchannel.transferred} bytes of answers where {images * each} must be")
        self._wait(self.dma.sendchannel, "images", until)
        self.images = self.images + count & 0xFFFF_FFFF
        seen = self.read(registers.IMAGES)
        if seen != self.images:
            raise DeviceError(f"the accelerator has answered {seen} images since its reset, and {self.images} were sent")
        self.weights.check()
        return np.array(target[:count], np.int32)

    def load(self, parameters: Parameters, until: float) -> None:
        """Put weights into DRAM, and load parameters through the DMA; the hash is written when all are there, so that it is never that of
        half a load.

        Raises:
            DeviceTimeout, DeviceError: as `run`; or there is no memory.
        """
        for offset in registers.GRAPH_HASH:
            self.registers.write(offset, 0)
        self.registers.write(registers.CONTROL, registers.LOAD_MODE)
        self.weights.put(parameters.weights)
        self._send(parameters.words, until)
        taken = self.read(registers.LOADED)
        self.registers.write(registers.CONTROL, registers.RUN)
        if taken != len(parameters.words):
            raise DeviceError(f"the accelerator took {taken} of {len(parameters.words)} parameter words")
        self.weights.start()
        for index, offset in enumerate(registers.GRAPH_HASH):
            self.registers.write(offset, int(parameters.graph_hash[8 * index : 8 * index + 8], 16))

    def counters(self) -> dict[str, Any]:
        """What the accelerator counted since it was reset."""
        cycles = self.read(registers.CYCLES_LOW) | self.read(registers.CYCLES_HIGH) << 32
        named = {"images": registers.IMAGES, "stalled_in": registers.STALL_IN, "stalled_out": registers.STALL_OUT}
        return {"cycles": cycles} | {name: self.read(offset) for name, offset in named.items()} | {"streamed": self.weights.counters()}

    def close(self) -> None:
        """Give the buffers back."""
        self.weights.close()
        while self._buffers:
            for buffer in self._buffers.popitem()[1]:
                buffer.freebuffer()

    def cut(self) -> None:
        """Break the connection to a remote board: calls that hang in it end, and those that wait there are not carried out."""
        client = getattr(self.device, "client", None)
        if client is not None:
            client.channel.close()

    def _send(self, words: np.ndarray[Any, Any], until: float) -> None:
        """Parameter words through the DMA."""
        if not len(words):
            return
        buffer = self._allocate((len(words),), np.uint32, "parameters")
        try:
            buffer[:] = words
            self.dma.sendchannel.transfer(buffer)
            self._wait(self.dma.sendchannel, "parameters", until)
        finally:
            buffer.freebuffer()

    def _wait(self, channel: Any, what: str, until: float) -> None:
        """See a transfer end; pynq's own `wait` would wait for ever."""
        pause = _LOOKS[0]
        while True:
            for offset in (_TO_MEMORY + _STATUS, _STATUS):  # where one direction fails, the other waits
                status = int(self.dma.mmio.read(offset))
                for bit, name in _ERRORS.items():
                    if status & bit:
                        raise DeviceError(f"the DMA stopped with {name} while it moved {what}")
                if status & _HALTED:
                    raise DeviceError(f"the DMA was stopped while it moved {what}")
            if channel.idle:
                return
            if time.monotonic() > until:
                raise DeviceTimeout(f"the {what} have not passed the accelerator in time")
            time.sleep(pause)
            pause = min(2 * pause, _LOOKS[1])

    def _room(self, images: int) -> tuple[Any, Any]:
        """Buffers for images and answers, a pair for each power of two: pynq moves whole buffers, so a small batch wants small ones."""
        if images not in self._buffers:
            source = self._allocate((images, self.image_bytes), np.uint8, "images")
            try:
                self._buffers[images] = source, self._allocate((images, self.classes), np.int32, "answers")
            except DeviceError:
                source.freebuffer()
                raise
        return self._buffers[images]

    def _allocate(self, shape: tuple[int, ...], kind: type[np.generic], what: str) -> Any:
        """A buffer.

        Raises:
            DeviceError: there is no memory; a remote board only hints at it.
        """
        problem = f"the board has no memory for {math.prod(shape) * np.dtype(kind).itemsize} contiguous bytes (CMA) of {what}"
        try:
            buffer = self.pynq.allocate(shape, dtype=kind, target=self.device)
        except (MemoryError, RuntimeError) as error:
            raise DeviceError(f"{problem}: {error}") from error
        if getattr(buffer, "buffer_id", None) == "":
            buffer.freed = True
            raise DeviceError(problem)
        return buffer

    def _mend_bitstream(self, stem: str) -> None:
        """Send the bitstream again where the board has one of this name that is not it: pynq sends none whose name is there."""
        name, content = f"{FIRMWARE}{stem}.bin", self.overlay.parser.bin_data
        if self.device.exists_file(name).exists and self.device.read_file(name) != content:
            self.device.write_file(name, content)


def _forget_handoff(package: Iterable[str]) -> None:
    """Have pynq read the handoff file that is there: it keeps the last one read, and looks at the bitstream alone to take it again."""
    for folder in package:
        with contextlib.suppress(OSError):  # none is kept, or one that is not this user's to remove, nor to write
            (Path(folder) / "pl_server" / "_current_metadata.pkl").unlink()


def _drive_dma(kind: str) -> None:
    """Let pynq drive a DMA of this type, which has the registers of the vendor's, as it drives that one.

    pynq keeps every driver class that names the types that it is for.
    """
    from pynq.lib.dma import DMA  # pyright: ignore[reportMissingImports]

    class OpenDma(DMA):
        bindto = (kind,)


def _device(remote: str | None) -> tuple[Any, Any]:
    """The package pynq, and its device.

    Raises:
        DeviceError: pynq is not installed, was imported for another kind of board, or the board does not answer.
    """
    if remote is not None:
        if "pynq" in sys.modules and not os.environ.get("PYNQ_REMOTE_DEVICES"):
            raise DeviceError("pynq was imported for the board that this runs on; a remote one needs a process of its own")
        os.environ["PYNQ_REMOTE_DEVICES"] = remote  # pynq looks at it when it is imported
    try:
        import pynq  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DeviceError(f"pynq is not installed here ({error}); it comes with a board's image") from error
    if remote is None:
        return pynq, pynq.Device.active_device
    from pynq.pl_server.remote_device import RemoteDevice  # pyright: ignore[reportMissingImports]

    device = RemoteDevice(0, remote)
    pynq.Device.active_device = device
    if "_real_instance" in vars(pynq.Clocks):  # it keeps the first device's registers, whatever device it is set to
        del pynq.Clocks._real_instance
    return pynq, device
