"""qlight_fifo: order, depth, full rate, latency of one cycle."""

import random

import cocotb

from hw.tb.common.cases import selected
from hw.tb.common.streams import Bench
from hw.tb.fifo.shapes import CASES

SELECTED = list(enumerate(selected(CASES)))


def _words(bits: int, count: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(bits) for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Every word once and in order, at any rate of either side, also after a reset in the middle."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.5, 0.5), (1, 0.3), (0.3, 1), (0.9, 0.9)]):
        words = _words(shape["WIDTH"], 6 * shape["DEPTH"] + 50, seed)
        trace = await bench.stream(words, len(words), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == words
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def depth_and_rate(dut, case):
    """A stopped FIFO takes DEPTH words; an unhindered one moves a word a cycle, one cycle late; a reset empties it."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    words = _words(shape["WIDTH"], 3 * shape["DEPTH"] + 20, 7)
    trace = await bench.stream(words, len(words))
    assert trace.latency == 1
    assert trace.out_cycles == [cycle + 1 for cycle in trace.in_cycles]
    assert trace.in_cycles[-1] - trace.in_cycles[0] == len(words) - 1

    taken = 0
    bench.m_ready.value = 0
    bench.s_valid.value = 1
    for i in range(shape["DEPTH"] + 5):
        bench.s_data.value = words[i]
        await bench.settle()
        taken += int(bench.s_ready.value)
        await bench.edge()
    assert taken == shape["DEPTH"]
    await bench.reset(1)
    trace = await bench.stream(words, len(words))
    assert trace.beats == words
