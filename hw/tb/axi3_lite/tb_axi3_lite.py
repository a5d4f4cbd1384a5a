"""qlight_axi3_lite: every beat is one access of the right port, data and responses come back with their ID, at any times of both sides."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from hw.tb.axi3_lite.shapes import CASES, ports
from hw.tb.common.axi3 import INCREMENT, Axi3
from hw.tb.common.cases import Case, selected

SELECTED = list(enumerate(selected(CASES)))
_HALF = Timer(1, "ns")
FIXED, WRAP = 0, 2
SLAVE_ERROR, DECODE_ERROR = 2, 3


class Blocks:
    """The registers behind instance `index`, and its clock. Each port keeps a list of what reached it, in order."""

    def __init__(self, dut: Any, index: int, shape: Case, seed: int) -> None:
        self.shape, self.rng = shape, random.Random(seed)
        self.ports = {name: getattr(dut, f"c{index}_{name}") for _, name, _ in ports(shape)}
        self.base, self.size, self.count = shape["BASE"], 1 << shape["BLOCK_BITS"], shape["PORTS"]
        self.written: list[tuple[int, int, int, int]] = []  # port, address, data, strobes
        self.asked: list[tuple[int, int]] = []  # port, address
        self.responses: list[int] = []  # of the accesses to come; OKAY where there is none
        self._address: tuple[int, int] | None = None
        self._data: tuple[int, int, int] | None = None
        self._answers: dict[str, tuple[int, int, int] | None] = {"b": None, "r": None}  # port, response, data
        self.master = Axi3(self.ports.__getitem__, self.tick, self.rng)

    def data(self, port: int, address: int) -> int:
        """What a register holds."""
        return random.Random(address * 16 + port).getrandbits(32)

    async def reset(self) -> None:
        for kind, name, _ in ports(self.shape):
            if kind == "input":
                self.ports[name].value = 0
        for _ in range(2):
            await _HALF
            self.ports["clk"].value = 1
            await _HALF
            self.ports["clk"].value = 0
        self.ports["rst_n"].value = 1

    def _one(self, name: str) -> int | None:
        """The port whose bit is set."""
        value = int(self.ports[f"m_axi_{name}"].value)
        assert value & (value - 1) == 0, f"{name} of two ports"
        return value.bit_length() - 1 if value else None

    def _chance(self) -> int:
        return self.rng.getrandbits(self.count) | self.rng.getrandbits(self.count)

    async def tick(self) -> None:
        """One cycle."""
        aw_free, w_free = self._address is None and self._answers["b"] is None, self._data is None and self._answers["b"] is None
        ready = {"aw": self._chance() if aw_free else 0, "w": self._chance() if w_free else 0}
        ready["ar"] = self._chance() if self._answers["r"] is None else 0
        for name, value in ready.items():
            self.ports[f"m_axi_{name}ready"].value = value
        for name, answer in self._answers.items():
            port, response, data = answer or (0, 0, 0)
            if not int(self.ports[f"m_axi_{name}valid"].value):  # one that was offered stays
                self.ports[f"m_axi_{name}valid"].value = (answer is not None and self.rng.random() < 0.6) << port
            self.ports[f"m_axi_{name}resp"].value = response << 2 * port
            if name == "r":
                self.ports["m_axi_rdata"].value = data << 32 * port
        await _HALF
        self.master.sample()
        port = self._one("awvalid")
        assert port is None or self._address is None, "an address was given twice"
        if port is not None and ready["aw"] >> port & 1:
            self._address = port, int(self.ports["m_axi_awaddr"].value)
        port = self._one("wvalid")
        assert port is None or self._data is None, "data were given twice"
        if port is not None and ready["w"] >> port & 1:
            self._data = port, int(self.ports["m_axi_wdata"].value), int(self.ports["m_axi_wstrb"].value)
        port = self._one("arvalid")
        asked = (port, int(self.ports["m_axi_araddr"].value)) if port is not None and ready["ar"] >> port & 1 else None
        gone = [name for name in self._answers if int(self.ports[f"m_axi_{name}valid"].value) & int(self.ports[f"m_axi_{name}ready"].value)]
        self.ports["clk"].value = 1
        await _HALF
        self.ports["clk"].value = 0
        for name in gone:
            self._answers[name] = None
            self.ports[f"m_axi_{name}valid"].value = 0
        if asked is not None:
            self.asked.append(asked)
            self._answers["r"] = asked[0], self._response(), self.data(*asked)
        if self._address is not None and self._data is not None:
            assert self._address[0] == self._data[0], "address and data of two ports"
            self.written.append((*self._address, *self._data[1:]))
            self._answers["b"] = self._address[0], self._response(), 0
            self._address = self._data = None

    def _response(self) -> int:
        return self.responses.pop(0) if self.responses else 0

    def place(self) -> tuple[int, int]:
        """A port and the address of a word of it that has 16 more behind it, where the block is as large."""
        return self.rng.randrange(self.count), self.rng.randrange(max(1, self.size - 64)) // 4 * 4


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def accesses(dut, case):
    """Words and bursts of all lengths and sizes, rising or at one address, to every port, with any strobes."""
    index, shape = case
    blocks = Blocks(dut, index, shape, 1)
    await blocks.reset()
    rng = blocks.rng
    for _ in range(60):
        port, start = blocks.place()
        size, burst = rng.choice((2, 2, 2, 1, 0)), rng.choice((INCREMENT, INCREMENT, FIXED))
        count = rng.choice((1, 1, 2, rng.randrange(1, 17)))
        count = min(count, (blocks.size - start) >> size)
        addresses = [start + (i << size if burst == INCREMENT else 0) for i in range(count)]
        data, strobes = [rng.getrandbits(32) for _ in range(count)], [rng.randrange(16) for _ in range(count)]
        at = blocks.base + port * blocks.size + start
        assert await blocks.master.write_burst(at, data, strobes, size, burst) == 0
        assert blocks.written == [(port, *each) for each in zip(addresses, data, strobes, strict=True)]
        found, responses = await blocks.master.read_burst(at, count, size, burst)
        assert blocks.asked == [(port, address) for address in addresses]
        assert found == [blocks.data(port, address) for address in addresses]
        assert responses == [0] * count
        blocks.written.clear()
        blocks.asked.clear()


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def no_port(dut, case):
    """Addresses before the first and behind the last block are decode errors, wrapping bursts slave errors; nothing reaches a port."""
    index, shape = case
    blocks = Blocks(dut, index, shape, 2)
    await blocks.reset()
    end = blocks.base + blocks.count * blocks.size
    for address in {(blocks.base - 4) % 2**32, end % 2**32, (blocks.base ^ 1 << 31) % 2**32} - {blocks.base}:
        if blocks.base <= address < end:
            continue
        for count in (1, 3, 16):
            count = count if (blocks.base - 4) % 2**32 != address else 1
            assert await blocks.master.write_burst(address, [7] * count) == DECODE_ERROR
            found, responses = await blocks.master.read_burst(address, count)
            assert (found, responses) == ([0] * count, [DECODE_ERROR] * count)
    for count in (2, 4, 16):
        assert await blocks.master.write_burst(blocks.base, [7] * count, burst=WRAP) == SLAVE_ERROR
        assert (await blocks.master.read_burst(blocks.base, count, burst=WRAP))[1] == [SLAVE_ERROR] * count
    assert not blocks.written
    assert not blocks.asked
    await blocks.master.write(blocks.base, 5)
    assert blocks.written == [(0, 0, 5, 15)]
    # a burst that leaves the last block
    assert await blocks.master.write_burst(end - 8, [1, 2, 3, 4]) == DECODE_ERROR
    assert len(blocks.written) == 3
    assert (await blocks.master.read_burst(end - 8, 4))[1] == [0, 0, DECODE_ERROR, DECODE_ERROR]


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def responses(dut, case):
    """Errors of the registers come back: the worst of a write's beats, each of a read's."""
    index, shape = case
    blocks = Blocks(dut, index, shape, 3)
    await blocks.reset()
    for _ in range(12):
        count = blocks.rng.randrange(1, min(9, blocks.size // 4 + 1))
        chosen = [blocks.rng.choice((0, 0, SLAVE_ERROR, DECODE_ERROR)) for _ in range(count)]
        blocks.responses = list(chosen)
        assert await blocks.master.write_burst(blocks.base, [0] * count) == max(chosen)
        blocks.responses = list(chosen)
        assert (await blocks.master.read_burst(blocks.base, count))[1] == chosen


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def a_reset(dut, case):
    """In the middle of accesses: afterwards nothing of them is left."""
    index, shape = case
    blocks = Blocks(dut, index, shape, 4)
    for cycles in range(1, 14):
        await blocks.reset()
        for name, value in {"awaddr": blocks.base, "araddr": blocks.base, "awlen": 3, "arlen": 3, "awburst": 1, "arburst": 1}.items():
            blocks.ports[f"s_axi_{name}"].value = value
        for name in ("awvalid", "wvalid", "arvalid"):
            blocks.ports[f"s_axi_{name}"].value = 1
        for _ in range(cycles):
            await blocks.tick()
        blocks._address = blocks._data = None
        blocks._answers = {"b": None, "r": None}
        await blocks.reset()
        blocks.written.clear()
        await blocks.master.write(blocks.base + 8, 9)
        assert blocks.written == [(0, 8, 9, 15)]
        assert await blocks.master.read(blocks.base + 4) == blocks.data(0, 4)
