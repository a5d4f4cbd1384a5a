"""An accelerator under cocotb: clock, both streams, registers, what moves inside, and a count of what its counters should count.

As in `hw.tb.common.streams` the testbench makes the clock: inputs change while it is low, signals are read just before it rises.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cocotb.triggers import Timer

from hw.tb.common.axilite import AxiLite
from hw.tb.network.bench import MONITORED, PORTS
from hw.tb.network.cases import Case
from hw.tb.network.dram import Dram
from hw.tb.network.layers import difference
from qlight.hardware.registers import CLEAR, CONTROL, CYCLES_HIGH, CYCLES_LOW, IMAGES, PACKET, RUN, SOFT_RESET, STALL_IN, STALL_OUT
from qlight.intgraph import execute

__all__ = ["Accelerator", "bursts", "steady"]

_HALF = Timer(1, "ns")
Pattern = Callable[[], bool]


def steady(rng: random.Random, chance: float = 1.0) -> Pattern:
    """Yes with this chance in every cycle."""
    return (lambda: True) if chance == 1 else (lambda: rng.random() < chance)


def bursts(rng: random.Random, on: int, off: int) -> Pattern:
    """Yes for up to `on` cycles, no for up to `off`, in turns."""
    state = [0, False]

    def pattern() -> bool:
        if not state[0]:
            state[1] = not state[1]
            state[0] = rng.randint(1, on if state[1] else off)
        state[0] -= 1
        return bool(state[1])

    return pattern


class Accelerator:
    """Instance `index` of module `bench`. Every `tick` is a cycle of all streams; register accesses take as many as they need."""

    def __init__(self, dut: Any, index: int, case: Case, seed: int) -> None:
        prefix = f"c{index}_"
        self._port = {name: getattr(dut, prefix + name) for _, name, _ in PORTS}
        self._clk, self._status = self._port["clk"], getattr(dut, prefix + "status")
        self._s_data, self._s_valid, self._m_ready = (self._port[name] for name in ("s_axis_tdata", "s_axis_tvalid", "m_axis_tready"))
        self._m_data, self._m_last = self._port["m_axis_tdata"], self._port["m_axis_tlast"]
        self._taps = [getattr(dut, f"{prefix}tap_{k}") for k in range(len(case.taps))]
        self._beats = [getattr(dut, f"{prefix}beats_{k}") for k in range(len(case.units))]
        self._broken = getattr(dut, prefix + "broken") if case.units else None
        self.case = case
        self.dram = Dram(dut, prefix, case, seed)
        self._image_words, self._classes = case.image_words, case.classes
        self.rng = random.Random(seed)
        self.lite = AxiLite(self._port.__getitem__, self.tick, self.rng)
        self.source = self.sink = steady(self.rng)
        self.to_send: deque[tuple[int, bool]] = deque()  # words, and whether they are an image's
        self.cycle, self.packet = 0, 1
        self._ready = False
        self.clear_counts()
        self.forget()

    def clear_counts(self) -> None:
        """Counters as after CLEAR."""
        self.images = self.cycles = self.stall_in = self.stall_out = 0

    def forget(self) -> None:
        """Nothing is in flight, as after a reset of the pipeline."""
        self.to_send.clear()
        self._offered, self._held = False, None
        self._s_valid.value = 0
        self.words_in = 0  # of images, taken
        self.in_flight = 0  # images of which a word was taken, and not yet the last logit
        self.logits: list[int] = []
        self.in_packet = 0
        self.ends: list[int] = []  # cycles from the first word in to the last logit of every image, both included
        self._start = 0
        self.due_logits: list[int] = []
        self.passed: list[list[int]] = [[] for _ in self._taps]  # beats of each layer's output
        self.due: list[list[int | None]] = [[] for _ in self._taps]

    async def reset(self, cycles: int = 2) -> None:
        """Reset with inputs idle; afterwards nothing must be at the output."""
        for kind, name, _ in PORTS:
            if kind == "input":
                self._port[name].value = 0
        self.lite.idle()
        self._ready = False
        for _ in range(cycles):
            await self._edge()
        self._port["rst_n"].value = 1
        self.packet = 1  # images of one
        self.forget()
        self.clear_counts()
        self.dram.forget()
        await self.dram.start(self.lite, self.tick)
        await _HALF
        assert not int(self._status.value) >> 1 & 1, "an output is valid after reset"

    async def soft_reset(self) -> None:
        """Reset the pipeline through its register; a host that begins anew withdraws what it offers meanwhile. Counters are cleared."""
        self.sink = steady(self.rng)  # so that no logit is waiting when it is forgotten
        await self.lite.write(CONTROL, SOFT_RESET)
        self.forget()
        await self.lite.write(CLEAR, 0)
        self.clear_counts()
        await self.lite.write(CONTROL, RUN)

    async def end_packets(self, images: int) -> None:
        """Let packets of the output end after so many images."""
        await self.lite.write(PACKET, images)
        self.packet, self.in_packet = images, 0

    async def _edge(self) -> None:
        await _HALF
        self._clk.value = 1
        await _HALF
        self._clk.value = 0
        self.cycle += 1

    async def tick(self) -> None:
        """One cycle."""
        if not self._offered and self.to_send and self.source():
            self._offered = True
            self._s_data.value = self.to_send[0][0]
            self._s_valid.value = 1
        ready = self.sink()
        if ready != self._ready:
            self._ready = ready
            self._m_ready.value = ready
        self.dram.drive()
        await _HALF
        status = int(self._status.value)
        self.lite.sample()
        self.dram.observe()
        was_in_flight = self.in_flight > 0
        taken = self._offered and bool(status & 1)
        self.stall_in += self._offered and not taken
        if taken:
            _, of_image = self.to_send.popleft()
            self._offered = False
            if of_image:
                if not self.words_in:
                    self._start = self.cycle
                self.in_flight += self.words_in % self._image_words == 0
                self.words_in += 1
        self._take_logit(bool(status & 2), ready)
        # in flight before this cycle's beats, or since the word that it took
        self.cycles += was_in_flight or self.in_flight > 0
        moved = status >> MONITORED
        while moved:
            k = (moved & -moved).bit_length() - 1
            self.passed[k].append(int(self._taps[k].value))
            moved &= moved - 1
        self._clk.value = 1
        await _HALF
        self._clk.value = 0
        self.cycle += 1
        if taken:
            self._s_valid.value = 0

    def _take_logit(self, valid: bool, ready: bool) -> None:
        if self._held is not None:
            assert valid, f"cycle {self.cycle}: valid fell before its beat was taken"
        if not valid:
            return
        beat = int(self._m_data.value), int(self._m_last.value)
        assert self._held in (None, beat), f"cycle {self.cycle}: data changed before its beat was taken"
        self._held = None if ready else beat
        self.stall_out += not ready
        if not ready:
            return
        self.logits.append(beat[0] - (beat[0] >> 31 << 32))
        last = len(self.logits) % self._classes == 0
        self.in_packet += last
        place = f"class {(len(self.logits) - 1) % self._classes}, image {self.in_packet - last} of {self.packet}"
        assert beat[1] == (last and self.in_packet == self.packet), f"cycle {self.cycle}: tlast is {beat[1]} at {place}"
        assert self.in_flight, f"cycle {self.cycle}: a logit of no image"
        if last:
            self.in_flight -= 1
            self.in_packet %= self.packet
            self.images += 1
            self.ends.append(self.cycle - self._start + 1)

    def send(self, images: np.ndarray) -> None:
        """Offer images, uint8 N x H x W x C, when the source lets them; they are answered by the network that is loaded now."""
        self.to_send.extend((word, True) for word in images.reshape(-1).view("<u4").tolist())
        self.due_logits += execute(self.case.loaded, images).ravel().tolist()
        for wanted, more in zip(self.due, self.case.due(images), strict=True):
            wanted += more

    def send_words(self, words: Sequence[int]) -> None:
        """Offer parameter words."""
        self.to_send.extend((word, False) for word in words)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Go on until a condition holds; where nothing moves for very long before that, it is a hang."""
        waited, seen = 0, (-1, -1)
        while not reached():
            await self.tick()
            now = len(self.to_send), len(self.logits)
            waited = 0 if now != seen else waited + 1
            seen = now
            assert waited <= self.case.patience, f"nothing moves: {now[0]} words to send, {now[1]} logits came"

    async def drain(self, idle: int = 40) -> None:
        """Until all that was offered is taken and every image answered, and `idle` cycles longer, in which nothing more may come."""
        await self.until(lambda: not self.to_send and not self.in_flight)
        await self.until(lambda: all(len(passed) >= len(wanted) for passed, wanted in zip(self.passed, self.due, strict=True)))
        self.sink = steady(self.rng)
        for _ in range(idle):
            await self.tick()

    def check(self, whole: bool = True) -> None:
        """Compare all since the last reset with the reference executor: layer by layer where layers can be seen, then end to end.

        Args:
            whole: every image was answered; else what has come by now must be the beginning of what is due.
        """
        for tap, passed, wanted in zip(self.case.taps, self.passed, self.due, strict=True):
            fault = difference(tap, passed, wanted if whole else wanted[: len(passed)])
            assert not fault, fault
        assert self.logits == (self.due_logits if whole else self.due_logits[: len(self.logits)]), "the logits differ from the executor's"
        broken = int(self._broken.value) if self._broken is not None else 0
        assert not broken, f"beats were changed before they were taken, in streams {broken:b}"
        if whole:
            images = len(self.logits) // self.case.classes
            for unit, handle in zip(self.case.units, self._beats, strict=True):
                assert int(handle.value) == images * unit.source.beats, f"{unit.name} took {int(handle.value)} beats of {images} images"

    async def check_counters(self) -> None:
        """The accelerator's counters equal those of the testbench; nothing is in flight and nothing offered, so they rest."""
        assert not self.to_send
        assert await self.lite.read(IMAGES) == self.images
        assert await self.lite.read(CYCLES_LOW) + (await self.lite.read(CYCLES_HIGH) << 32) == self.cycles
        assert await self.lite.read(STALL_IN) == self.stall_in
        assert await self.lite.read(STALL_OUT) == self.stall_out
