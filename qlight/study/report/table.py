"""A table of the report: the same rows as HTML, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from qlight.study.estimate import LARGEST_NORM, Estimate
from qlight.study.report.markup import Markup, element, join

#: what stands where there is no value, as in the paper's Appendix C
NONE = "-"
#: head of the column with the interval of the numbers to its left
INTERVAL = "95 %"
#: letters in a line of the heads of narrow tables
_HEAD = 12
_TEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\^{}"}
_TEX |= {"\\": r"\textbackslash{}", "<": r"$<$", ">": r"$>$", "✓": "", "✗": "", "–": "--"}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its head.
        kind: "head" (names the row), "number", "paper" (a number that the paper printed), "words" or, where lines are to break, "text".
        group: a head over several neighbouring columns.
    """

    title: str
    kind: str = "number"
    group: str = ""

    @property
    def full(self) -> str:
        """The title where there is one line of heads only."""
        return " ".join(filter(None, (self.group, self.title)))


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files, and its id in the page.
        title: above it.
        columns: the first ones may be of kind "head".
        rows: a text for every column.
        note: below it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_html(self) -> Markup:
        """A figure whose table scrolls in its own box, which the keyboard reaches."""
        table = element("table", element("thead", *self._heads()), element("tbody", *self._body()))
        caption = element("figcaption", self.title, id=f"{self.name}-title")
        box = element("div", table, class_="scroll", role="region", tabindex=0, aria_labelledby=f"{self.name}-title")
        note = element("p", self.note, class_="note") if self.note else Markup()
        return element("figure", caption, box, note, id=self.name)

    def _heads(self) -> Iterator[Markup]:
        grouped = any(column.group for column in self.columns)
        if grouped:
            cells = []
            for group, columns in groupby(self.columns, lambda column: column.group):
                count = len(list(columns))
                cells.append(
                    element("th", group, colspan=count, scope="colgroup", class_="group") if group else element("td", colspan=count)
                )
            yield element("tr", *cells)
        yield element("tr", *(element("th", column.title, scope="col", class_=column.kind) for column in self.columns))

    def _body(self) -> Iterator[Markup]:
        for row in self.rows:
            yield element(
                "tr",
                *(
                    element("th", text, scope="row", class_="head") if column.kind == "head" else element("td", text, class_=column.kind)
                    for column, text in zip(self.columns, row, strict=True)
                ),
            )

    def to_markdown(self, level: int = 1) -> str:
        """A heading of this level, the table and the note."""
        columns, rows = self.columns, self.rows
        return self._markdown(level, [column.full for column in columns], columns, rows)

    def to_narrow_markdown(self, level: int = 1) -> str:
        """The same for a page: groups of heads above their heads, and intervals in a second line of the cells that they belong to.

        Args:
            level: of the heading; 0: none.
        """
        alone = [place for place, column in enumerate(self.columns) if column.title != INTERVAL]
        columns = [self.columns[place] for place in alone]
        heads = ["<br>".join((*wrap(column.group, _HEAD), *wrap(column.title, _HEAD))) for column in columns]
        rows = [tuple(self._narrow(row, place) for place in alone) for row in self.rows]
        return self._markdown(level, heads, columns, rows)

    def _narrow(self, row: Sequence[str], place: int) -> str:
        """A cell, the interval that stands to its right in a second line; numbers do not break."""
        text = row[place].replace(" ", "&nbsp;") if self.columns[place].kind == "number" else row[place]
        known = place + 1 < len(row) and self.columns[place + 1].title == INTERVAL and row[place + 1] != NONE
        return f"{text}<br><small>{row[place + 1]}</small>" if known else text

    def _markdown(self, level: int, heads: Sequence[str], columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
        escaped = [[text.replace("|", r"\|") for text in row] for row in (heads, *rows)]
        rule = ["---:" if column.kind in ("number", "paper") else "---" for column in columns]
        lines = [f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])]
        title = [f"{'#' * level} {self.title}", ""] if level else []
        return "\n".join([*title, *lines, *(["", self.note] if self.note else [])]) + "\n"

    def to_latex(self) -> str:
        """A table environment for \\usepackage{booktabs}."""
        form = "".join("r" if column.kind in ("number", "paper") else "l" for column in self.columns)
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(self.title)}}}", rf"\label{{tab:{self.name}}}"]
        lines += [rf"\begin{{tabular}}{{{form}}}", r"\toprule", _tex_row([column.full for column in self.columns]), r"\midrule"]
        lines += [_tex_row(row) for row in self.rows]
        lines += [r"\bottomrule", r"\end{tabular}", *([rf"\par {_tex(self.note)}"] if self.note else []), r"\end{table}"]
        return "\n".join(lines) + "\n"


def _tex_row(texts: Sequence[str]) -> str:
    return " & ".join(map(_tex, texts)) + r" \\"


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def number(value: float | None, digits: int = 3) -> str:
    """A number; "-" where there is none.

    >>> number(0.25), number(None), number(-0.0001)
    ('0.250', '-', '0.000')
    """
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """Its ends; "-" where there is no estimate, or none of its uncertainty, as of the norm of one image.

    >>> interval(Estimate(0.5, 0.25, 0.75), 2), interval(Estimate.exact(1.0)), interval(Estimate.single(1.0))
    ('0.25 to 0.75', '-', '-')
    """
    if estimate is None or estimate.low == estimate.high or not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return NONE
    if (estimate.low, estimate.high) == (0.0, max(estimate.value, LARGEST_NORM)):  # of `Estimate.single`
        return NONE
    return f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"


def measured(estimate: Estimate | None, digits: int = 3) -> tuple[str, str]:
    """Two cells: the value and its interval."""
    return number(None if estimate is None else estimate.value, digits), interval(estimate, digits)


def html_list(items: Sequence[str]) -> Markup:
    """An unordered list."""
    return element("ul", join(element("li", item) for item in items))
