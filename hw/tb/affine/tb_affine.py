"""qlight_affine: every code, a beat a cycle, a latency of six cycles, six beats held while it waits, loading over the parameter chain."""

import cocotb

from hw.tb.affine.shapes import CASES, Parameters
from hw.tb.common.cases import selected
from hw.tb.common.streams import Bench

SELECTED = list(enumerate(selected(CASES)))
STAGES = 6


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Beats at any rate of either side, and again after a reset in the middle of the rows."""
    index, shape = case
    parameters = Parameters(shape)
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.6, 0.6), (1, 0.3), (0.3, 1)]):
        sent, due = parameters.traffic(3 + 40 // shape["ROWS"], seed)
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == due
        await bench.reset_under_way(3 + shape["ROWS"] // 2, ready=True)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """A beat in every cycle, and each comes out six cycles later."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    sent, due = Parameters(shape).traffic(2 + 40 // shape["ROWS"], 4)
    trace = await bench.stream(sent, len(due))
    assert trace.beats == due
    assert trace.in_cycles == list(range(trace.in_cycles[0], trace.in_cycles[0] + len(sent)))
    assert trace.out_cycles == [cycle + STAGES for cycle in trace.in_cycles]


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def bubbles(dut, case):
    """While nobody takes its output the cell takes six beats, however far apart they come; then one in the cycle in which one leaves."""
    bench = Bench(dut, case[0], chain=True)
    await bench.reset()
    for gap in (1, 2, 5, 9):
        taken = 0
        for cycle in range(gap * STAGES + 20):
            bench.s_valid.value = cycle % gap == 0
            await bench.settle()
            taken += cycle % gap == 0 and bool(bench.s_ready.value)
            await bench.edge()
        assert taken == STAGES
        bench.s_valid.value = 1
        for ready in (True, False, True, True):
            bench.m_ready.value = ready
            await bench.settle()
            assert bool(bench.s_ready.value) == ready
            await bench.edge()
        await bench.reset(1)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def loading(dut, case):
    """The chain takes this unit's words, passes the rest on; a second load replaces the first; a reset leaves what was loaded."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    behind = [0xDEADBEEF, 0, 1, 0xFFFFFFFF]
    for seed, p_valid in ((1, 1.0), (2, 0.6), (0, 1.0)):
        parameters = Parameters(shape, seed)
        # A load that breaks off is replaced by the next start.
        await bench.load(parameters.words()[:2], 1.0, seed)
        assert await bench.load(parameters.words() + behind, p_valid, seed) == behind
        if seed == 1:
            await bench.reset(1)
        sent, due = parameters.traffic(2, seed)
        trace = await bench.stream(sent, len(due))
        assert trace.beats == due
