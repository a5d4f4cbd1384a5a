"""qlight_weight_reader: every word of every image in order, bursts by the rules, at full rate; stops and starts anew; counts."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from hw.tb.common.cases import Case, selected
from hw.tb.common.memory import Memory
from hw.tb.weight_reader.shapes import CASES, ports

SELECTED = list(enumerate(selected(CASES)))
_HALF = Timer(1, "ns")


class Host:
    """Instance `index` between a memory and a receiver that is ready at random."""

    def __init__(self, dut: Any, index: int, shape: Case, seed: int) -> None:
        self.shape, self.rng = shape, random.Random(seed)
        self.ports = {name: getattr(dut, f"c{index}_{name}") for _, name, _ in ports(shape)}
        self.salt = 0
        self.bytes = shape["DATA_BITS"] // 8
        axi = {name.removeprefix("m_axi_"): port for name, port in self.ports.items() if name.startswith("m_axi_")}
        self.memory = Memory(axi, shape["DATA_BITS"], self.word, seed)
        self.p_ready, self.p_starved = 1.0, 0.0
        self.count_from_now()

    def word(self, address: int) -> int:
        """What lies at an address."""
        return random.Random(address * 1000 + self.salt).getrandbits(self.shape["DATA_BITS"])

    def count_from_now(self) -> None:
        """Counters as after `clear`."""
        self.cycle = self.busy = self.starved = self.came = self.errors = 0
        self.received: list[int] = []
        self.cycles: list[int] = []  # of every word received
        self.held = -1
        self.asked = len(self.memory.asked)

    async def reset(self, base: int) -> None:
        for kind, name, _ in ports(self.shape):
            if kind == "input":
                self.ports[name].value = 0
        self.ports["base"].value = base
        self.memory.forget()
        for _ in range(2):
            await _HALF
            self.ports["clk"].value = 1
            await _HALF
            self.ports["clk"].value = 0
        self.ports["rst_n"].value = 1
        self.count_from_now()

    async def tick(self, ready: bool | None = None) -> None:
        """A cycle."""
        self.memory.drive()
        wants = self.rng.random() < self.p_ready if ready is None else ready
        starved = self.rng.random() < self.p_starved
        self.ports["m_axis_tready"].value = wants
        self.ports["starved"].value = starved
        await _HALF
        self.busy += self.words_outstanding() > 0
        came = self.memory.observe()
        assert self.ports["m_axi_rready"].value == 1, "a word has to wait"
        self.came += came
        self.errors += came and self.memory.wrong
        self.starved += starved
        if self.ports["run"].value == 1:
            valid = bool(self.ports["m_axis_tvalid"].value)
            data = int(self.ports["m_axis_tdata"].value) if valid else -1
            assert self.held < 0 or data == self.held, "a word changed or vanished before it was taken"
            self.held = data if valid and not wants else -1
            if valid and wants:
                self.received.append(data)
                self.cycles.append(self.cycle)
        else:
            self.held = -1
        self.ports["clk"].value = 1
        await _HALF
        self.ports["clk"].value = 0
        self.cycle += 1

    def words_outstanding(self) -> int:
        """From the cycle in which a burst is offered to the one in which its last word comes."""
        return self.memory.outstanding + (self.memory.get("arlen") + 1 if self.memory.get("arvalid") else 0)

    def due(self, count: int, base: int) -> list[int]:
        """The first words from `base` on, image after image."""
        return [self.word(base + i % self.shape["WORDS"] * self.bytes) for i in range(count)]

    def check_bursts(self, base: int) -> None:
        """All of them since the last start: adjacent, restarting at `base` after WORDS words."""
        place = 0
        for address, words in self.memory.asked[self.asked :]:
            assert address == base + place * self.bytes
            assert words <= self.shape["BURST"]
            place += words
            assert place <= self.shape["WORDS"]
            place %= self.shape["WORDS"]


def _base(shape: Case, rng: random.Random) -> int:
    """Any word's address."""
    step = shape["DATA_BITS"] // 8
    return rng.randrange(1 << (shape["ADDRESS_BITS"] - 1)) // step * step


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_memory(dut, case):
    """Latency, gaps and receiver at random: words, bursts, counters; never more asked for than there is room."""
    index, shape = case
    host = Host(dut, index, shape, 1)
    for seed, (ask, answer, latency, ready) in enumerate([(0.5, 0.7, (0, 30), 0.8), (1, 1, (0, 3), 0.2), (0.2, 0.3, (5, 9), 1)]):
        base = _base(shape, random.Random(seed))
        await host.reset(base)
        host.memory.p_ask, host.memory.p_answer, host.memory.latency = ask, answer, latency
        host.p_ready, host.p_starved = ready, 0.3
        host.ports["run"].value = 1
        wanted = min(3 * shape["WORDS"] + 10, 700)
        for _ in range(200 + 40 * wanted):
            await host.tick()
            asked = sum(words for _, words in host.memory.asked[host.asked :])
            assert asked - len(host.received) <= shape["DEPTH"], "more is outstanding than the FIFO takes"
            if len(host.received) >= wanted:
                break
        assert len(host.received) >= wanted, "words are missing"
        assert host.received == host.due(len(host.received), base)
        host.check_bursts(base)
        await _HALF
        assert int(host.ports["words"].value) == host.came
        assert int(host.ports["busy_cycles"].value) == host.busy
        assert int(host.ports["starved_cycles"].value) == host.starved
        assert int(host.ports["error"].value) == 0


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def full_rate(dut, case):
    """A memory that answers at once and a receiver that is always ready: a word every cycle, over bursts and images, where DEPTH allows."""
    index, shape = case
    host = Host(dut, index, shape, 2)
    base = _base(shape, random.Random(7)) // 4096 * 4096
    await host.reset(base)
    host.ports["run"].value = 1
    for _ in range(2 * min(shape["WORDS"], 400) + 60):
        await host.tick()
    assert host.received == host.due(len(host.received), base)
    bubbles = [b - a for a, b in itertools.pairwise(host.cycles) if b != a + 1]
    if shape["DEPTH"] >= 2 * shape["BURST"] + 3:
        assert not bubbles
    assert host.cycles[0] == 4  # started, asked, came, in the FIFO


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def a_receiver_that_stops(dut, case):
    """What was asked for fills the FIFO and no more; then nothing is outstanding, and everything comes when it goes on."""
    index, shape = case
    host = Host(dut, index, shape, 3)
    base = _base(shape, random.Random(3))
    await host.reset(base)
    host.memory.latency = (0, 9)
    host.ports["run"].value = 1
    for _ in range(3 * shape["DEPTH"] + 100):
        await host.tick(ready=False)
    assert shape["DEPTH"] - shape["BURST"] < host.came <= shape["DEPTH"]
    assert host.words_outstanding() == 0
    for _ in range(3 * shape["DEPTH"] + 100):
        await host.tick(ready=True)
    assert len(host.received) > shape["DEPTH"]
    assert host.received == host.due(len(host.received), base)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def stop_and_start(dut, case):
    """After a stop of any length the next word is the first of the new base; words of before never come, though they were under way."""
    index, shape = case
    host = Host(dut, index, shape, 4)
    await host.reset(0)
    host.p_ready = 0.8
    host.memory.p_ask, host.memory.latency = 0.6, (0, 12)
    for turn in range(25):
        base = _base(shape, host.rng)
        host.ports["base"].value = base
        host.salt = turn
        host.ports["run"].value = 1
        host.received = []
        for _ in range(host.rng.randrange(60)):
            await host.tick()
        assert host.received == host.due(len(host.received), base)
        host.ports["run"].value = 0
        for _ in range(host.rng.choice((1, 1, 2, 5, 40))):
            await host.tick()
    host.ports["run"].value = 1
    host.received = []
    for _ in range(3 * shape["DEPTH"] + 80):
        await host.tick()
    assert host.received
    assert host.received == host.due(len(host.received), base)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def errors_and_clear(dut, case):
    """A word with an error response is noted until the counters are cleared; both are forgotten by a reset."""
    index, shape = case
    host = Host(dut, index, shape, 5)
    await host.reset(0)
    host.ports["run"].value = 1
    host.memory.wrong = True
    for _ in range(20):
        await host.tick()
    assert host.errors
    host.memory.wrong = False
    for _ in range(5):
        await host.tick()
    assert int(host.ports["error"].value) == 1
    host.ports["clear"].value = 1
    await host.tick(ready=False)
    host.ports["clear"].value = 0
    host.count_from_now()
    for _ in range(10):
        await host.tick()
    await _HALF
    assert int(host.ports["error"].value) == 0
    assert int(host.ports["words"].value) == host.came
    assert int(host.ports["busy_cycles"].value) == host.busy
    await host.reset(0)
    await _HALF
    assert [int(host.ports[name].value) for name in ("words", "busy_cycles", "starved_cycles", "m_axi_arvalid")] == [0, 0, 0, 0]
