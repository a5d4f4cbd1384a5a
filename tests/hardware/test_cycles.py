"""The cycle model against cells that are stepped cycle by cycle, and its promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.hardware.cycles import cycles, image_ends
from qlight.hardware.fifos import most_inside
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.hardware.units import Fifo
from tests.engines.networks import network_graph
from tests.hardware import stepped
from tests.hardware.strategies import foldings, random_graph, supported_graphs


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_images_end_when_the_stepped_cells_end_them(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs(max_bits=2))
    pipeline = make_pipeline(graph, data.draw(foldings(graph)))
    assert image_ends(pipeline, 4) == stepped.image_ends(pipeline, 4)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_steady_state_is_the_slowest_unit(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs(max_bits=2))
    pipeline = make_pipeline(graph, data.draw(foldings(graph)))
    model = cycles(pipeline)
    ends = image_ends(pipeline, 12)
    assert ends[0] == model.latency
    assert ends[-1] - ends[-2] == model.image == max(model.units.values())


@pytest.mark.parametrize("bits", [1, 2])
def test_a_network_of_the_paper(bits: int) -> None:
    pipeline = make_pipeline(network_graph(bits, bits, side=16), target_cycles=9216)
    model = cycles(pipeline)
    ends = image_ends(pipeline, 5)
    assert set(np.diff(ends)) == {9216} == {model.image}
    assert model.bound == 1
    assert ends[:2] == stepped.image_ends(pipeline, 2)


@pytest.mark.parametrize("target", [600, 1000, 3000])
def test_the_slowest_mvtu_is_busy(target: int) -> None:
    model = cycles(make_pipeline(random_graph(0), target_cycles=target))
    assert model.image <= target
    assert model.bound <= 1.03


def test_less_deep_fifos_would_stop_the_pipeline() -> None:
    """The computed depths are needed: the dense layer's FIFO holds what comes while it works through its folds."""
    pipeline = make_pipeline(network_graph(1, 1, side=16), target_cycles=9216)
    deep = [unit for unit in pipeline.units if isinstance(unit, Fifo) and unit.depth > 16]
    assert deep
    shallow = tuple(replace(unit, depth=2) if isinstance(unit, Fifo) else unit for unit in pipeline.units)
    ends = image_ends(Pipeline(pipeline.graph, pipeline.folding, pipeline.layers, shallow), 6)
    assert ends[-1] - ends[-2] > cycles(pipeline).image


def test_the_most_inside_a_fifo() -> None:
    came, left = np.array([0, 1, 2, 3, 10]), np.array([1, 5, 6, 7, 11])
    inside = [sum(c <= t and not gone < t for c, gone in zip(came, left, strict=True)) for t in range(12)]
    assert most_inside(came, left) == max(inside) == 3


@pytest.mark.parametrize("images", [0, -1, 1.5, True])
def test_a_number_of_images(images: int) -> None:
    with pytest.raises(InputError, match="Expected `images` to be a positive number, but got"):
        image_ends(make_pipeline(random_graph(0)), images)
