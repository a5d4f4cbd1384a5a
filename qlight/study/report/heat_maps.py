"""Matrices with a colour and numbers in every cell: Figures 1, 2 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qlight.study.claim import Key
from qlight.study.paper import printed
from qlight.study.report.markup import Markup, element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import NONE, Column, Table, measured, number

#: figures of the paper that show transfer, by data set
_TRANSFER_FIGURE = {"CIFAR10": 1, "SVHN": 2}
_COSINE_FIGURE = 4


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
    """

    name: str
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    corner: str
    values: Sequence[Sequence[float | None]]
    below: Sequence[Sequence[str]]
    ends: tuple[float, float] = (0.0, 1.0)

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
        return element("figure", element("figcaption", self.title, id=f"{self.name}-title"), box, id=self.name)

    def _cell(self, value: float | None, below: str) -> Markup:
        small = (element("small", below),) if below else ()
        if value is None:
            return element("td", NONE, *small)
        low, high = self.ends
        background, ink = colours((value - low) / (high - low))
        return element("td", number(value, 2), *small, style=f"background:{background};color:{ink}")


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


def transfer_section(of: Material) -> Section | None:
    """Figure 1 or 2."""
    names = of.results.networks
    found = []
    for attack in dict.fromkeys(key.attack for key in of.measured if key.metric == "acc" and key.source != key.target):
        if all(Key(attack, source, target, "acc") not in of.measured for source in names for target in names if source != target):
            continue
        found.append(_transfer(of, attack))
    if not found:
        return None
    figure = _TRANSFER_FIGURE[of.dataset]
    text = (
        f"As Figure {figure} of the paper: networks in rows, on which examples were crafted; in columns those that judge them. The numbers "
        "are adversarial accuracies, in small print the paper's: the lower, the darker, the more an attack transfers. Carlini-Wagner "
        "attacks have the kappa that transfers best from each source; intervals and distortions stand in Tables 17 to 34."
    )
    tables = tuple(_transfer_table(of, figure, attack) for attack in (one.name.rpartition("-")[2] for one in found))
    body = join([paragraphs(text), element("div", *(one.to_html() for one in found), class_="maps")])
    return Section("transfer", "Transfer", body, tables)


def _transfer(of: Material, attack: str) -> Matrix:
    names = of.results.networks
    figure = _TRANSFER_FIGURE[of.dataset]
    estimates = [[of.measured.get(Key(attack, source, target, "acc")) for target in names] for source in names]
    papers = [[printed(of.dataset, attack, source, target, "acc") for target in names] for source in names]
    sizes = {of.counts[attack, s, t].images for s in names for t in names if s != t and (attack, s, t) in of.counts}
    return Matrix(
        f"figure-{figure}-{attack}",
        f"{attack}, n = {', '.join(map(str, sorted(sizes)))}",
        names,
        names,
        "from \\ on",
        [[None if estimate is None else estimate.value for estimate in row] for row in estimates],
        [[number(value, 2) for value in row] for row in papers],
    )


def _transfer_table(of: Material, figure: int, attack: str) -> Table:
    columns = (Column("source", "head"), Column("target", "head"), Column("n"), Column("acc"), Column("95 %"), Column("paper", "paper"))
    rows = []
    for source in of.results.networks:
        for target in of.results.networks:
            estimate = of.measured.get(Key(attack, source, target, "acc"))
            if estimate is not None:
                size = str(of.counts[attack, source, target].images)
                paper = number(printed(of.dataset, attack, source, target, "acc"), 2)
                rows.append((source, target, size, *measured(estimate), paper))
    return Table(f"figure-{figure}-{attack}-values", f"Figure {figure}, {attack}: adversarial accuracy", columns, tuple(rows))


def cosine_section(of: Material) -> Section | None:
    """Figure 4, of both losses."""
    content = of.results.json("gradients", "gradients.json")
    if content is None:
        return None
    maps, tables = [], []
    for loss in dict.fromkeys(pair["loss"] for pair in content["pairs"]):
        pairs = {frozenset((pair["first"], pair["second"])): pair for pair in content["pairs"] if pair["loss"] == loss}
        names = list(dict.fromkeys(pair["first"] for pair in pairs.values()))
        square = [[pairs[frozenset((one, other))] for other in names] for one in names]
        values = [[pair["cosine"] for pair in row] for row in square]
        below = [
            ["" if pair["cosine_low"] is None else f"{number(pair['cosine_low'], 2)} to {number(pair['cosine_high'], 2)}" for pair in row]
            for row in square
        ]
        lowest = min((value for row in values for value in row if value is not None), default=0.0)
        name = f"figure-{_COSINE_FIGURE}-{loss}"
        maps.append(Matrix(name, f"Gradients of the {loss} loss", names, names, "", values, below, (min(0.0, lowest), 1.0)).to_html())
        columns = (
            *(Column(title, "head") for title in ("network", "other")),
            *(Column(title) for title in ("n", "cosine", "95 %", "paper", "without direction")),
        )
        rows = tuple(
            (
                pair["first"],
                pair["second"],
                str(pair["images"]),
                number(pair["cosine"]),
                NONE if pair["cosine_low"] is None else f"{number(pair['cosine_low'])} to {number(pair['cosine_high'])}",
                NONE,
                str(pair["without_direction"]),
            )
            for pair in pairs.values()
        )
        tables.append(Table(f"{name}-values", f"Figure {_COSINE_FIGURE}: mean cosine of gradients of the {loss} loss", columns, rows))
    text = (
        f"As Figure {_COSINE_FIGURE} of the paper, which prints it as a picture without numbers, of CIFAR10 alone: the mean cosine, over "
        "images, between the gradients of two networks' losses in the input, with its 95 % interval; 0: orthogonal."
    )
    body = join([paragraphs(text), element("div", *maps, class_="maps")])
    return Section("gradients", "Input gradients", body, tuple(tables))
