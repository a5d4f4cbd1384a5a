"""Foldings that are given are checked; those that are chosen are the cheapest that reach their target."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.hardware.folding import Fold, checked, choose, cost, divisors, fastest, layer_cycles, window_lanes
from qlight.hardware.layers import layers
from qlight.hardware.pipeline import make_pipeline
from tests.engines.networks import network_graph
from tests.hardware.strategies import random_graph, supported_graphs

GRAPH = random_graph(0)
GIVEN: dict[str, Any] = {"conv0": (8, 4), "conv1": (4, 8), "output": (1, 2)}


@given(st.integers(1, 3000))
def test_divisors(number: int) -> None:
    assert divisors(number) == [each for each in range(1, number + 1) if number % each == 0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_cheapest_legal_folding_that_reaches_the_target(data: st.DataObject) -> None:
    found = layers(data.draw(supported_graphs()))
    least = max(max(fastest(layer) for layer in found), found[-1].outputs, 1 + found[0].source.bits * 1000)
    target = data.draw(st.integers(least, 4 * least))
    folding = choose(found, target)
    slowest = max(layer_cycles(layer, folding[layer.name]) for layer in found)
    assert slowest <= target
    for layer in found:
        fold = folding[layer.name]
        assert layer.outputs % fold.pe == 0
        assert layer.inputs % fold.simd == 0
        for pe in divisors(layer.outputs):
            for simd in divisors(layer.inputs):
                other = Fold(pe, simd, requantize=fold.requantize)
                if cost(layer, other) < cost(layer, fold):
                    assert layer_cycles(layer, other) > slowest, "a cheaper one would do"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_folding_that_was_chosen_may_be_given(data: st.DataObject) -> None:
    found = layers(data.draw(supported_graphs()))
    folding = choose(found)
    assert checked(found, {name: fold.entry for name, fold in folding.items()}) == folding == checked(found, folding)
    assert list(folding) == [layer.name for layer in found]


def test_by_default_layers_are_balanced_at_a_modest_parallelism() -> None:
    found = layers(network_graph(1, 1))
    folding = choose(found)
    busy = [layer_cycles(layer, folding[layer.name]) for layer in found]
    assert max(busy) == 9216
    assert folding["conv1"].pe * folding["conv1"].simd == 256
    assert sorted(busy)[-7] > 0.85 * max(busy)


def test_comparators_make_few_processing_elements() -> None:
    """With as many products, few elements are cheaper: each has a comparator for every bit of its codes."""
    for bits in (1, 8):
        layer = layers(network_graph(1, bits))[1]
        assert cost(layer, Fold(2, 8)) - cost(layer, Fold(1, 16)) == bits * layer.accumulator.bits


def test_window_lanes_divide_the_pixel() -> None:
    layer = layers(network_graph(1, 1))[0]
    assert [window_lanes(layer, simd) for simd in (1, 3, 9, 27)] == [1, 3, 3, 3]
    assert layer_cycles(layer, Fold(16, 27)) == 9 * 32 * 32, "the window generator is the slower one"


@pytest.mark.parametrize(
    ("folding", "message"),
    [
        ({**GIVEN, "conv1": (3, 8)}, r"Expected `folding` of 'conv1' to have a PE that divides its 8 outputs, but got 3; try 2 or 4."),
        ({**GIVEN, "conv1": (4, 5)}, r"Expected `folding` of 'conv1' to have a SIMD that divides its 72 inputs, but got 5; try 4 or 6."),
        ({**GIVEN, "cnv1": (1, 1)}, r"Expected `folding` to name layers of the graph, but got 'cnv1'; did you mean conv1\?"),
        ({"conv0": (1, 1)}, r"Expected `folding` to have every layer, but 'conv1' is missing; add its \(PE, SIMD\)."),
        ({**GIVEN, "conv0": 4}, r"Expected `folding` of 'conv0' to be a pair of positive integers \(PE, SIMD\), but got 4."),
        ({**GIVEN, "conv0": (0, 1)}, r"Expected `folding` of 'conv0' to be a pair of positive integers"),
        ({**GIVEN, "conv0": (1.0, 1)}, r"Expected `folding` of 'conv0' to be a pair of positive integers"),
        ({**GIVEN, "conv0": (1, 2, 3)}, r"Expected `folding` of 'conv0' to be a pair of positive integers"),
        ([(1, 1)], r"Expected `folding` to be a mapping of layers to \(PE, SIMD\), but got list"),
    ],
)
def test_wrong_foldings(folding: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_pipeline(GRAPH, folding)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (575, r"Expected `target_cycles` to be at least 576, which layer 'conv0' takes at best, but got 575; ask for more cycles."),
        (0, "Expected `target_cycles` to be a positive number of cycles an image, but got 0"),
        (1e5, "Expected `target_cycles` to be a positive number of cycles an image, but got 100000.0"),
        (True, "Expected `target_cycles` to be a positive number of cycles an image, but got True"),
    ],
)
def test_wrong_targets(target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_pipeline(GRAPH, target_cycles=target)


def test_folding_and_target() -> None:
    with pytest.raises(InputError, match=r"Expected `folding` or `target_cycles`, but got both \(600 cycles\); leave one out."):
        make_pipeline(GRAPH, GIVEN, 600)


def test_the_fastest() -> None:
    assert make_pipeline(GRAPH, target_cycles=576).folding["conv0"] == Fold(8, 4)
