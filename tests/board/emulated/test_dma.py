"""The emulated AXI DMA against PG021: what each register write does, and what ends a transfer, well or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from qlight.board.emulated.dma import (
    ADDRESS,
    COMPLETE,
    CONTROL,
    DECODE_ERROR,
    HALTED,
    IDLE,
    INTERNAL_ERROR,
    LENGTH,
    RESET,
    RUN,
    SLAVE_ERROR,
    STATUS,
    TO_MEMORY,
    AxiDma,
)
from qlight.board.emulated.faults import Fault, Faults
from qlight.board.emulated.memory import BASE, PAGE, AddressError, Buffer, Memory
from qlight.intgraph.nodes import Array

PACKET = 4


class Echo:
    """Gives every word back; every fourth ends a packet."""

    image_words, piece, takes_images = 1, 3, True

    def __init__(self) -> None:
        self.passed = 0

    def read(self, offset: int) -> int:
        return offset

    def write(self, offset: int, value: int) -> None:
        raise NotImplementedError

    def push(self, words: Array) -> tuple[Array, Array]:
        last = (np.arange(self.passed + 1, self.passed + 1 + len(words)) % PACKET) == 0
        self.passed += len(words)
        return words, last

    def close(self) -> None:
        pass


class Bench:
    """A DMA with a buffer for each direction."""

    def __init__(self) -> None:
        self.memory, self.faults = Memory(1 << 20), Faults()
        self.dma = AxiDma(self.memory, Echo(), self.faults)
        self.source, self.target = self._buffer(64), self._buffer(64)
        self.words = np.arange(100, 116, dtype=np.uint32)
        self.source.cached[:] = self.words.tobytes()
        self.source.flush()

    def _buffer(self, size: int) -> Buffer:
        found = self.memory.allocate(size)
        assert found is not None
        return found

    def start(self, channel: int, address: int, size: int) -> None:
        self.dma.write(channel + ADDRESS, address)
        self.dma.write(channel + LENGTH, size)

    def run(self) -> None:
        for channel in (0, TO_MEMORY):
            self.dma.write(channel + CONTROL, RUN)

    def status(self, channel: int, wanted: Callable[[int], object] = lambda status: status & (IDLE | HALTED)) -> int:
        """The status once it is as wanted."""
        until = time.monotonic() + 5
        while not wanted(self.dma.read(channel + STATUS)):
            assert time.monotonic() < until, f"status {self.dma.read(channel + STATUS):#x}"
            time.sleep(0.001)
        return self.dma.read(channel + STATUS)

    def received(self) -> list[int]:
        self.target.invalidate()
        return np.frombuffer(self.target.cached, np.uint32).tolist()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.dma.close()


def test_after_power_up_both_channels_are_halted_and_a_length_starts_nothing(bench: Bench) -> None:
    assert [bench.dma.read(channel + STATUS) for channel in (0, TO_MEMORY)] == [HALTED, HALTED]
    bench.start(0, bench.source.address, 64)
    assert bench.dma.read(STATUS) == HALTED
    bench.run()
    assert [bench.dma.read(channel + STATUS) for channel in (0, TO_MEMORY)] == [0, 0]
    assert not bench.dma.core.passed  # type: ignore[attr-defined]


def test_a_transfer_ends_with_its_packet_and_says_how_long_it_was(bench: Bench) -> None:
    bench.run()
    bench.start(TO_MEMORY, bench.target.address, 64)
    bench.start(0, bench.source.address, 24)
    assert bench.status(0) == IDLE | COMPLETE
    assert bench.status(TO_MEMORY) == IDLE | COMPLETE
    assert bench.dma.read(TO_MEMORY + LENGTH) == 4 * PACKET
    assert bench.received() == [100, 101, 102, 103] + [0] * 12
    bench.dma.write(TO_MEMORY + STATUS, COMPLETE)
    assert bench.dma.read(TO_MEMORY + STATUS) == IDLE
    bench.start(TO_MEMORY, bench.target.address, 64)  # two words wait: their packet goes on
    assert bench.dma.read(TO_MEMORY + STATUS) == 0
    bench.start(0, bench.source.address, 8)
    assert bench.status(TO_MEMORY) == IDLE | COMPLETE
    assert bench.received()[:4] == [104, 105, 100, 101]


def test_the_dma_sees_what_was_flushed_only_and_the_processor_what_it_invalidates(bench: Bench) -> None:
    bench.source.cached[:4] = b"\xff" * 4
    bench.run()
    bench.start(TO_MEMORY, bench.target.address, 64)
    bench.start(0, bench.source.address, 16)
    bench.status(TO_MEMORY)
    assert not any(bench.target.cached)
    assert bench.received()[0] == 100


@pytest.mark.parametrize(("size", "where", "error"), [(8, 0, INTERNAL_ERROR), (64, 1 << 19, DECODE_ERROR), (64, 4, DECODE_ERROR)])
def test_a_packet_that_does_not_fit_and_an_address_where_no_buffer_is(bench: Bench, size: int, where: int, error: int) -> None:
    bench.run()
    bench.start(TO_MEMORY, bench.target.address + where, size)
    if error == DECODE_ERROR and where == 4:
        bench.start(TO_MEMORY, bench.target.address, size)  # a length while a transfer is pending changes nothing
        bench.dma.write(TO_MEMORY + ADDRESS, bench.target.address + 60)
    bench.start(0, bench.source.address, 16)
    assert bench.status(TO_MEMORY) == error | HALTED
    bench.start(TO_MEMORY, bench.target.address, 64)
    assert bench.dma.read(TO_MEMORY + STATUS) == error | HALTED
    bench.dma.write(CONTROL, RESET)  # of either channel: of both
    assert [bench.dma.read(channel + STATUS) for channel in (0, TO_MEMORY)] == [HALTED, HALTED]


def test_a_source_address_without_a_buffer_and_a_length_of_zero(bench: Bench) -> None:
    bench.run()
    bench.start(0, BASE - PAGE, 16)
    assert bench.status(0) == DECODE_ERROR | HALTED
    bench.dma.write(TO_MEMORY + CONTROL, RESET)
    bench.run()
    bench.start(0, bench.source.address, 0)
    assert bench.status(0) == INTERNAL_ERROR | HALTED


@pytest.mark.parametrize(
    ("kind", "sent", "received"),
    [
        ("slave_error", SLAVE_ERROR | HALTED, 0),
        ("decode_error", IDLE | COMPLETE, DECODE_ERROR | HALTED),
        ("short_input", IDLE | COMPLETE, 0),
        ("short_output", IDLE | COMPLETE, IDLE | COMPLETE),
        ("long_output", IDLE | COMPLETE, 0),
    ],
)
def test_faults_of_a_transfer(bench: Bench, kind: str, sent: int, received: int) -> None:
    bench.faults.arm(Fault(kind, 1))
    bench.run()
    bench.start(TO_MEMORY, bench.target.address, 16)
    bench.start(0, bench.source.address, 16)
    assert bench.status(0) == sent
    assert bench.dma.read(TO_MEMORY + STATUS) == received
    if kind == "short_output":
        assert bench.dma.read(TO_MEMORY + LENGTH) == 12
    assert [fault.kind for fault in bench.faults.happened] == [kind]


def test_a_delay_ends_and_a_freeze_does_not_until_the_reset(bench: Bench) -> None:
    bench.faults.arm(Fault("delay", 0, 0.05))
    bench.run()
    bench.start(TO_MEMORY, bench.target.address, 64)
    bench.start(0, bench.source.address, 16)
    assert bench.status(TO_MEMORY) == IDLE | COMPLETE
    bench.faults.arm(Fault("freeze"))
    bench.start(TO_MEMORY, bench.target.address, 64)
    bench.start(0, bench.source.address, 16)
    time.sleep(0.02)
    assert [bench.dma.read(channel + STATUS) for channel in (0, TO_MEMORY)] == [COMPLETE, COMPLETE]  # of the transfers before
    bench.dma.write(CONTROL, RESET)
    bench.run()
    bench.start(TO_MEMORY, bench.target.address, 64)
    bench.start(0, bench.source.address, 16)
    assert bench.status(TO_MEMORY) == IDLE | COMPLETE


def test_memory_gives_gaps_out_again_and_refuses_what_does_not_fit() -> None:
    memory = Memory(4 * PAGE)
    first, second, third = (memory.allocate(size) for size in (PAGE, 1, 2 * PAGE))
    assert first is not None
    assert second is not None
    assert third is not None
    assert [buffer.address - BASE for buffer in (first, second, third)] == [0, PAGE, 2 * PAGE]
    assert memory.allocate(1) is None
    assert memory.allocate(0) is None
    memory.free(second)
    assert memory.allocate(PAGE + 1) is None
    again = memory.allocate(PAGE)
    assert again is not None
    assert again.address == BASE + PAGE
    memory.write(again.address + 1, b"abc")
    assert memory.read(again.address, 5) == b"\0abc\0"
    with pytest.raises(AddressError):
        memory.read(first.address + PAGE - 1, 2)  # the end of one buffer and the beginning of another
