"""qlight_mvtu_stream: every result at any rate of all three streams, no bubble where weights are early, weights taken once an image."""

from __future__ import annotations

import itertools
import random

import cocotb
import numpy as np

from hw.tb.common.cases import Case, selected
from hw.tb.common.streams import Bench
from hw.tb.mvtu.reference import Parameters, vectors
from hw.tb.mvtu_stream.shapes import CASES
from hw.tb.swg.reference import beats

SELECTED = list(enumerate(selected(CASES)))


class Rows:
    """The weight stream: rows of images, offered at random or every so many cycles; a row that is offered stays."""

    def __init__(self, bench: Bench, rows: list[int], p_valid: float = 1.0, every: int = 1, seed: int = 0) -> None:
        self.bench, self.rows, self.p_valid, self.every = bench, rows, p_valid, every
        self.rng = random.Random(seed)
        self.taken = self.starved = 0
        self.cycles: list[int] = []  # of every row that was taken
        self.offered = False
        self.valid, self.data, self.ready = (bench.port(f"w_axis_t{name}") for name in ("valid", "data", "ready"))

    def drive(self) -> None:
        """Offer the next row."""
        early = bool(self.cycles) and self.bench.cycle - self.cycles[-1] < self.every
        if not self.offered and not early and self.rng.random() < self.p_valid:
            self.offered = True
            self.data.value = self.rows[self.taken % len(self.rows)]
        self.valid.value = self.offered

    def observe(self) -> None:
        """Count what is taken, and cycles in which activations wait for a row."""
        bench = self.bench
        if self.offered and int(self.ready.value):
            self.offered = False
            self.taken += 1
            self.cycles.append(bench.cycle)
        moves = not int(bench.m_valid.value) or bool(int(bench.m_ready.value))
        waits = moves and bool(int(bench.s_valid.value)) and not int(bench.s_ready.value)
        assert bool(int(bench.port("starved").value)) == waits
        self.starved += waits

    async def step(self, cycles: int) -> None:
        """Cycles without activations: rows are fetched ahead."""
        for _ in range(cycles):
            self.drive()
            await self.bench.settle()
            self.observe()
            await self.bench.edge()


async def _start(dut, index: int) -> Bench:
    bench = Bench(dut, index, chain=True)
    for name in ("w_axis_tvalid", "w_axis_tdata"):
        bench.port(name).value = 0
    bench.port("weights_rst_n").value = 1
    await bench.reset()
    return bench


def _traffic(shape: Case, parameters: Parameters, images: int, seed: int) -> tuple[list[int], list[int]]:
    """Beats in, every image NF times, and beats out, fold by fold."""
    pe, bits = shape["PE"], shape["OUTPUT_BITS"] or shape["ACC_BITS"]
    folds = shape["MH"] // pe
    codes = vectors(shape, images * shape["VECTORS"], seed).reshape(images, shape["VECTORS"], -1)
    sent = np.repeat(codes, folds, axis=0)
    due = parameters.results(codes.reshape(-1, shape["MW"])) & ((1 << bits) - 1)
    due = due.reshape(images, shape["VECTORS"], folds, pe).transpose(0, 2, 1, 3)
    return beats(sent.ravel(), shape["SIMD"], shape["ACTIVATION_BITS"]), beats(due.ravel(), pe, bits)


def _threshold_words(parameters: Parameters) -> list[int]:
    """Words of the parameter chain: those of a resident unit without its weights."""
    shape = parameters.shape
    row_words = -(-shape["PE"] * shape["SIMD"] * shape["WEIGHT_BITS"] // 32)
    return parameters.words()[row_words * len(parameters.rows()) :]


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Images back to back at any rate of each stream, and again after a reset in the middle of an image."""
    index, shape = case
    parameters = Parameters.random(shape)
    bench = await _start(dut, index)
    for seed, (p_valid, p_ready, p_rows) in enumerate([(0.7, 0.7, 0.5), (1, 0.3, 1), (1, 1, 0.2), (0.3, 1, 1)]):
        sent, due = _traffic(shape, parameters, 4, seed)
        rows = Rows(bench, parameters.rows(), p_rows, seed=seed)
        trace = await bench.stream(sent, len(due), p_valid, p_ready, seed, idle=400, probe=seed == 0, side=rows)
        assert trace.beats == due
        ahead = 0 if shape["VECTORS"] == 1 else 2 * shape["MW"] // shape["SIMD"]  # fetched for images that did not come
        assert rows.taken == 4 * len(parameters.rows()) + ahead
        await bench.reset_under_way(5 + len(sent) // 7, ready=True)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def timing(dut, case):
    """Rows are there: beat b is taken in cycle b over folds and images, result i leaves in cycle (i + 1) SF + 3 + 2 OUTPUT_BITS."""
    index, shape = case
    parameters = Parameters.random(shape)
    bench = await _start(dut, index)
    rows = Rows(bench, parameters.rows())
    sf = shape["MW"] // shape["SIMD"]
    await rows.step(2 * sf + 3)
    sent, due = _traffic(shape, parameters, 4, 4)
    trace = await bench.stream(sent, len(due), side=rows)
    assert trace.beats == due
    start = trace.in_cycles[0]
    assert [cycle - start for cycle in trace.in_cycles] == list(range(len(sent)))
    assert [cycle - start for cycle in trace.out_cycles] == [(i + 1) * sf + 3 + 2 * shape["OUTPUT_BITS"] for i in range(len(due))]
    assert rows.starved == 0


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def slow_rows(dut, case):
    """Rows that come more slowly than vectors: every one of them is taken at once, so an image takes as long as its rows."""
    index, shape = case
    parameters = Parameters.random(shape)
    bench = await _start(dut, index)
    every = shape["VECTORS"] + 2
    rows = Rows(bench, parameters.rows(), every=every)
    images = 5
    sent, due = _traffic(shape, parameters, images, 5)
    trace = await bench.stream(sent, len(due), idle=60 + 2 * every * shape["MW"], side=rows)
    assert trace.beats == due
    used = rows.cycles[: images * len(parameters.rows())]
    assert {b - a for a, b in itertools.pairwise(used)} <= {every}
    assert rows.starved > 0


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def loading(dut, case):
    """Other thresholds over the chain, which passes the rest on; other weights after a reset of their side, whatever was fetched ahead."""
    index, shape = case
    bench = await _start(dut, index)
    behind = [0xDEADBEEF, 0, 1, 0xFFFFFFFF]
    for seed in (1, 2, 0):
        parameters = Parameters.random(shape, seed)
        bench.port("weights_rst_n").value = 0
        assert await bench.load(_threshold_words(parameters) + behind, 0.8, seed) == behind
        bench.port("weights_rst_n").value = 1
        sent, due = _traffic(shape, parameters, 2 + seed, seed)
        rows = Rows(bench, parameters.rows(), 0.9, seed=seed)
        trace = await bench.stream(sent, len(due), idle=60, side=rows)
        assert trace.beats == due
        rows.valid.value = 0
