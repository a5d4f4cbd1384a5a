"""qlight_weight_registers: every register of every reader, halves of counters that belong together, when the readers run."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from hw.tb.common.cases import Case, selected
from hw.tb.weight_registers.shapes import CASES, IMAGE_WORDS, WORD_BYTES, ports

SELECTED = list(enumerate(selected(CASES)))
_HALF = Timer(1, "ns")
STREAMS, SELECT, GO, BASE, BYTES, IMAGE, WORDS, BUSY, STARVED, ERROR = 0x80, 0x84, 0x88, 0x8C, 0x94, 0x98, 0x9C, 0xA4, 0xAC, 0xB4


class Bus:
    """Instance `index`: register accesses of a cycle each."""

    def __init__(self, dut: Any, index: int, shape: Case) -> None:
        self.shape = shape
        self.ports = {name: getattr(dut, f"c{index}_{name}") for _, name, _ in ports(shape)}

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.ports[name].value = value

    def get(self, name: str) -> int:
        return int(self.ports[name].value)

    async def tick(self) -> None:
        await _HALF
        self.set(clk=1)
        await _HALF
        self.set(clk=0)

    async def reset(self) -> None:
        self.set(**{name: 0 for kind, name, _ in ports(self.shape) if kind == "input"})
        self.set(allowed=1, idle=1)
        await self.tick()
        self.set(rst_n=1)

    async def write(self, address: int, value: int) -> None:
        self.set(write=1, write_word=address // 4, write_data=value)
        await self.tick()
        self.set(write=0)

    async def read(self, address: int) -> int:
        self.set(read=1, read_word=address // 4)
        await _HALF
        value = self.get("read_data")
        await self.tick()
        self.set(read=0)
        return value


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def registers(dut, case):
    """Bases are kept for each reader and cleared by a reset; counters, sizes and errors are those of the selected one."""
    index, shape = case
    bus, rng = Bus(dut, index, shape), random.Random(1)
    streams, address = shape["STREAMS"], shape["ADDRESS_BITS"]
    await bus.reset()
    assert await bus.read(STREAMS) == streams
    bases = [rng.getrandbits(address) for _ in range(streams)]
    for stream, base in enumerate(bases):
        await bus.write(SELECT, stream)
        await bus.write(BASE, base & 0xFFFFFFFF)
        await bus.write(BASE + 4, base >> 32)
    await bus.write(SELECT, streams)
    assert await bus.read(SELECT) == streams - 1, "there is no such reader"
    assert bus.get("base") == sum(base << address * stream for stream, base in enumerate(bases))
    counters = {name: [rng.getrandbits(48) for _ in range(streams)] for name in ("words", "busy_cycles", "starved_cycles")}
    for name, values in counters.items():
        bus.set(**{name: sum(value << 48 * stream for stream, value in enumerate(values))})
    errors = rng.getrandbits(streams)
    bus.set(error=errors)
    for stream in range(streams):
        await bus.write(SELECT, stream)
        assert await bus.read(BASE) + (await bus.read(BASE + 4) << 32) == bases[stream]
        assert await bus.read(BYTES) == WORD_BYTES[stream]
        assert await bus.read(IMAGE) == IMAGE_WORDS[stream]
        for at, name in ((WORDS, "words"), (BUSY, "busy_cycles"), (STARVED, "starved_cycles")):
            low = await bus.read(at)
            bus.set(**{name: 0})  # the upper half is that of before
            assert low + (await bus.read(at + 4) << 32) == counters[name][stream]
            bus.set(**{name: sum(value << 48 * each for each, value in enumerate(counters[name]))})
        assert await bus.read(ERROR) == errors >> stream & 1
    for unknown in (0xB8, 0xFC):
        await bus.write(unknown, 0xFFFFFFFF)
        assert await bus.read(unknown) == 0
    await bus.reset()
    await _HALF
    assert (bus.get("base"), await bus.read(GO), await bus.read(SELECT)) == (0, 0, 0)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def running(dut, case):
    """GO starts at once; clearing it waits for the images in flight; where readers are not allowed they stop at once, and start again."""
    index, shape = case
    bus = Bus(dut, index, shape)
    await bus.reset()
    for _ in range(3):
        await bus.tick()
        assert bus.get("run") == 0
    await bus.write(GO, 1)
    await bus.tick()
    await _HALF
    assert (bus.get("run"), await bus.read(GO)) == (1, 3)
    bus.set(allowed=0)
    await _HALF
    assert bus.get("run") == 0
    await bus.tick()
    bus.set(allowed=1, idle=0)
    await _HALF
    assert bus.get("run") == 1
    await bus.write(GO, 0)
    for _ in range(3):
        await bus.tick()
        assert (bus.get("run"), await bus.read(GO)) == (1, 2)
    bus.set(idle=1)
    await bus.tick()
    await _HALF
    assert (bus.get("run"), await bus.read(GO)) == (0, 0)
