"""A cell under cocotb: clock, reset, one stream in, one out, and the rules that both must keep.

The testbench makes the clock itself: inputs change while it is low, signals are read just before it rises. So a handshake is seen exactly
as the registers see it, whatever the simulator's order of events, and cycles can be counted.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any, Protocol

from cocotb.triggers import Timer

__all__ = ["Bench", "Side", "Trace"]

_HALF = Timer(1, "ns")


@dataclasses.dataclass
class Trace:
    """What passed the two streams: beats out, and the cycle in which every beat in and out was taken."""

    beats: list[int]
    in_cycles: list[int]
    out_cycles: list[int]

    @property
    def latency(self) -> int:
        """Cycles from the first beat in to the first beat out."""
        return self.out_cycles[0] - self.in_cycles[0]


class Side(Protocol):
    """What happens beside the two streams, at other ports."""

    def drive(self) -> None:
        """Set inputs, in a cycle's first half."""

    def observe(self) -> None:
        """See what moves, just before the clock rises."""


class Bench:
    """Instance `index` of module `bench` (see `cases`)."""

    def __init__(self, dut: Any, index: int, chain: bool = False) -> None:
        self.dut = dut
        self.prefix = f"c{index}_"
        self.cycle = 0
        self.clk, self.rst_n = self.port("clk"), self.port("rst_n")
        self.s_data, self.s_valid, self.s_ready = (self.port(f"s_axis_t{name}") for name in ("data", "valid", "ready"))
        self.m_data, self.m_valid, self.m_ready = (self.port(f"m_axis_t{name}") for name in ("data", "valid", "ready"))
        self.chain = chain

    def port(self, name: str) -> Any:
        """Handle of a port of the instance."""
        return getattr(self.dut, self.prefix + name)

    async def settle(self) -> None:
        """Let inputs that were just set take effect; the clock is low."""
        await _HALF

    async def edge(self) -> None:
        """The rest of the cycle: the clock rises and falls."""
        self.clk.value = 1
        await _HALF
        self.clk.value = 0
        self.cycle += 1

    async def reset(self, cycles: int = 2) -> None:
        """Reset with inputs idle; afterwards nothing must be at the output."""
        self.clk.value = 0
        self.rst_n.value = 0
        self.s_valid.value = 0
        self.s_data.value = 0
        self.m_ready.value = 0
        if self.chain:
            self.port("cfg_start").value = 0
            self.port("cfg_valid").value = 0
            self.port("cfg_data").value = 0
        for _ in range(cycles):
            await self.settle()
            await self.edge()
        self.rst_n.value = 1
        await self.settle()
        assert int(self.m_valid.value) == 0, "an output is valid after reset"

    async def reset_under_way(self, cycles: int, ready: bool = False) -> None:
        """Offer beats for some cycles, then reset: nothing of them may come out afterwards."""
        self.s_valid.value = 1
        self.m_ready.value = ready
        for _ in range(cycles):
            await self.settle()
            await self.edge()
        await self.reset(1)

    async def stream(
        self,
        beats: Sequence[int],
        expected: int,
        p_valid: float = 1.0,
        p_ready: float = 1.0,
        seed: int = 0,
        idle: int = 40,
        probe: bool = False,
        side: Side | None = None,
    ) -> Trace:
        """Send `beats` and take `expected` beats, under the protocol's rules.

        Args:
            beats: what to send.
            expected: how many beats must come out; neither fewer nor, in `idle` further cycles, more.
            p_valid: probability that a new beat is offered in a cycle (an offered one stays).
            p_ready: probability that the output is ready in a cycle.
            seed: of the random choices.
            idle: cycles of watching after the last beat. Where more than that many pass without any beat in or out, it is a hang.
            probe: also flip ready within cycles, which must not change the output (valid never waits for ready).
            side: goes along with every cycle.
        """
        rng = random.Random(seed)
        trace = Trace([], [], [])
        sent, offered, waited, held = 0, False, 0, -1
        patience = int((idle + 60) / max(min(p_valid, p_ready), 0.02))
        while True:
            if not offered and sent < len(beats) and rng.random() < p_valid:
                offered = True
                self.s_data.value = beats[sent]
            self.s_valid.value = offered
            finished = len(trace.beats) == expected and sent == len(beats)
            ready = finished or rng.random() < p_ready
            self.m_ready.value = ready
            if side:
                side.drive()
            await self.settle()
            valid = bool(self.m_valid.value)
            data = int(self.m_data.value) if valid else -1
            if probe:
                self.m_ready.value = not ready
                await self.settle()
                again = int(self.m_data.value) if bool(self.m_valid.value) else -1
                assert again == data, f"cycle {self.cycle}: the output depends on its ready"
                self.m_ready.value = ready
                await self.settle()
            if held >= 0:
                assert valid, f"cycle {self.cycle}: valid fell before its beat was taken"
                assert data == held, f"cycle {self.cycle}: data changed before its beat was taken"
            held = data if valid and not ready else -1
            if side:
                side.observe()
            waited += 1
            if offered and bool(self.s_ready.value):
                trace.in_cycles.append(self.cycle)
                sent, offered, waited = sent + 1, False, 0
            if valid and ready:
                trace.beats.append(data)
                trace.out_cycles.append(self.cycle)
                waited = 0
                assert len(trace.beats) <= expected, f"cycle {self.cycle}: more than the {expected} beats that are due"
            await self.edge()
            if finished and waited >= idle:
                return trace
            assert waited <= patience, f"nothing moves: {sent} of {len(beats)} beats in, {len(trace.beats)} of {expected} out"

    async def load(self, words: Sequence[int], p_valid: float = 1.0, seed: int = 0, flush: int = 3) -> list[int]:
        """Send `words` over the parameter chain; returns the words that came out of its other end."""
        rng = random.Random(seed)
        passed: list[int] = []
        start, valid, data = self.port("cfg_start"), self.port("cfg_valid"), self.port("cfg_data")
        start_o, valid_o, data_o = self.port("cfg_start_o"), self.port("cfg_valid_o"), self.port("cfg_data_o")
        starts = 0
        todo = list(words)
        start.value = 1
        idle = 0
        while idle <= flush:
            await self.settle()
            starts += int(start_o.value)
            if int(valid_o.value):
                passed.append(int(data_o.value))
            await self.edge()
            start.value = 0
            send = bool(todo) and rng.random() < p_valid
            valid.value = send
            if send:
                data.value = todo.pop(0)
            idle = 0 if todo or send else idle + 1
        assert starts == 1, f"cfg_start came out {starts} times"
        return passed
