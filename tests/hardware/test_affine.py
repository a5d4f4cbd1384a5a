"""An affine form gives the codes of the thresholds for every accumulator, or there is none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.hardware.affine import LEAST_ACC_BITS, LOW_BITS, MULTIPLIER_BITS, OFFSET_BITS, AffineForm, affine_form, levels_of, shift_of
from qlight.hardware.folding import AFFINE, THRESHOLDS, Fold, affine_lanes, checked, choose
from qlight.hardware.layers import layers
from qlight.hardware.packing import memory_files, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.units import Affine
from qlight.intgraph import Threshold
from tests.hardware.affine import affine_graph, thresholds_of
from tests.hardware.strategies import random_graph


def node(levels: np.ndarray, directions: list[int], bits: int) -> Threshold:
    return Threshold(
        "act", "acc", "codes", thresholds=levels.astype(np.int32), direction=np.array(directions, np.int8), bits=bits, encoding="unsigned"
    )


def counted(threshold: Threshold, accumulators: np.ndarray) -> np.ndarray:
    """What the thresholds say: channels x accumulators."""
    levels, falling = threshold.thresholds.astype(np.int64)[:, :, None], (threshold.direction < 0)[:, None, None]
    return np.where(falling, accumulators <= levels, accumulators >= levels).sum(axis=1)


def everything(acc_bits: int) -> np.ndarray:
    return np.arange(-(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1))


#: how many times the codes' range fits the accumulator's, the code in the middle of it, and the direction
functions = st.tuples(st.floats(1 / 16, 2048), st.floats(-400, 400), st.sampled_from([-1, 1]))
Functions = list[tuple[float, float, int]]


def ends(acc_bits: int) -> tuple[int, int]:
    return -(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1) - 1


def form_of(threshold: Threshold, acc_bits: int) -> AffineForm:
    """For all accumulators of so many bits."""
    return affine_form(threshold, acc_bits, *ends(acc_bits))


def rounded(functions: Functions, bits: int, acc_bits: int) -> Threshold:
    rows = [
        thresholds_of(Fraction(fit * 2.0 ** (bits - acc_bits)) * sign, Fraction(middle), bits, *ends(acc_bits))
        for fit, middle, sign in functions
    ]
    return node(np.array([levels for levels, _ in rows]), [direction for _, direction in rows], bits)


def must_be_found(function: tuple[float, float, int], bits: int, acc_bits: int) -> bool:
    """Whether a unit of the form's offset, 2^(LOW_BITS - shift) codes, is less than what every such function leaves to choose from.

    Codes at N accumulators beside each other leave an interval of offsets of 1/N codes or more at some slope of a denominator below N. N
    are those between the first and the last code, and one on either side. Slopes are finer by far than this needs: hence a thirty-second.
    """
    accumulators = min(Fraction(2**acc_bits), 2**acc_bits / Fraction(function[0]) + 3)
    return accumulators * Fraction(2) ** (LOW_BITS - shift_of(acc_bits, bits)) * Fraction(33, 32) <= 1


@settings(max_examples=100, deadline=None)
@given(st.lists(functions, min_size=1, max_size=4), st.integers(1, 8), st.integers(LEAST_ACC_BITS, 12))
@example([(0.80078125, 0.0, -1)], 7, 4)  # no form: six codes an accumulator, and offsets by quarters of a code
def test_affine_functions_are_found_whole(channels: Functions, bits: int, acc_bits: int) -> None:
    """Of either direction, partly or wholly beyond the accumulator's range, and steeper than a code an accumulator."""
    threshold = rounded(channels, bits, acc_bits)
    form = form_of(threshold, acc_bits)
    assert not any(must_be_found(channels[missing], bits, acc_bits) for missing in form.missing)
    has_form = np.setdiff1d(np.arange(len(channels)), form.missing)
    found = np.repeat(everything(acc_bits)[None], len(channels), axis=0)
    np.testing.assert_array_equal(form.of(found)[has_form], counted(threshold, everything(acc_bits))[has_form])
    assert form.shift == shift_of(acc_bits, bits)
    for values, width in ((form.multiplier, MULTIPLIER_BITS), (form.offset, OFFSET_BITS)):
        assert (-(2 ** (width - 1)) <= values).all()
        assert (values < 2 ** (width - 1)).all()


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(LEAST_ACC_BITS, 7), st.sampled_from([-1, 1]))
def test_any_thresholds_have_their_form_or_none(data: st.DataObject, bits: int, acc_bits: int, sign: int) -> None:
    """Against the exact condition: two integers and two thresholds suffice to say that no affine function separates them."""
    low, high = ends(acc_bits)
    start, step = data.draw(st.integers(low, high + 1)), data.draw(st.floats(0, 2**acc_bits / 2**bits))
    noise = data.draw(st.lists(st.integers(-1, 1), min_size=2**bits - 1, max_size=2**bits - 1))
    levels = np.sort([round(start + k * step) + move for k, move in enumerate(noise)]).clip(low, high + 1)
    threshold = node(levels[None] if sign > 0 else -levels[None], [sign], bits)
    form = form_of(threshold, acc_bits)
    assert (form.missing == ()) == separable(threshold, acc_bits)
    if form.missing == ():
        np.testing.assert_array_equal(form.of(everything(acc_bits)[None]), counted(threshold, everything(acc_bits)))


