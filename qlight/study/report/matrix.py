"""Matrices with a colour and numbers in every cell, as HTML, Markdown and a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qlight.study.report.markup import Markup, element, join
from qlight.study.report.table import NONE, number

#: of a drawing: sides of a cell, and the height of the heads
_CELL = (38, 22)
_HEADS = 16
#: width of a letter of the heads
_LETTER = 6.2


@dataclass(frozen=True)
class Matrix:
    """A matrix to show.

    Attributes:
        name, title: of the figure.
        rows, columns: names.
        corner: what rows and columns are.
        values: the shown numbers; None where there is none.
        below: a smaller text under each.
        ends: of the colour scale.
        note: below it.
    """

    name: str
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    corner: str
    values: Sequence[Sequence[float | None]]
    below: Sequence[Sequence[str]]
    ends: tuple[float, float] = (0.0, 1.0)
    note: str = ""

    def to_html(self) -> Markup:
        """A table with coloured cells, which scrolls in its own box."""
        heads = element(
            "tr", element("th", self.corner, scope="col", class_="head"), *(element("th", c, scope="col") for c in self.columns)
        )
        body = [
            element("tr", element("th", name, scope="row", class_="head"), *(self._cell(v, b) for v, b in zip(values, below, strict=True)))
            for name, values, below in zip(self.rows, self.values, self.below, strict=True)
        ]
        table = element("table", element("thead", heads), element("tbody", *body), class_="heat")
        box = element("div", table, class_="scroll", role="region", tabindex=0, aria_labelledby=f"{self.name}-title")
        note = element("p", self.note, class_="note") if self.note else Markup()
        return element("figure", element("figcaption", self.title, id=f"{self.name}-title"), box, note, id=self.name)

    def _cell(self, value: float | None, below: str) -> Markup:
        small = (element("small", below),) if below else ()
        if value is None:
            return element("td", NONE, *small)
        background, ink = self._colours(value)
        return element("td", number(value, 2), *small, style=f"background:{background};color:{ink}")

    def to_markdown(self, level: int = 1) -> str:
        """A heading of this level, a table with the smaller texts in second lines, and the note."""
        lines = [f"| {' | '.join([self.corner, *self.columns])} |", f"|---|{'---:|' * len(self.columns)}"]
        for name, values, below in zip(self.rows, self.values, self.below, strict=True):
            cells = [number(v, 2) + (f"<br><small>{b}</small>" if b else "") for v, b in zip(values, below, strict=True)]
            lines.append(f"| {' | '.join([f'**{name}**', *cells])} |")
        return "\n".join([f"{'#' * level} {self.title}", "", *lines, *(["", self.note] if self.note else [])]) + "\n"

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the drawing."""
        return self._margin + _CELL[0] * len(self.columns), _HEADS + _CELL[1] * len(self.rows)

    def plot(self) -> Markup:
        """The shown numbers in coloured cells, as elements of SVG."""
        left, top = self._margin, _HEADS
        parts = []
        for place, name in enumerate(self.columns):
            parts.append(element("text", name, x=f"{left + (place + 0.5) * _CELL[0]:g}", y=top - 4, text_anchor="middle", class_="small"))
        for place, (name, values) in enumerate(zip(self.rows, self.values, strict=True)):
            y = top + place * _CELL[1]
            parts.append(element("text", name, x=f"{left - 5:g}", y=f"{y + 15:g}", text_anchor="end"))
            for at, value in enumerate(values):
                parts += self._drawn(left + at * _CELL[0], y, value)
        return join(parts)

    def _drawn(self, x: float, y: float, value: float | None) -> list[Markup]:
        background, ink = ("#ffffff", "#1f2328") if value is None else self._colours(value)
        box = element("rect", x=f"{x + 1:g}", y=f"{y + 1:g}", width=_CELL[0] - 2, height=_CELL[1] - 2, fill=background)
        middle = f"{x + _CELL[0] / 2:g}"
        return [box, element("text", number(value, 2), x=middle, y=f"{y + 15:g}", text_anchor="middle", style=f"fill:{ink}")]

    @property
    def _margin(self) -> float:
        return 10 + _LETTER * max((len(name) for name in self.rows), default=0)

    def _colours(self, value: float) -> tuple[str, str]:
        low, high = self.ends
        return colours((value - low) / (high - low))


def colours(share: float) -> tuple[str, str]:
    """Of a share of the scale: a background that does not rely on telling red from green, and the ink, black or white, that is read best.

    >>> colours(0.0), colours(1.0)
    (('#00224e', '#ffffff'), ('#fee838', '#000000'))
    """
    from matplotlib import colormaps

    red, green, blue = (round(255 * float(part)) for part in colormaps["cividis"](min(1.0, max(0.0, share)))[:3])
    bright = 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)
    # contrast of WCAG 2: white on it is (1 + .05) / (bright + .05), black (bright + .05) / .05; the better one is never below 4.5
    ink = "#ffffff" if 1.05 / (bright + 0.05) > (bright + 0.05) / 0.05 else "#000000"
    return f"#{red:02x}{green:02x}{blue:02x}", ink


def _linear(part: int) -> float:
    share = part / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
