"""qlight_swg: every window of every frame, no bubble between rows or frames, an idle generator holds its padding back."""

import cocotb
import numpy as np

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.swg.reference import beats, cycles_a_frame, first_frame, windows
from hw.tb.swg.shapes import CASES

SELECTED = list(enumerate(selected(CASES)))


def _traffic(shape: Case, frames: int, seed: int) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 1 << shape["BITS"], (frames, shape["HEIGHT"], shape["WIDTH"], shape["CHANNELS"]))
    sent = beats(images.ravel(), shape["LANES"], shape["BITS"])
    due = [beat for image in images for beat in beats(windows(shape, image), shape["LANES"], shape["BITS"])]
    return sent, due


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Frames back to back at any rate of either side, and again after a reset in the middle of a frame."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.5, 0.7), (1, 0.4), (0.2, 1)]):
        sent, due = _traffic(shape, 3, seed)
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == due
        await bench.reset_under_way(2 + cycles_a_frame(shape) // 3, ready=True)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """Always valid and ready: the first frame as modelled, then a beat every cycle over all frames."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    sent, due = _traffic(shape, 4, 9)
    trace = await bench.stream(sent, len(due))
    assert trace.beats == due
    modelled = first_frame(shape)
    first = [cycle - trace.in_cycles[0] for cycle in trace.out_cycles[: len(modelled)]]
    assert first == modelled
    later = trace.out_cycles[len(modelled) - 1 :]
    assert later == list(range(later[0], later[0] + len(later)))
    assert len(later) - 1 == 3 * cycles_a_frame(shape)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def idle_after_a_frame(dut, case):
    """After a frame nothing of the next one leaves, not even padding, until its first beat has come."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed in range(2):
        sent, due = _traffic(shape, 1, seed)
        trace = await bench.stream(sent, len(due), idle=2 * shape["WIDTH"] * shape["CHANNELS"] + 20)
        assert trace.beats == due
