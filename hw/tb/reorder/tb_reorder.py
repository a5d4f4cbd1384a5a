"""qlight_reorder: every frame transposed, each beat as early as it can be, no bubble between frames."""

import random

import cocotb
import numpy as np

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.reorder.shapes import CASES

SELECTED = list(enumerate(selected(CASES)))


def _traffic(shape: Case, frames: int, seed: int) -> tuple[list[int], list[int]]:
    rng = random.Random(seed)
    sent = [rng.getrandbits(shape["WIDTH"]) for _ in range(frames * shape["OUTER"] * shape["INNER"])]
    due = np.array(sent).reshape(frames, shape["OUTER"], shape["INNER"]).transpose(0, 2, 1)
    return sent, due.ravel().tolist()


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Frames back to back at any rate of either side, and again after a reset in the middle of a frame."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.6, 0.6), (1, 0.3), (0.3, 1), (0.9, 0.9)]):
        sent, due = _traffic(shape, 5, seed)
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == due
        await bench.reset_under_way(2 + shape["OUTER"] * shape["INNER"] * 3 // 2, ready=seed % 2 == 0)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """Always valid and ready: a beat leaves 2 cycles after it came or 1 after the one before it; room comes back a frame at a time."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    frames, outer, inner = 6, shape["OUTER"], shape["INNER"]
    sent, due = _traffic(shape, frames, 9)
    trace = await bench.stream(sent, len(due))
    assert trace.beats == due
    comes: list[int] = []
    leaves: list[int] = []
    for frame in range(frames):
        for _ in range(outer * inner):
            free = leaves[(frame - 1) * outer * inner - 1] if frame >= 2 else 0  # taken a cycle after the last one was read
            comes.append(max(comes[-1] + 1 if comes else 0, free))
        for i in range(inner):
            for o in range(outer):
                came = comes[frame * outer * inner + o * inner + i]
                leaves.append(max(came + 2, leaves[-1] + 1 if leaves else 0))
    start = trace.in_cycles[0]
    assert [cycle - start for cycle in trace.in_cycles] == comes
    assert [cycle - start for cycle in trace.out_cycles] == leaves


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
