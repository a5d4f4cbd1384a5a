"""Codes as integers, and ranges and widths, against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qlight.intgraph import GraphBuilder, activation_integers, weight_integers
from qlight.intgraph.encodings import accumulator_bits, accumulator_range, code_range, weight_codes, weight_range


@pytest.mark.parametrize(("encoding", "bits"), [*(("odd", bits) for bits in range(1, 9)), *(("signed", bits) for bits in range(2, 9))])
def test_weight_codes_stand_for_equally_spaced_integers(encoding: str, bits: int) -> None:
    low, high = weight_codes(encoding, bits)
    codes = np.arange(low, high + 1).astype(np.uint8 if encoding == "odd" else np.int8)
    builder = GraphBuilder((1, 1, len(codes)))
    builder.flatten("flat")
    builder.linear("output", codes[None], bits=bits, encoding=encoding)
    integers = weight_integers(builder.build(np.ones(1), np.zeros(1)).nodes[1])[0]  # type: ignore[arg-type]
    assert (integers[0], integers[-1]) == weight_range(encoding, bits)
    assert (np.diff(integers) == (2 if encoding == "odd" else 1)).all()
    assert len(codes) == 2**bits


@pytest.mark.parametrize(("encoding", "bits"), [("bipolar", 1), *(("unsigned", bits) for bits in range(1, 9))])
def test_activation_codes_fill_their_range(encoding: str, bits: int) -> None:
    integers = activation_integers(np.arange(2**bits, dtype=np.uint8), encoding)
    assert integers.dtype == np.int64
    assert (integers[0], integers[-1]) == code_range(encoding, bits)


@pytest.mark.parametrize("weight", [("odd", 1), ("odd", 2), ("signed", 2), ("signed", 3)])
@pytest.mark.parametrize("activation", [("bipolar", 1), ("unsigned", 1), ("unsigned", 2)])
def test_the_range_is_that_of_all_sums(weight: tuple[str, int], activation: tuple[str, int]) -> None:
    low, high = code_range(*activation)
    w_low, w_high = weight_range(*weight)
    products = {w * a for w in range(w_low, w_high + 1, 2 if weight[0] == "odd" else 1) for a in {low, high, *range(max(low, 0), high + 1)}}
    sums = [sum(terms) for terms in itertools.product(products, repeat=3)]
    assert accumulator_range(3, (w_low, w_high), low, high) == (min(sums), max(sums))


def test_the_width_is_the_smallest_that_holds_one_step_beyond_the_range() -> None:
    for low, high in itertools.product(range(-70, 1), range(70)):
        smallest = next(bits for bits in range(1, 12) if -(2 ** (bits - 1)) <= low - 1 and high + 1 <= 2 ** (bits - 1) - 1)
        assert accumulator_bits(low, high) == smallest
