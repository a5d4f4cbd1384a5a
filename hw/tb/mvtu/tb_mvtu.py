"""qlight_mvtu: every result, SF * NF cycles a vector without a bubble, latency SF + 3 + 2 OUTPUT_BITS, loading over the parameter chain."""

import cocotb
import numpy as np

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.mvtu.reference import Parameters, vectors
from hw.tb.mvtu.shapes import CASES
from hw.tb.swg.reference import beats

SELECTED = list(enumerate(selected(CASES)))


def _traffic(shape: Case, parameters: Parameters, count: int, seed: int) -> tuple[list[int], list[int]]:
    codes = vectors(shape, count, seed)
    bits = shape["OUTPUT_BITS"] or shape["ACC_BITS"]
    due = parameters.results(codes) & ((1 << bits) - 1)
    return beats(codes.ravel(), shape["SIMD"], shape["ACTIVATION_BITS"]), beats(due.ravel(), shape["PE"], bits)


def _folds(shape: Case) -> tuple[int, int]:
    return shape["MW"] // shape["SIMD"], shape["MH"] // shape["PE"]


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Vectors back to back at any rate of either side, and again after a reset in the middle of a vector."""
    index, shape = case
    parameters = Parameters.random(shape)
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.6, 0.6), (1, 0.2), (0.3, 1)]):
        sent, due = _traffic(shape, parameters, 12, seed)
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == due
        await bench.reset_under_way(3 + 2 * _folds(shape)[0], ready=True)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """Always valid and ready: beat sf of vector v is taken in cycle v * SF * NF + sf, results leave a fixed time after their fold."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    count = 8
    sent, due = _traffic(shape, Parameters.random(shape), count, 4)
    trace = await bench.stream(sent, len(due))
    assert trace.beats == due
    sf, nf = _folds(shape)
    start, after = trace.in_cycles[0], 3 + 2 * shape["OUTPUT_BITS"]
    assert [cycle - start for cycle in trace.in_cycles] == [v * sf * nf + s for v in range(count) for s in range(sf)]
    assert [cycle - start for cycle in trace.out_cycles] == [(v * nf + n + 1) * sf + after for v in range(count) for n in range(nf)]
    assert trace.latency == sf + after


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def loading(dut, case):
    """The chain takes this unit's words, passes the rest on; a second load replaces the first; a reset leaves what was loaded."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    behind = [0xDEADBEEF, 0, 1, 0xFFFFFFFF]
    for seed, p_valid in ((1, 1.0), (2, 0.6), (0, 1.0)):
        parameters = Parameters.random(shape, seed)
        # A load that breaks off is replaced by the next start.
        await bench.load(parameters.words()[:2], 1.0, seed)
        assert await bench.load(parameters.words() + behind, p_valid, seed) == behind
        if seed == 1:
            await bench.reset(1)
        sent, due = _traffic(shape, parameters, 6, seed)
        trace = await bench.stream(sent, len(due))
        assert trace.beats == due


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def boundaries(dut, case):
    """Thresholds at the very sums that occur, one below and one above, in both directions."""
    index, shape = case
    bench = Bench(dut, index, chain=True)
    await bench.reset()
    if not shape["OUTPUT_BITS"]:
        return
    parameters = Parameters.random(shape)
    codes = vectors(shape, 4, 11)
    sums = parameters.accumulators(codes)
    count = parameters.thresholds.shape[1]
    limit = 1 << (shape["ACC_BITS"] - 1)
    for step in (-1, 0, 1):
        levels = np.sort(np.resize(sums.T, (shape["MH"], count)) + step, axis=1).clip(-limit, limit)
        down = parameters.direction == 1
        levels[down] = levels[down, ::-1]
        parameters.thresholds = levels
        await bench.load(parameters.words())
        bits = shape["OUTPUT_BITS"]
        due = beats(parameters.results(codes).ravel(), shape["PE"], bits)
        trace = await bench.stream(beats(codes.ravel(), shape["SIMD"], shape["ACTIVATION_BITS"]), len(due), idle=20)
        assert trace.beats == due
