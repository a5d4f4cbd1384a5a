"""Units around streamed weights, on the shapes of the RTL's testbenches: the RTL's beats, each row of weights ordered once an image."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hw.tb.common.cases import Case, selected
from hw.tb.mvtu.reference import Parameters, vectors
from hw.tb.mvtu_stream import shapes as mvtu_shapes
from hw.tb.reorder import shapes as reorder_shapes
from hw.tb.replay import shapes as replay_shapes
from hw.tb.swg.reference import beats
from hw.tb.weight_reader import shapes as reader_shapes
from tests.hls.bench import Bench
from tests.hls.test_units import FRAMES, LATER, START, cases_of, check, tools_or_skip

#: every how many of the slow shapes is compiled, half a second each; QLIGHT_ALL_SHAPES=1: all of them
SHAPES = {mvtu_shapes: 5, reorder_shapes: 8, replay_shapes: 8}
#: of the others, those that are always compiled: one vector and more, one fold and more, codes and accumulators
FEW = {mvtu_shapes: slice(0, 9, 4), reorder_shapes: slice(0, 1), replay_shapes: slice(0, 2)}
STOP, RUN = 1 << 33, 1 << 33 | 1


def reader_cases(many: bool) -> list[Case]:
    """Those of the RTL's reader; bursts and addresses are the tool's."""
    found = {(case["DATA_BITS"], min(case["WORDS"], 100)) for case in selected(reader_shapes.CASES, False)[: None if many else 1]}
    return [Case("qlight_weight_reader", {"DATA_BITS": bits, "WORDS": words}, 1, bits) for bits, words in sorted(found)]


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "many"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    tools_or_skip()
    cases = []
    for shapes, step in SHAPES.items():
        fast = selected(shapes.CASES, False)
        few = fast[FEW[shapes]]
        rest = [case for case in fast if case not in few] + selected(shapes.CASES, True)[
            :: 1 if os.environ.get("QLIGHT_ALL_SHAPES") else step
        ]
        cases += rest if request.param else few
    return Bench(cases + reader_cases(request.param), tmp_path_factory.mktemp("bench"))


def random_beats(case: Case, count: int, seed: int) -> list[int]:
    return [int(beat) for beat in np.random.default_rng(seed).integers(0, 1 << case["WIDTH"], count)]


def test_replay(bench: Bench) -> None:
    for case in cases_of(bench, "replay"):
        frame, times = case["FRAME"], case["TIMES"]
        given = random_beats(case, FRAMES * frame, 1)
        due = np.repeat(np.reshape(given, (FRAMES, frame)), times, axis=0)
        check(bench, case, given, due.ravel().tolist(), frame * times)


def test_reorder(bench: Bench) -> None:
    for case in cases_of(bench, "reorder"):
        outer, inner = case["OUTER"], case["INNER"]
        given = random_beats(case, FRAMES * outer * inner, 2)
        due = np.reshape(given, (FRAMES, outer, inner)).swapaxes(1, 2)
        check(bench, case, given, due.ravel().tolist(), outer * inner)


def test_reader(bench: Bench) -> None:
    """An order, an image, from the first word on."""
    for case in cases_of(bench, "weight_reader"):
        rng = np.random.default_rng(case["WORDS"])
        words = [int.from_bytes(rng.bytes(case["DATA_BITS"] // 8), "little") for _ in range(case["WORDS"])]
        bench.put(case, words, case["DATA_BITS"])
        assert bench.run(case, [1] * FRAMES, (FRAMES + 1) * len(words))[0] == FRAMES * words
        assert bench.run(case, [], len(words)) == ([], [])


def traffic(case: Case, parameters: Parameters, images: int, seed: int) -> tuple[list[int], list[int]]:
    """Beats in, every image once a fold of the rows, and beats out, fold by fold."""
    folds, bits = case["MH"] // case["PE"], case["OUTPUT_BITS"] or case["ACC_BITS"]
    codes = vectors(case, images * case["VECTORS"], seed)
    sent = np.repeat(codes.reshape(images, case["VECTORS"], -1), folds, axis=0)
    results = (parameters.results(codes) & ((1 << bits) - 1)).reshape(images, case["VECTORS"], folds, case["PE"]).swapaxes(1, 2)
    return beats(sent.ravel(), case["SIMD"], case["ACTIVATION_BITS"]), beats(results.ravel(), case["PE"], bits)


def row_bits(case: Case) -> int:
    return case["PE"] * case["SIMD"] * case["WEIGHT_BITS"]


def load(bench: Bench, case: Case, seed: int, every: int = 1) -> Parameters:
    """Thresholds over the chain, other rows, and the start of fetching; all words but the unit's own are passed on."""
    parameters = Parameters.random(case, seed)
    words = parameters.words()[-(-row_bits(case) // 32) * len(parameters.rows()) :]
    cut = len(words) // 2
    assert bench.load(case, [START, *words[:cut]]) == [START], "a load that is not finished"
    assert bench.load(case, [STOP, START, *words[:cut], STOP, *words[cut:], *LATER]) == [STOP, START, STOP, *LATER]
    bench.put(case, parameters.rows(), row_bits(case), every)
    assert bench.load(case, [RUN]) == [RUN]
    return parameters


def settle(bench: Bench, case: Case, every: int = 1) -> int:
    """Images whose rows have been ordered when everything that fits has come, and what came too late was dropped."""
    assert bench.run(case, [], (4 * case["MW"] * case["MH"] + 10) * every)[0] == []
    return bench.ordered(case)


def test_mvtu_stream(bench: Bench) -> None:
    """Rows that are early: the loop's cycles, and an order an image. Other parameters are loaded after rows were fetched ahead."""
    for case in cases_of(bench, "mvtu_stream"):
        for seed in range(2):
            parameters = load(bench, case, seed)
            given, due = traffic(case, parameters, FRAMES, seed)
            before = settle(bench, case)
            check(bench, case, given, due, len(given) // FRAMES)
            assert settle(bench, case) - before == 3 * FRAMES, "check runs the images three times"


def test_mvtu_stream_with_late_rows(bench: Bench) -> None:
    """Rows that come more slowly than vectors: each is taken at once. A load in the middle of them: the rest is dropped."""
    for case in cases_of(bench, "mvtu_stream"):
        every, images = case["VECTORS"] + 2, 6
        for seed in (2, 3):
            parameters = load(bench, case, seed, every)
            given, due = traffic(case, parameters, images, seed)
            frame = every * len(parameters.rows())
            found, calls = bench.run(case, given, (images + 5) * frame + 100)
            assert found == due, str(case)
            assert calls[-1] - calls[-1 - len(due) // images] == frame, str(case)
            for words in ([STOP], [RUN]):
                bench.load(case, words)
                bench.run(case, [], every * (len(parameters.rows()) // 2 + 1) if words == [RUN] else 3 * frame)
            bench.put(case, parameters.rows(), row_bits(case), every=10**9)


def test_fetching_that_stops_and_starts(bench: Bench) -> None:
    for case in cases_of(bench, "mvtu_stream")[::2]:
        parameters = load(bench, case, 4)
        for seed in range(3):
            bench.load(case, [STOP, RUN, STOP] if seed % 2 else [STOP])
            ordered = settle(bench, case)
            given, due = traffic(case, parameters, 2, seed)
            assert bench.run(case, given[:1], 50)[0] == [], "without weights"
            assert bench.ordered(case) == ordered
            bench.load(case, [RUN])
            assert bench.run(case, given[1:], 4 * len(given) + 4 * len(parameters.rows()) + 50)[0] == due, str(case)
