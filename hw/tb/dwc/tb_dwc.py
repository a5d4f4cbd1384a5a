"""qlight_dwc: the codes in order, full rate of the narrower side, latency, what is left of a frame's last beat."""

import math
import random

import cocotb

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.dwc.shapes import CASES

SELECTED = list(enumerate(selected(CASES)))


def _traffic(shape: Case, repeats: int, seed: int) -> tuple[list[int], list[int]]:
    """Beats in and out: `repeats` times the least common multiple of the lanes, or frames of FRAME output beats."""
    bits, lanes_in, lanes_out = shape["BITS"], shape["IN_LANES"], shape["OUT_LANES"]
    rng = random.Random(seed)
    if shape["FRAME"]:
        sent: list[int] = []
        due: list[int] = []
        for _ in range(repeats):
            codes = [rng.getrandbits(bits) for _ in range(shape["FRAME"] * lanes_out)]
            due += _pack(codes, lanes_out, bits)
            sent += _pack(codes + [rng.getrandbits(bits) for _ in range(-len(codes) % lanes_in)], lanes_in, bits)
        return sent, due
    codes = [rng.getrandbits(bits) for _ in range(repeats * math.lcm(lanes_in, lanes_out))]
    return _pack(codes, lanes_in, bits), _pack(codes, lanes_out, bits)


def _pack(codes: list[int], lanes: int, bits: int) -> list[int]:
    return [sum(code << (bits * i) for i, code in enumerate(codes[at : at + lanes])) for at in range(0, len(codes), lanes)]


def _repeats(shape: Case) -> int:
    return 2 + 120 * min(shape["IN_LANES"], shape["OUT_LANES"]) // math.lcm(shape["IN_LANES"], shape["OUT_LANES"])


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Every code once and in order, at any rate of either side; a reset in the middle drops what is held."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    for seed, (p_valid, p_ready) in enumerate([(0.6, 0.6), (1, 0.3), (0.3, 1), (0.9, 0.9)]):
        beats, expected = _traffic(shape, _repeats(shape), seed)
        trace = await bench.stream(beats, len(expected), p_valid, p_ready, seed, probe=seed == 0)
        assert trace.beats == expected
        # One beat stays inside where the ratio is not whole, or is ready to leave; neither survives a reset.
        await bench.reset_under_way(1)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def rate_and_latency(dut, case):
    """The narrower side moves a beat every cycle; the first output follows the input that completes it by one cycle."""
    index, shape = case
    bench = Bench(dut, index)
    await bench.reset()
    beats, expected = _traffic(shape, _repeats(shape), 5)
    trace = await bench.stream(beats, len(expected))
    assert trace.beats == expected
    assert trace.latency == math.ceil(shape["OUT_LANES"] / shape["IN_LANES"])
    if shape["FRAME"]:
        took = trace.out_cycles[-1] - trace.out_cycles[shape["FRAME"] - 1]
        beats_a_frame = max(shape["FRAME"], math.ceil(shape["FRAME"] * shape["OUT_LANES"] / shape["IN_LANES"]))
        assert abs(took - (_repeats(shape) - 1) * beats_a_frame) <= 1
        return
    narrow = trace.in_cycles if shape["IN_LANES"] <= shape["OUT_LANES"] else trace.out_cycles
    assert narrow == list(range(narrow[0], narrow[0] + len(narrow)))
