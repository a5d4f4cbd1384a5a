"""AXI DMA 7.1 in simple mode (PG021): its registers, and an engine that moves words between memory and an accelerator's streams.

The engine runs in a thread of its own, as the hardware beside the processor: a write of a length returns at once, the status says when the
transfer is over. A transfer to memory ends with the first TLAST; one that gets more words than it has room for is an internal error.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import numpy as np

from qlight.board.emulated.core import Core
from qlight.board.emulated.faults import Fault, Faults
from qlight.board.emulated.memory import AddressError, Memory
from qlight.intgraph.nodes import Array

log = logging.getLogger("qlight.board")

#: byte offsets within a channel, and of the second channel (to memory)
CONTROL, STATUS, ADDRESS, ADDRESS_HIGH, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
TO_MEMORY = 0x30
RUN, RESET = 0x1, 0x4
HALTED, IDLE, INTERNAL_ERROR, SLAVE_ERROR, DECODE_ERROR, COMPLETE = 0x1, 0x2, 0x10, 0x20, 0x40, 0x1000
#: the most bytes of a transfer: c_sg_length_width = 26
MOST_BYTES = 2**26 - 1


class ResetError(Exception):
    """The engine was reset in the middle of a transfer."""


@dataclass
class Channel:
    """One direction."""

    running: bool = False
    status: int = HALTED
    address: int = 0
    length: int = 0
    pending: bool = False

    def end(self, status: int) -> None:
        """A transfer is over: well (`IDLE`), or with an error, which halts the channel."""
        self.pending = False
        if status == IDLE:
            self.status |= IDLE | COMPLETE
        else:
            self.running = False
            self.status = status | HALTED


@dataclass
class _Answers:
    """Words that the accelerator gave and nobody has taken, and which of them end a packet."""

    words: Array = field(default_factory=lambda: np.empty(0, np.uint32))
    last: Array = field(default_factory=lambda: np.empty(0, np.bool_))

    def put(self, words: Array, last: Array) -> None:
        self.words, self.last = np.concatenate([self.words, words]), np.concatenate([self.last, last])

    def take(self, count: int) -> Array:
        taken, self.words, self.last = self.words[:count], self.words[count:], self.last[count:]
        return taken


class AxiDma:
    """The DMA with both channels, between `memory` and `core`. `close` ends its thread."""

    def __init__(self, memory: Memory, core: Core, faults: Faults) -> None:
        self.memory, self.core, self.faults = memory, core, faults
        self._state = threading.Condition()
        self._closed = False
        self._epoch = 0
        self._forget()
        self._thread = threading.Thread(target=self._work, name="axi-dma", daemon=True)
        self._thread.start()

    def read(self, offset: int) -> int:
        """A register; those that are not there read as 0."""
        with self._state:
            channel, register = self._place(offset)
            if register == CONTROL:
                return RUN if channel.running else 0
            if register == STATUS:
                return channel.status
            return {ADDRESS: channel.address & 0xFFFF_FFFF, ADDRESS_HIGH: channel.address >> 32, LENGTH: channel.length}.get(register, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; a length starts a transfer where the channel runs."""
        with self._state:
            channel, register = self._place(offset)
            if register == CONTROL:
                if value & RESET:
                    self._forget()
                elif value & RUN and not channel.running:
                    channel.running, channel.status = True, channel.status & ~HALTED
                elif not value & RUN and channel.running:
                    channel.running, channel.pending, channel.status = False, False, channel.status | HALTED | IDLE
            elif register == STATUS:
                channel.status &= ~(value & COMPLETE)
            elif register == ADDRESS:
                channel.address = channel.address >> 32 << 32 | value
            elif register == ADDRESS_HIGH:
                channel.address = channel.address & 0xFFFF_FFFF | value << 32
            elif register == LENGTH and channel.running and not channel.pending:
                channel.length = value & MOST_BYTES
                channel.status &= ~IDLE
                if value:
                    channel.pending = True
                else:
                    channel.end(INTERNAL_ERROR)
            self._state.notify_all()

    def close(self) -> None:
        """End the thread; a transfer under way is dropped."""
        with self._state:
            self._closed = True
            self._forget()
            self._state.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def _forget(self) -> None:
        """Both channels as after power-up: a reset through either resets the engine."""
        self._epoch += 1
        self._from_memory, self._to_memory = Channel(), Channel()
        self._answers = _Answers()
        self._damage = ""  # a fault of the next packet

    def _place(self, offset: int) -> tuple[Channel, int]:
        return (self._to_memory, offset - TO_MEMORY) if offset >= TO_MEMORY else (self._from_memory, offset)

    def _work(self) -> None:
        with self._state:
            while not self._closed:
                try:
                    if self._from_memory.pending:
                        self._send(self._from_memory)
                    elif not (self._to_memory.pending and self._receive(self._to_memory)):
                        self._state.wait()
                except ResetError:
                    continue
                except Exception:  # a fault of the emulation, or of the RTL in it: no answer, and a trace of why
                    log.exception("the accelerator fails")
                    self._from_memory.end(SLAVE_ERROR)

    def _send(self, channel: Channel) -> None:
        """Memory to the accelerator, piece by piece; the lock is free while the accelerator works."""
        epoch = self._epoch
        try:
            words = np.frombuffer(self.memory.read(channel.address, channel.length // 4 * 4), np.uint32)
        except AddressError:
            channel.end(DECODE_ERROR)
            return
        for start in range(0, len(words), self.core.piece):
            piece = words[start : start + self.core.piece]
            fault = self.faults.take(len(piece) // self.core.image_words) if self.core.takes_images else None
            if fault is not None and fault.kind == "slave_error":
                channel.end(SLAVE_ERROR)
                return
            if fault is not None and fault.kind == "short_input":
                piece = piece[:-1]
            found, last = self._through_core(piece, fault, epoch)
            if fault is not None and fault.kind == "decode_error":
                self._to_memory.end(DECODE_ERROR)
            if fault is not None and fault.kind in ("short_output", "long_output"):
                self._damage = fault.kind
            if fault is not None and fault.kind == "corrupt_output" and len(found):
                found[len(found) // 2] ^= 1 << 4
            self._answers.put(found, self._damaged(last))
            if self._to_memory.pending:
                self._receive(self._to_memory)
        channel.end(IDLE)

    def _through_core(self, words: Array, fault: Fault | None, epoch: int) -> tuple[Array, Array]:
        """What the accelerator answers to words.

        Raises:
            ResetError: the engine was reset meanwhile; what the accelerator answered is lost.
        """
        if fault is not None and fault.kind in ("delay", "freeze"):
            seconds = fault.seconds if fault.kind == "delay" else None
            self._state.wait_for(lambda: self._epoch != epoch or self._closed, seconds)
        self._still(epoch)
        self._state.release()
        try:
            if fault is not None and fault.kind in ("hang", "crash", "wrong_bitstream", "full_disk", "out_of_memory"):
                self.faults.on_crash(fault)
            found = self.core.push(words)
        finally:
            self._state.acquire()
        self._still(epoch)
        return found

    def _still(self, epoch: int) -> None:
        if self._epoch != epoch:
            raise ResetError

    def _damaged(self, last: Array) -> Array:
        """Where packets end, after a fault: one a word too early, or one not at all."""
        ends = np.flatnonzero(last)
        if self._damage == "short_output" and len(last) > 1:
            self._damage = ""
            last[(ends[0] if len(ends) else len(last)) - 1] = True
        elif self._damage == "long_output" and len(ends):
            self._damage = ""
            last[ends[0]] = False
        return last

    def _receive(self, channel: Channel) -> bool:
        """Answers to memory, up to the first that ends a packet; whether that ended the transfer."""
        room, ends = channel.length // 4, np.flatnonzero(self._answers.last)
        packet = int(ends[0]) + 1 if len(ends) else None
        if packet is None and len(self._answers.words) <= room:
            return False  # the packet goes on
        try:
            self.memory.write(channel.address, self._answers.take(min(packet or room, room)).tobytes())
        except AddressError:
            channel.end(DECODE_ERROR)
            return True
        if packet is None or packet > room:
            channel.end(INTERNAL_ERROR)
        else:
            channel.length = 4 * packet
            channel.end(IDLE)
        return True
