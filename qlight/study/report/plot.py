"""Line charts as SVG of a few kilobytes, the same bytes for the same points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qlight.study.report.markup import Markup, element, join

_WIDTH, _HEIGHT = 340, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 16, 10, 40
#: by bits of the weights, on white, told apart by deuteranopes and protanopes too; weight-only networks are dashed
_COLOURS = {"32": "#000000", "1": "#c44e00", "2": "#0067a5", "3": "#007a5e", "4": "#9b3f8f"}


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: of the network, which decides how it is drawn.
        points: (x, y), x ascending.
        steps: whether y stays until the next x.
    """

    name: str
    points: Sequence[tuple[float, float]]
    steps: bool = False


def style(network: str) -> tuple[str, str | None]:
    """Colour and dashes: float black, others by the bits of their weights; weight-only ones are dashed.

    >>> style("float"), style("w2a32")
    (('#000000', None), ('#0067a5', '6 3'))
    """
    if network.startswith("w"):
        weights, _, activations = network.removeprefix("w").partition("a")
        return _COLOURS.get(weights, "#000000"), "6 3" if activations == "32" else None
    return _COLOURS["32"], None


@dataclass(frozen=True)
class Chart:
    """A chart with y from 0 to 1.

    Attributes:
        name: id of the figure.
        title: above it.
        x_label, y_label: of the axes.
        lines: drawn one over the other.
        logarithmic: of the x axis; points at 0 are then left out.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    logarithmic: bool = False

    #: width and height of the drawing
    size = (_WIDTH, _HEIGHT)

    def to_html(self) -> Markup:
        """A figure."""
        drawing = element("svg", self.plot(), viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_labelledby=f"{self.name}-title")
        return element("figure", element("figcaption", self.title, id=f"{self.name}-title"), drawing, id=self.name, class_="chart")

    def plot(self) -> Markup:
        """Axes and lines, as elements of SVG."""
        across, marks = self._across()
        parts = [*_grid(marks, across), _axis(self.x_label, self.y_label)]
        for line in self.lines:
            points = [(across(x), _up(y)) for x, y in line.points if x > 0 or not self.logarithmic]
            width = "2.5" if line.name == "float" else "1.8"
            parts.append(stroke(line.name, _path(points, line.steps), width, element("title", line.name)))
        return join(parts)

    def _across(self) -> tuple[Callable[[float], float], Sequence[float]]:
        """Where an x is on the paper, and what is marked on the axis."""
        xs = [x for line in self.lines for x, _ in line.points if x > 0 or not self.logarithmic]
        low = min(xs, default=1.0) if self.logarithmic else 0.0
        high = max([*xs, low * 1.01, 1e-9])
        ends = (math.log10(low), math.log10(high)) if self.logarithmic else (low, high)

        def across(x: float) -> float:
            share = ((math.log10(x) if self.logarithmic else x) - ends[0]) / (ends[1] - ends[0])
            return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

        return across, _powers(low, high) if self.logarithmic else _round_marks(high)


def stroke(name: str, d: str, width: str, *children: Markup) -> Markup:
    """A path as a network's lines are drawn."""
    colour, dashes = style(name)
    return element("path", *children, d=d, fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dashes)


def legend(networks: Sequence[str]) -> Markup:
    """How each network is drawn."""
    items = []
    for network in networks:
        line = stroke(network, "M0 6H34", "2.5")
        items.append(element("li", element("svg", line, viewBox="0 0 34 12", aria_hidden="true"), network))
    return element("ul", *items, class_="legend")


def _path(points: Sequence[tuple[float, float]], steps: bool) -> str:
    """Through points on the paper; steps of less than half a pixel are joined."""
    if not points:
        return ""
    text, last = f"M{points[0][0]:.1f} {points[0][1]:.1f}", points[0]
    for x, y in points[1:]:
        if steps:
            text += (f"H{x:.1f}" if x - last[0] >= 0.05 else "") + (f"V{y:.1f}" if abs(y - last[1]) >= 0.05 else "")
        else:
            text += f"L{x:.1f} {y:.1f}"
        last = (x, y)
    return text


def _up(y: float) -> float:
    return _TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(marks: Sequence[float], across: Callable[[float], float]) -> list[Markup]:
    parts = []
    for tenth in (0, 2, 4, 6, 8, 10):
        y = f"{_up(tenth / 10):.1f}"
        parts.append(element("path", d=f"M{_LEFT} {y}H{_WIDTH - _RIGHT}", class_="grid"))
        parts.append(element("text", f"{tenth / 10:.1f}", x=_LEFT - 5, y=y, dy="0.35em", text_anchor="end"))
    for mark in marks:
        x = f"{across(mark):.1f}"
        parts.append(element("path", d=f"M{x} {_TOP}V{_HEIGHT - _BOTTOM}", class_="grid"))
        parts.append(element("text", f"{mark:g}", x=x, y=_HEIGHT - _BOTTOM + 15, text_anchor="middle"))
    return parts


def _axis(x_label: str, y_label: str) -> Markup:
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    return join(
        [
            element("text", x_label, x=(_LEFT + _WIDTH - _RIGHT) // 2, y=_HEIGHT - 6, text_anchor="middle"),
            element("text", y_label, x=11, y=f"{middle:.1f}", text_anchor="middle", transform=f"rotate(-90 11 {middle:.1f})"),
        ]
    )


def _round_marks(high: float) -> list[float]:
    """At most six marks from 0 at steps of 1, 2 or 5.

    >>> _round_marks(1.65)
    [0.0, 0.5, 1.0, 1.5]
    """
    power = 10.0 ** math.floor(math.log10(high))
    step = next(power * part for part in (0.1, 0.2, 0.5, 1, 2, 5) if high / (power * part) < 6)
    return [round(number * step, 12) for number in range(int(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten between; where there are fewer than two, 2 and 5 of them too.

    >>> _powers(1, 100), _powers(0.02, 0.3)
    ([1.0, 10.0, 100.0], [0.02, 0.05, 0.1, 0.2])
    """
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.floor(math.log10(high) + 1e-9) + 1)]
    for parts in ((1,), (1, 2, 5)):
        found = [float(f"{part * power:g}") for power in powers for part in parts if low * (1 - 1e-9) <= part * power <= high * (1 + 1e-9)]
        if len(found) > 1:
            break
    return found
