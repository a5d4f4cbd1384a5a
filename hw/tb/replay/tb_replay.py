"""qlight_replay: every frame TIMES times, a beat a cycle over frames, the next frame taken meanwhile."""

import random

import cocotb

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.replay.shapes import CASES

SELECTED = list(enumerate(selected(CASES)))


def _traffic(shape: Case, frames: int, seed: int) -> tuple[list[int], list[int]]:
    rng = random.Random(seed)
    sent = [[rng.getrandbits(shape["WIDTH"]) for _ in range(shape["FRAME"])] for _ in range(frames)]
    return [beat for frame in sent for beat in frame], [beat for frame in sent for _ in range(shape["TIMES"]) for beat in frame]


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Frames back to back at any rate of either side, and again after a reset in the middle of a frame."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.6, 0.6), (1, 0.3), (0.3, 1), (0.9, 0.9)]):
        sent, due = _traffic(shape, 6, seed)
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == due
        await bench.reset_under_way(2 + shape["FRAME"] * 3 // 2, ready=seed % 2 == 0)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """Always valid and ready: beat i leaves in cycle i + 2; beat i comes when the last reading of beat i - 2 FRAME has given it room."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    sent, due = _traffic(shape, 5, 9)
    trace = await bench.stream(sent, len(due))
    assert trace.beats == due
    start = trace.in_cycles[0]
    assert [cycle - start for cycle in trace.out_cycles] == list(range(2, 2 + len(due)))
    frame, times = shape["FRAME"], shape["TIMES"]
    due_cycles: list[int] = []
    for i in range(len(sent)):
        old = i - 2 * frame
        last_read = (old // frame * times + times - 1) * frame + old % frame + 1  # beat b is read in cycle b + 1
        due_cycles.append(max(due_cycles[-1] + 1 if due_cycles else 0, last_read + 1 if old >= 0 else 0))
    assert [cycle - start for cycle in trace.in_cycles] == due_cycles


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def a_frame_alone(dut, case):
    """A frame leaves whole although no other follows, and nothing more leaves."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed in range(3):
        sent, due = _traffic(shape, 1, seed)
        trace = await bench.stream(sent, len(due), p_ready=0.8, seed=seed, idle=2 * len(due) + 20)
        assert trace.beats == due
