"""qlight_pool: maxima and minima, dropped edges, timing, loading of directions."""

import cocotb
import numpy as np

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.pool.shapes import CASES, directions
from hw.tb.swg.reference import beats

SELECTED = list(enumerate(selected(CASES)))


def _pooled(shape: Case, image: np.ndarray, down: list[int]) -> np.ndarray:
    """Integers (H, W, C) -> (H // K, W // K, C)."""
    k = shape["KERNEL"]
    rows, columns = image.shape[0] // k, image.shape[1] // k
    blocks = image[: rows * k, : columns * k].reshape(rows, k, columns, k, -1)
    return np.where(np.array(down) == 1, blocks.min((1, 3)), blocks.max((1, 3)))


def _traffic(shape: Case, frames: int, seed: int, down: list[int]) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    bits, lanes = shape["BITS"], shape["LANES"]
    low = -(1 << (bits - 1)) if shape["SIGNED"] else 0
    images = rng.integers(low, low + (1 << bits), (frames, shape["HEIGHT"], shape["WIDTH"], shape["CHANNELS"]))
    due = np.concatenate([_pooled(shape, image, down).ravel() for image in images])
    mask = (1 << bits) - 1
    return beats(images.ravel() & mask, lanes, bits), beats(due & mask, lanes, bits)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Frames back to back at any rate of either side, and again after a reset in the middle of a frame."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.6, 0.6), (1, 0.3), (0.3, 1)]):
        sent, due = _traffic(shape, 3, seed, directions(shape))
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == due
        await bench.reset_under_way(2 + len(sent) // 7, ready=True)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """A beat in every cycle; a result one cycle after the last beat of its window."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    sent, due = _traffic(shape, 3, 3, directions(shape))
    trace = await bench.stream(sent, len(due))
    assert trace.beats == due
    assert trace.in_cycles == list(range(trace.in_cycles[0], trace.in_cycles[0] + len(sent)))
    k, folds = shape["KERNEL"], shape["CHANNELS"] // shape["LANES"]
    number = np.arange(len(sent)).reshape(3, shape["HEIGHT"], shape["WIDTH"], folds)
    ends = number[:, k - 1 : shape["HEIGHT"] // k * k : k, k - 1 : shape["WIDTH"] // k * k : k].ravel()
    assert [cycle - trace.in_cycles[0] for cycle in trace.out_cycles] == [int(end) + 1 for end in ends]
    assert trace.latency == ((k - 1) * shape["WIDTH"] + k - 1) * folds + 1


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def loading(dut, case):
    """The chain takes this unit's words, passes the rest on, and a reset leaves what was loaded."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    down = directions(shape)
    behind = [0x12345678, 0, 0xFFFFFFFF, 5]
    for seed, p_valid in ((1, 1.0), (2, 0.5), (0, 1.0)):
        words = []
        if shape.parameters["DIRECTION_FILE"]:
            down = directions(shape, seed)
            packed = sum(bit << c for c, bit in enumerate(down))
            words = [packed >> (32 * i) & 0xFFFFFFFF for i in range((shape["CHANNELS"] + 31) // 32)]
        assert await bench.load(words + behind, p_valid, seed) == behind
        await bench.reset(1)
        sent, due = _traffic(shape, 1, seed, down)
        trace = await bench.stream(sent, len(due))
        assert trace.beats == due
