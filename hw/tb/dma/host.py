"""What surrounds qlight_dma: a processor at its registers, memory at its port, and both streams at random times."""

from __future__ import annotations

import random
from collections import deque
from types import SimpleNamespace
from typing import Any

from cocotb.triggers import Timer

from hw.tb.common.axilite import AxiLite
from hw.tb.common.cases import Case
from hw.tb.common.memory import Memory
from hw.tb.common.memory_write import WriteMemory
from hw.tb.dma.shapes import PORTS

#: of a channel: MM2S, S2MM, and their registers
SEND, RECEIVE = 0x00, 0x30
CONTROL, STATUS, ADDRESS, ADDRESS_HIGH, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
RUN, RESET = 0x1, 0x4
HALTED, IDLE, INTERNAL, SLAVE, DECODE, COMPLETE, ERROR_EVENT = 0x1, 0x2, 0x10, 0x20, 0x40, 0x1000, 0x4000
_HALF = Timer(1, "ns")
_PATIENCE = 5000  # cycles that a transfer may take


class ReadMemory(Memory):
    """Memory with error responses by address."""

    def __init__(self, ports: dict[str, Any], content: Any, seed: int) -> None:
        super().__init__(ports, 64, content, seed)
        self.responses: dict[int, int] = {}  # by the address of 8 bytes

    def response(self, address: int) -> int:
        return self.responses.get(address, 0)


class Host:
    """Instance `index`. Every `tick` is a cycle of everything; register accesses take as many as they need."""

    def __init__(self, dut: Any, index: int, shape: Case, seed: int) -> None:
        self.shape, self.rng = shape, random.Random(seed)
        self.ports = {name: getattr(dut, f"c{index}_{name}") for _, name, _ in PORTS}
        axi = {name.removeprefix("m_axi_"): port for name, port in self.ports.items() if name.startswith("m_axi_")}
        self.memory = ReadMemory({**axi, "rlast": SimpleNamespace(value=0)}, self.beat, seed)  # beats are counted, not marked
        self.target = WriteMemory(axi, seed)
        self.p_ready = self.p_source = 1.0
        self._lite = AxiLite(self.ports.__getitem__, self.tick, self.rng)
        self.write, self.read = self._lite.write, self._lite.read
        self.cycle = 0

    def word(self, address: int) -> int:
        """What lies at an address from which words are read."""
        return random.Random(address).getrandbits(32)

    def beat(self, address: int) -> int:
        """Two words."""
        return self.word(address + 4) << 32 | self.word(address)

    def calm(self, random_times: bool) -> None:
        """Everything at random times, or at once."""
        self.p_ready, self.p_source = (0.7, 0.6) if random_times else (1.0, 1.0)
        for memory in (self.memory, self.target):
            memory.p_ask, memory.p_answer, memory.latency = (0.6, 0.7, (0, 25)) if random_times else (1.0, 1.0, (0, 0))
        self.target.p_data = 0.6 if random_times else 1.0

    async def reset(self) -> None:
        """Everything idle, reset for two cycles."""
        for kind, name, _ in PORTS:
            if kind == "input":
                self.ports[name].value = 0
        self.memory.forget()
        self.target.forget()
        self.received: list[int] = []  # words of the stream out
        self.to_send: deque[tuple[int, bool]] = deque()  # words of the stream in, and whether TLAST is with them
        self._offered = False
        self._held: int | None = None
        self.vanishing = False  # whether an offered word may vanish: after an error, a stop or a reset
        for _ in range(2):
            await _HALF
            self.ports["clk"].value = 1
            await _HALF
            self.ports["clk"].value = 0
        self.ports["rst_n"].value = 1

    async def tick(self) -> None:
        """One cycle."""
        self.memory.drive()
        self.target.drive()
        ready = self.rng.random() < self.p_ready
        self.ports["m_axis_tready"].value = ready
        if not self._offered and self.to_send and self.rng.random() < self.p_source:
            self._offered = True
            self.ports["s_axis_tdata"].value, self.ports["s_axis_tlast"].value = self.to_send[0]
        self.ports["s_axis_tvalid"].value = self._offered
        await _HALF
        self.memory.observe()
        assert self.memory.get("rready") == 1, "memory has to wait"
        assert all(beats <= 16 for _, beats in self.memory.asked[-1:]), "more beats than AXI3 has"
        self.target.observe()
        valid = self.ports["m_axis_tvalid"].value == 1
        data = int(self.ports["m_axis_tdata"].value) if valid else None
        assert self.vanishing or self._held is None or data == self._held, "a word changed or vanished before it was taken"
        self._held = data if not ready else None
        if data is not None and ready:
            self.received.append(data)
        if self._offered and self.ports["s_axis_tready"].value == 1:
            self._offered = False
            self.to_send.popleft()
        self._lite.sample()
        self.ports["clk"].value = 1
        await _HALF
        self.ports["clk"].value = 0
        self.cycle += 1

    async def start(self, channel: int) -> None:
        """As pynq does: set RS, wait until the channel is not halted."""
        await self.write(channel + CONTROL, RUN)
        assert not await self.read(channel + STATUS) & HALTED

    async def transfer(self, channel: int, address: int, size: int) -> None:
        """Begin a transfer, as pynq does."""
        await self.write(channel + ADDRESS, address)
        await self.write(channel + ADDRESS_HIGH, 0)
        await self.write(channel + LENGTH, size)

    async def finished(self, channel: int, bits: int = IDLE | HALTED) -> int:
        """The status once one of these bits is set."""
        until = self.cycle + _PATIENCE
        while self.cycle < until:
            status = await self.read(channel + STATUS)
            if status & bits:
                return status
        raise AssertionError("the transfer does not end")

    async def reset_engine(self, channel: int) -> None:
        """The soft reset through one channel's register, until it is over."""
        self.vanishing = True
        await self.write(channel + CONTROL, RESET)
        for _ in range(300):
            if not await self.read(channel + CONTROL) & RESET:
                self.vanishing = False
                return
        raise AssertionError("the reset does not end")

    def drop_stream(self) -> None:
        """Forget the words that wait for the stream in, as a reset of the accelerator does."""
        self.to_send.clear()
        self._offered = False

    def send_packet(self, count: int) -> list[int]:
        """Words with TLAST at the last one, put into the queue."""
        words = [self.rng.getrandbits(32) for _ in range(count)]
        self.to_send.extend((word, place == count - 1) for place, word in enumerate(words))
        return words

    def written(self, address: int, count: int) -> list[int | None]:
        """Words from an address on, which are then forgotten."""
        found = [self.target.word(address + 4 * i) for i in range(count)]
        for i in range(4 * count):
            self.target.content.pop(address + i, None)
        return found

    def due(self, address: int, count: int) -> list[int]:
        """Words that a transfer from an address sends."""
        return [self.word(address + 4 * i) for i in range(count)]