def separable(threshold: Threshold, acc_bits: int) -> bool:
    """Whether some slope a and offset b have a acc + b >= k exactly where the code is at least k: by rational numbers."""
    codes = counted(threshold, everything(acc_bits))[0]
    if threshold.direction[0] < 0:
        codes = codes[::-1]
    top = threshold.thresholds.shape[1]
    above = [(k, int(np.argmax(codes >= k))) for k in range(1, top + 1) if codes.max() >= k]
    below = [(k, len(codes) - 1 - int(np.argmax(codes[::-1] < k))) for k in range(1, top + 1) if codes.min() < k]
    least, most = Fraction(-1), Fraction(10**9)  # of a, both excluded; a slope below 0 would have to be 0 as well
    for k, reached in above:
        for other, unmet in below:
            if unmet == reached and other <= k:
                return False
            if unmet != reached:
                bound = Fraction(other - k, unmet - reached)
                least, most = (least, min(most, bound)) if unmet > reached else (max(least, bound), most)
    return max(least, Fraction(0)) < most or least < 0 < most


@pytest.mark.parametrize(("acc_bits", "parts"), [(20, (2, 9)), (26, (6, 10)), (30, (9, 10))])
def test_wide_accumulators(acc_bits: int, parts: tuple[int, int]) -> None:
    """As batch norms give them: the codes take a small part of the range; each side of each threshold, with integers of any size."""
    rng, bits, rows = np.random.default_rng(acc_bits), 8, []
    for index in range(24):
        span = Fraction(2.0 ** (acc_bits - rng.uniform(*parts)))
        slope = 256 / span * (-1 if index % 2 else 1)
        rows.append(thresholds_of(slope, 128 - slope * Fraction(rng.normal(0, 1)) * span, bits, *ends(acc_bits)))
    threshold = node(np.array([levels for levels, _ in rows]), [direction for _, direction in rows], bits)
    form = form_of(threshold, acc_bits)
    assert form.missing == ()
    for channel, (levels, direction) in enumerate(rows):
        multiplier, offset = int(form.multiplier[channel]), int(form.offset[channel]) << 17
        for number, level in enumerate(levels.tolist(), 1):
            at, before = ((multiplier * acc + offset) >> form.shift for acc in (level, level - direction))
            assert before < number <= at


def test_one_threshold_out_of_place_is_noticed() -> None:
    levels, _ = thresholds_of(Fraction(1, 300), Fraction(128), 8, *ends(21))
    for place in (0, 100, 254):
        wrong = levels.copy()
        wrong[place] += 40 if place == 254 else -40
        assert form_of(node(np.array([levels, wrong, levels]), [1, 1, 1], 8), 21).missing == (1,)


@settings(max_examples=50, deadline=None)
@given(st.lists(functions, min_size=1, max_size=3), st.integers(1, 8), st.integers(LEAST_ACC_BITS, 12))
def test_levels_of_a_form(channels: Functions, bits: int, acc_bits: int) -> None:
    threshold = rounded(channels, bits, acc_bits)
    form = form_of(threshold, acc_bits)
    levels, direction = levels_of(form.multiplier, form.offset, bits, acc_bits, *ends(acc_bits))
    again = node(levels, direction.tolist(), bits)
    np.testing.assert_array_equal(counted(again, everything(acc_bits)), counted(threshold, everything(acc_bits)))


