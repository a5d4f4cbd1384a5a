"""Every unit of hw/hls on the shapes of the RTL's testbenches, against the same NumPy references: the RTL's beats, in its order.

A call of a unit is a clock cycle, so that frames take as many calls as hw/rtl/README.md says that they take cycles.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from hw.tb.affine import shapes as affine_shapes
from hw.tb.common.cases import Case, selected
from hw.tb.dwc import shapes as dwc_shapes
from hw.tb.mvtu import shapes as mvtu_shapes
from hw.tb.mvtu.reference import Parameters, vectors
from hw.tb.pool import shapes as pool_shapes
from hw.tb.swg import shapes as swg_shapes
from hw.tb.swg.reference import beats, cycles_a_frame, windows
from qlight.engines import compiling, native_csim
from qlight.errors import HardwareError
from tests.hls.bench import Bench

#: every how many of the slow shapes is compiled, half a second each; QLIGHT_ALL_SHAPES=1: all of them
SHAPES = {affine_shapes: 4, dwc_shapes: 8, mvtu_shapes: 4, pool_shapes: 4, swg_shapes: 2}
START = 1 << 32
#: words of the units behind, which must be passed on
LATER = [0, 0xFFFFFFFF, 5]
FRAMES = 3


def tools_or_skip() -> None:
    try:
        native_csim.find_ap_int()
        compiling.cxx()
    except HardwareError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "many"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    tools_or_skip()
    every = request.param and not os.environ.get("QLIGHT_ALL_SHAPES")
    cases = [case for shapes, step in SHAPES.items() for case in selected(shapes.CASES, request.param)[:: step if every else 1]]
    return Bench(cases, tmp_path_factory.mktemp("bench"))


def cases_of(bench: Bench, cell: str) -> list[Case]:
    found = [case for case in bench.cases if case.cell == f"qlight_{cell}"]
    assert found
    return found


def check(bench: Bench, case: Case, given: list[int], due: list[int], frame: int) -> None:
    """Frames that always have beats, in ``frame`` calls each after the first; then the same again with gaps."""
    assert len(due) % FRAMES == 0
    found, calls = bench.run(case, given, (FRAMES + 2) * frame + 100)
    assert found == due, str(case)
    ends = calls[len(due) // FRAMES - 1 :: len(due) // FRAMES]
    assert set(np.diff(ends)) == {frame}, str(case)
    for seed in (1, 2):
        assert bench.run(case, given, 8 * (FRAMES + 2) * frame + 400, gaps=seed)[0] == due, str(case)


def test_dwc(bench: Bench) -> None:
    for case in cases_of(bench, "dwc"):
        lanes_in, lanes_out = case["IN_LANES"], case["OUT_LANES"]
        if case["FRAME"]:
            check_ends(bench, case)
            continue
        frame = math.lcm(lanes_in, lanes_out) * 4
        codes = np.random.default_rng(1).integers(0, 1 << case["BITS"], FRAMES * frame)
        given, due = (beats(codes, lanes, case["BITS"]) for lanes in (lanes_in, lanes_out))
        check(bench, case, given, due, frame // min(lanes_in, lanes_out))


def check_ends(bench: Bench, case: Case) -> None:
    """Frames of so many beats out, each of which begins with a beat in; what is left of its last beat in is dropped."""
    lanes_in, lanes_out, out = case["IN_LANES"], case["OUT_LANES"], case["FRAME"]
    codes = np.random.default_rng(1).integers(0, 1 << case["BITS"], (FRAMES, -(-out * lanes_out // lanes_in) * lanes_in))
    due = beats(codes[:, : out * lanes_out].ravel(), lanes_out, case["BITS"])
    check(bench, case, beats(codes.ravel(), lanes_in, case["BITS"]), due, max(out, codes.shape[1] // lanes_in))


def test_swg(bench: Bench) -> None:
    for case in cases_of(bench, "swg"):
        shape = (FRAMES, case["HEIGHT"], case["WIDTH"], case["CHANNELS"])
        images = np.random.default_rng(2).integers(0, 1 << case["BITS"], shape)
        due = np.concatenate([windows(case, image) for image in images])
        given, due = (beats(codes.ravel(), case["LANES"], case["BITS"]) for codes in (images, due))
        check(bench, case, given, due, max(cycles_a_frame(case), len(given) // FRAMES))


def test_pool(bench: Bench) -> None:
    for case in cases_of(bench, "pool"):
        for seed in range(2):
            directions = pool_shapes.directions(case, seed)
            words = [sum(bit << c for c, bit in enumerate(directions[start : start + 32])) for start in range(0, len(directions), 32)]
            assert bench.load(case, [START, *words, *LATER]) == [START, *LATER]
            bits, height, width = case["BITS"], case["HEIGHT"], case["WIDTH"]
            codes = np.random.default_rng(seed).integers(0, 1 << bits, (FRAMES, height, width, case["CHANNELS"]))
            values = np.where(codes >> (bits - 1), codes - (1 << bits), codes) if case["SIGNED"] else codes
            best = pooled(values, case["KERNEL"], np.array(directions, bool)) & ((1 << bits) - 1)
            given, due = (beats(each.ravel(), case["LANES"], bits) for each in (codes, best))
            check(bench, case, given, due, height * width * case["CHANNELS"] // case["LANES"])


def pooled(values: np.ndarray, kernel: int, smallest: np.ndarray) -> np.ndarray:
    """N x H x W x C -> N x H/k x W/k x C, the rest dropped."""
    count, height, width, channels = values.shape
    rows, columns = height // kernel, width // kernel
    blocks = values[:, : rows * kernel, : columns * kernel].reshape(count, rows, kernel, columns, kernel, channels)
    return np.where(smallest, blocks.min((2, 4)), blocks.max((2, 4)))


def test_mvtu(bench: Bench) -> None:
    for case in cases_of(bench, "mvtu"):
        folds = case["MW"] // case["SIMD"] * (case["MH"] // case["PE"])
        for seed in range(2):
            parameters = Parameters.random(case, seed)
            assert bench.load(case, [START, *parameters.words(), *LATER]) == [START, *LATER]
            codes = vectors(case, 4 * FRAMES, seed)
            results = parameters.results(codes) & ((1 << (case["OUTPUT_BITS"] or case["ACC_BITS"])) - 1)
            given = beats(codes.ravel(), case["SIMD"], case["ACTIVATION_BITS"])
            due = beats(results.ravel(), case["PE"], case["OUTPUT_BITS"] or case["ACC_BITS"])
            check(bench, case, given, due, 4 * folds)


def test_affine(bench: Bench) -> None:
    for case in cases_of(bench, "affine"):
        for seed in range(2):
            parameters = affine_shapes.Parameters(case, seed)
            bench.load(case, [START, *parameters.words()[:2]])
            assert bench.load(case, [START, *parameters.words(), *LATER]) == [START, *LATER]
            given, due = parameters.traffic(FRAMES, seed)
            check(bench, case, given, due, len(given) // FRAMES)


def test_a_load_that_begins_anew(bench: Bench) -> None:
    """A start in the middle of a load begins it from the first word."""
    for case in cases_of(bench, "mvtu")[:3]:
        first, second = Parameters.random(case, 3), Parameters.random(case, 4)
        cut = len(first.words()) * 2 // 3
        bench.load(case, [START, *first.words()[:cut]])
        assert bench.load(case, [START, *second.words(), *LATER]) == [START, *LATER]
        codes = vectors(case, 2, 5)
        found, _ = bench.run(case, beats(codes.ravel(), case["SIMD"], case["ACTIVATION_BITS"]), 1000)
        bits = case["OUTPUT_BITS"] or case["ACC_BITS"]
        assert found == beats(second.results(codes).ravel() & ((1 << bits) - 1), case["PE"], bits)
