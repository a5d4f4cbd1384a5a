"""What the report draws: contrast, lines that stay on the paper, and curves that say what they should."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlight.evaluation.figures import figures
from qlight.evaluation.records import Records
from qlight.study.report import curves
from qlight.study.report.markup import Markup, element
from qlight.study.report.matrix import colours
from qlight.study.report.plot import Chart, Line, style
from qlight.study.summary import summary
from tests.study.synthetic import NAMES

STYLE = (Path(curves.__file__).parent / "style.css").read_text()


def brightness(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


@given(st.floats(-0.5, 1.5))
def test_numbers_in_cells_can_be_read(share: float) -> None:
    assert contrast(*colours(share)) >= 4.5


def test_text_can_be_read() -> None:
    variables = dict(re.findall(r"--(\w+): (#\w{6})", STYLE))
    for ink in ("ink", "soft", "link"):
        for ground in ("paper", "band"):
            assert contrast(variables[ink], variables[ground]) >= 4.5
    rules = re.findall(r"\{([^{}]*)\}", STYLE)
    pairs = [(ground, ink) for rule in rules for ground in re.findall(r"background: (#\w{6})", rule)
             for ink in re.findall(r"(?<![-\w])color: (#\w{6})", rule)]  # fmt: skip
    assert len(pairs) >= 5
    assert all(contrast(*pair) >= 4.5 for pair in pairs)
    assert all(contrast(colour, variables["paper"]) >= 4.5 for colour in re.findall(r"\.(?:right|wrong) \{ color: (#\w{6})", STYLE))


def test_networks_are_told_apart() -> None:
    assert len({style(name) for name in NAMES}) == len(NAMES)
    assert all(contrast(style(name)[0], "#ffffff") >= 3 for name in NAMES)


def test_html_is_escaped() -> None:
    assert element("p", "<b>", Markup("<i></i>"), title='"&') == '<p title="&quot;&amp;">&lt;b&gt;<i></i></p>'


POINTS = st.lists(st.tuples(st.just(0.0) | st.floats(1e-4, 1e6), st.floats(0, 1)), min_size=1, max_size=20).map(
    lambda points: sorted(points)
)


@given(POINTS, st.booleans(), st.booleans())
def test_lines_stay_on_the_paper(points: list[tuple[float, float]], logarithmic: bool, steps: bool) -> None:
    drawn = Chart("c", "t", "x", "y", [Line("w2a32", points, steps)], logarithmic).to_html()
    assert drawn == Chart("c", "t", "x", "y", [Line("w2a32", points, steps)], logarithmic).to_html()
    (path,) = re.findall(r'<path d="([^"]*)" fill="none" stroke=', drawn)
    for pair in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path):
        assert 0 <= float(pair[0]) <= 340
        assert 0 <= float(pair[1]) <= 230
    assert all(0 <= float(x) <= 340 for x in re.findall(r"H([\d.-]+)", path))


def records(images: list[tuple[bool, bool, float]]) -> Records:
    """Of images that are right before an attack, fooled after it, at a distance."""
    right, fooled, l2 = (np.array(column) for column in zip(*images, strict=True))
    columns = {field.name: np.zeros(len(images), np.int64) for field in fields(Records)}
    wrong = (~right).astype(np.int64)
    return Records(**{**columns, "clean_prediction": wrong, "adversarial_prediction": fooled.astype(np.int64), "success": fooled, "l2": l2})


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 3, width=16)), min_size=1, max_size=30), st.floats(0, 3, width=16))
def test_a_curve_counts_what_is_left(images: list[tuple[bool, bool, float]], x: float) -> None:
    points = [(at, left / len(images)) for at, left in summary(records(images))["lost"]["l2"]]
    left = sum(right and not (fooled and float(f"{l2:.5g}") <= x) for right, fooled, l2 in images) / len(images)
    assert [y for at, y in points if at <= x][-1] == pytest.approx(left)
    (longer,) = curves._to_one_end([Line("float", points, True)])
    inside = [y for at, y in longer.points if at <= x]
    assert inside[-1] == pytest.approx(left)
    assert [at for at, _ in longer.points] == sorted(at for at, _ in longer.points)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 3, width=16)), min_size=1, max_size=30))
def test_distances_are_of_all_wrong_answers(images: list[tuple[bool, bool, float]]) -> None:
    """Whatever the attack calls a success: ZOO leaves images alone that are wrong before, and these count too (section 4.3)."""
    of = records(images)
    of = replace(of, success=of.success & (of.clean_prediction == of.label))
    found, mean = summary(of)["l2"], figures(of)["mean_l2"]
    assert (None if found is None else found[0]) == (None if mean is None else pytest.approx(mean))


def test_a_curve_of_many_images_is_thinned_by_less_than_can_be_seen() -> None:
    draw = np.random.default_rng(0)
    images = [(True, bool(draw.random() < 0.9), float(draw.random())) for _ in range(20_000)]
    points = summary(records(images))["lost"]["l2"]
    assert len(points) < 405
    at = np.array([x for x, _ in points])
    l2 = np.array([distance for _, fooled, distance in images if fooled])
    for x in np.linspace(0, 1, 50):
        shown = points[int(np.searchsorted(at, x, side="right")) - 1][1]
        assert abs(shown - (len(images) - (l2 <= x).sum())) <= len(images) / 400 + 1
