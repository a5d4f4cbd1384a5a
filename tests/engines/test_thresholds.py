"""Folded thresholds and lines against counting, at every dot product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.engines.thresholds import ascending, fit
from qlight.intgraph import Threshold

REACH = 400


@given(st.integers(1, 3), st.sampled_from([1, 2]), st.integers(-9, 9), st.sampled_from([-1, 1]), st.data())
def test_folding_changes_no_code(bits: int, factor: int, offset: int, direction: int, data: st.DataObject) -> None:
    count = 2**bits - 1
    values = sorted(data.draw(st.lists(st.integers(-30, 30), min_size=count, max_size=count)), key=lambda value: direction * value)
    node = Threshold("act", "a", "b", "unsigned", bits, np.array([values], np.int32), np.array([direction], np.int8))
    rising = ascending(node, factor, np.array([offset]))
    for dot in range(-50, 51):
        code = sum(direction * (factor * dot + offset) >= direction * value for value in values)
        assert int((rising.levels[0] <= dot).sum()) ^ int(rising.flip[0]) == code


def computed(levels: np.ndarray, real: type[np.floating]) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel makes of a line, and the number of levels reached, for every dot product of the reach."""
    dots = np.arange(-REACH, REACH + 1)
    line = fit(levels, np.full(len(levels), -REACH), np.full(len(levels), REACH))
    value = dots.astype(real) * line.slope[:, None].astype(real) + line.shift[:, None].astype(real)
    return np.floor(value.clip(0, levels.shape[1])).astype(int), (levels[:, None, :] <= dots[:, None]).sum(-1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 3, 15, 255]), st.integers(0, 2**32 - 1), st.sampled_from(["line", "ties", "any"]))
def test_a_line_is_as_near_as_it_says(count: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    channels = 8
    step = REACH / count * 10 ** rng.uniform(-3, 1, (channels, 1))
    levels = np.ceil(rng.normal(0, REACH, (channels, 1)) + step * np.arange(count))
    if kind == "ties":
        levels = np.sort(levels - (rng.random(levels.shape) < 0.1), axis=1)
    if kind == "any":
        levels = np.sort(rng.integers(-REACH, REACH, levels.shape), axis=1)
    levels = levels.clip(-REACH, REACH + 1).astype(np.int32)
    distance = fit(levels, np.full(channels, -REACH), np.full(channels, REACH)).distance
    coarse, expected = computed(levels, np.float32)
    fine, _ = computed(levels, np.float64)
    assert (coarse == expected)[distance == 0].all()
    assert (fine == expected)[distance <= 1].all()
    assert (np.abs(coarse - expected) <= 1)[distance <= 2].all()
    if kind == "line":
        assert (distance <= 1).all()


def test_saturated_levels_are_lines() -> None:
    levels = np.array([[-REACH] * 7, [REACH + 1] * 7, [-REACH] * 3 + [REACH + 1] * 4, [5] * 7], np.int32)
    found, expected = computed(levels, np.float32)
    assert (found == expected).all()


@pytest.mark.parametrize("low", [-(2**31) + 1, -(2**24)])
def test_sums_beyond_float32_are_told(low: int) -> None:
    """Levels one apart, far from 0: float32 cannot tell them from each other."""
    levels = (np.arange(255) + 2**30).astype(np.int32)[None]
    assert fit(levels, np.array([low]), np.array([2**31 - 2])).distance[0] >= 1
