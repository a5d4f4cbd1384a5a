"""What the board's driver does at the registers of a shell, over AXI3, with memory behind the other port."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from cocotb.triggers import Timer

from hw.tb.common.axi3 import Axi3
from hw.tb.common.memory import Memory
from hw.tb.common.memory_write import WriteMemory
from hw.tb.dma.host import ADDRESS, COMPLETE, CONTROL, IDLE, LENGTH, RECEIVE, RESET, RUN, SEND, STATUS
from hw.tb.shell.shapes import PORTS

#: of the accelerator
CONTROL_REGISTER, LOADED, IMAGES, PACKET, PARAMETER_WORDS = 0x08, 0x0C, 0x5C, 0x74, 0x58
INPUTS = [name for kind, name, _ in PORTS if kind == "input"]
_HALF = Timer(1, "ns")


class Processor:
    """A processor at a shell's registers, and memory behind its port.

    Args:
        ports: handles by the shell's names: clk, arst_n, s_axi_*, m_hp_*.
        base: of the address map: the DMA's registers, 64 KiB behind it the accelerator's.
    """

    def __init__(self, ports: Mapping[str, Any], seed: int, base: int = 0x4000_0000) -> None:
        self.rng, self.ports = random.Random(seed), ports
        self.dma, self.accelerator = base, base + 0x1_0000
        hp = {name.removeprefix("m_hp_"): port for name, port in self.ports.items() if name.startswith("m_hp_")}
        self.memory = Memory({**hp, "rlast": SimpleNamespace(value=0)}, 64, self.beat, seed)
        self.target = WriteMemory(hp, seed)
        for memory in (self.memory, self.target):
            memory.p_ask, memory.p_answer, memory.latency = 0.7, 0.8, (3, 30)
        self.memories: list[Memory | WriteMemory] = [self.memory, self.target]
        self.master = Axi3(self.ports.__getitem__, self.tick, self.rng)
        self.write, self.read = self.master.write, self.master.read

    def beat(self, address: int) -> int:
        """64 bits that lie in memory."""
        return random.Random(address).getrandbits(64)

    def word(self, address: int) -> int:
        """32 bits that lie in memory."""
        return self.beat(address // 8 * 8) >> 8 * (address % 8) & 0xFFFF_FFFF

    async def cycle(self) -> None:
        """A cycle in which nothing is looked at."""
        await _HALF
        self.ports["clk"].value = 1
        await _HALF
        self.ports["clk"].value = 0

    async def tick(self) -> None:
        """One cycle."""
        for memory in self.memories:
            memory.drive()
        await _HALF
        for memory in self.memories:
            memory.observe()
        self.master.sample()
        self.ports["clk"].value = 1
        await _HALF
        self.ports["clk"].value = 0

    async def power_up(self) -> None:
        """Inputs idle, and the reset that comes with the clock."""
        for name in INPUTS:
            self.ports[name].value = 0
        await self.cycle()
        self.ports["arst_n"].value = 1
        for _ in range(4):
            await self.cycle()

    async def rest(self) -> None:
        """`qlight.board.pynq_session.Session.rest`."""
        await self.write(self.dma + CONTROL, RESET)
        while await self.read(self.dma + CONTROL) & RESET:
            pass
        for value in (1, 0):
            await self.write(self.accelerator + CONTROL_REGISTER, value)
        for channel in (SEND, RECEIVE):
            await self.write(self.dma + channel + CONTROL, RUN)
            assert not await self.read(self.dma + channel + STATUS) & 1

    async def transfer(self, channel: int, address: int, size: int) -> None:
        """Begin a transfer."""
        await self.write(self.dma + channel + ADDRESS, address)
        await self.write(self.dma + channel + LENGTH, size)

    async def finished(self, channel: int) -> None:
        """Until the channel is idle, without an error."""
        for _ in range(4000):
            if await self.read(self.dma + channel + STATUS) & ~COMPLETE == IDLE:
                return
        raise AssertionError("the transfer does not end")