def test_thresholds_beyond_the_reach_ask_for_nothing() -> None:
    """A graph says of a threshold that nothing reaches that it lies one beyond; a line through it would pass elsewhere."""
    levels, _ = thresholds_of(Fraction(1, 10), Fraction(128), 8, -900, 900)
    threshold = node(levels[None], [1], 8)
    assert (levels == 901).sum() > 20
    assert form_of(threshold, 12).missing == (0,)
    form = affine_form(threshold, 12, -900, 900)
    assert form.missing == ()
    reached = np.arange(-900, 901)
    np.testing.assert_array_equal(form.of(reached[None]), counted(threshold, reached))


GRAPH = affine_graph(random_graph(1, bits=6), 1)
FOLDING = {"conv0": (8, 9), "conv1": (8, 36), "output": (1, 8)}


def test_affine_is_the_default_of_many_bits() -> None:
    pipeline = make_pipeline(GRAPH, FOLDING)
    assert [fold.requantize for fold in pipeline.folding.values()] == [AFFINE, AFFINE, "auto"]
    assert pipeline.folding["conv1"].entry == {"pe": 8, "simd": 36, "requantize": "affine"}
    units = {unit.name: unit for unit in pipeline.units if isinstance(unit, Affine)}
    # conv0 has 36 columns, so a result every 4 cycles, of 8 channels: 2 at a time; conv1 one every 2 cycles
    assert [(name, unit.lanes, unit.rows, unit.target.bits) for name, unit in units.items()] == [
        ("conv0_affine", 2, 4, 6),
        ("conv1_affine", 4, 2, 6),
    ]
    assert make_pipeline(GRAPH).folding["conv0"].affine
    assert all(fold.affine for name, fold in choose(layers(GRAPH)).items() if name != "output")


def test_few_bits_and_rough_thresholds_stay_as_they_are() -> None:
    few = affine_graph(random_graph(1, bits=4), 1)
    assert {fold.requantize for fold in make_pipeline(few).folding.values()} == {"auto"}
    asked = {name: {"pe": 1, "simd": 1, "requantize": THRESHOLDS} for name in ("conv0", "conv1")} | {"output": (1, 1)}
    assert make_pipeline(few, asked).folding["conv0"] == Fold(1, 1), "the same accelerator has one folding"
    rough = make_pipeline(random_graph(1, bits=6))
    assert [fold.requantize for fold in rough.folding.values()] == [THRESHOLDS, THRESHOLDS, "auto"]
    kept = make_pipeline(GRAPH, FOLDING | {"conv0": {"pe": 8, "simd": 9, "requantize": THRESHOLDS}})
    assert [unit.name for unit in kept.units if isinstance(unit, Affine)] == ["conv1_affine"]


def test_lanes_keep_up_with_the_products() -> None:
    conv1 = layers(GRAPH)[1]
    assert conv1.inputs == 72
    assert [affine_lanes(conv1, Fold(8, simd)) for simd in (1, 9, 18, 36, 72)] == [1, 1, 2, 4, 8]


def test_a_worked_example_of_files_and_words() -> None:
    pipeline = make_pipeline(GRAPH, FOLDING)
    form = pipeline.layers[0].affine
    assert form is not None
    files, words = dict(memory_files(pipeline)), parameter_words(pipeline).tolist()
    at = 4 * -(-8 * 9 * 8 // 32)  # behind the weights of conv0
    for channel in range(8):
        row = int(files[f"conv0_affine/{channel % 2}.mem"].split()[channel // 2], 16)
        assert row == sum(words[at + 3 * channel + place] << 32 * place for place in range(3))
        multiplier, offset = row & 2**34 - 1, row >> 34
        assert multiplier - (multiplier >> 33 << 34) == form.multiplier[channel]
        assert offset - (offset >> 37 << 38) == form.offset[channel]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"conv0": {"pe": 8, "simd": 9, "requantize": "affine"}}, r"an affine function of the accumulator, .* first is 0; use a folding"),
        ({"output": {"pe": 1, "simd": 8, "requantize": "affine"}}, r"Expected no `requantize` of 'output'"),
        (
            {"conv0": {"pe": 8, "simd": 9, "requantize": "affin"}},
            r"one of auto, thresholds, affine, but got 'affin'; did you mean affine\?",
        ),
    ],
)
def test_bad_input(entry: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(layers(random_graph(1, bits=6)), FOLDING | entry)
