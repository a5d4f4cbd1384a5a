"""Drawings of a report as SVG files that need nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qlight.study.report import curves, heat_maps
from qlight.study.report.markup import Markup, element
from qlight.study.report.material import Material
from qlight.study.report.matrix import Matrix
from qlight.study.report.plot import Chart, stroke

#: of pictures; names of files begin so
KINDS = TRANSFER, GRADIENTS, EPS = "transfer-", "gradients-", "eps-"
#: around a drawing, and the height of its title
_GAP, _TITLE = 8, 22
#: of the legend: width of an entry, height of a line
_ENTRY, _LINE = 80, 18
#: on white, so that it is read on pages with a dark ground too; the colours of the report's style sheet
_STYLE = (
    'text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;fill:#1f2328}'
    ".title{font-weight:600;font-size:12px}.small{font-size:10px}.grid{stroke:#dde2e7;stroke-width:1;fill:none}"
)


@dataclass(frozen=True)
class Picture:
    """A file beside a page.

    Attributes:
        kind: one of `KINDS`.
        of: an attack or a loss.
        alt: what is seen, for those who do not see it.
        text: SVG.
    """

    kind: str
    of: str
    alt: str
    text: str

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.kind}{self.of.replace(' ', '-')}.svg"


def pictures_of(of: Material) -> Iterator[Picture]:
    """Those of which something was measured."""
    for attack, matrix in heat_maps.transfer_maps(of).items():
        alt = (
            f"Heat map of adversarial accuracies under {attack}: networks that examples were crafted on in rows, those that judge them in "
            "columns; the numbers are those of the table below."
        )
        yield Picture(TRANSFER, attack, alt, svg(matrix, alt))
    for loss, matrix in heat_maps.cosine_maps(of).items():
        alt = f"Heat map of the mean cosine between two networks' gradients of the {loss} loss; the numbers are those of the table below."
        yield Picture(GRADIENTS, loss, alt, svg(matrix, alt))
    for attack, chart in curves.eps_charts(of).items():
        ends = ", ".join(f"{line.name} {line.points[0][1]:.2f} to {line.points[-1][1]:.2f}" for line in chart.lines)
        first = chart.lines[0].points
        alt = f"Chart of the accuracy under {attack} with eps from {first[0][0]:g} to {first[-1][0]:g}: {ends}."
        yield Picture(EPS, attack, alt, svg(chart, alt, of.results.networks))


def svg(drawing: Matrix | Chart, alt: str, networks: Sequence[str] = ()) -> str:
    """A drawing below its title, as the text of an SVG file.

    Args:
        alt: what is seen, for those who do not see it.
        networks: those that a legend below says how they are drawn.
    """
    width, high = drawing.size[0] + 2 * _GAP, _GAP + _TITLE + drawing.size[1] + _GAP
    legend = [*_legend(networks, width, high + _LINE / 2)]
    height = high + _LINE * -(-len(networks) // _entries(width))
    parts = [element("title", alt), element("style", Markup(_STYLE)), element("rect", width="100%", height="100%", fill="#ffffff")]
    parts.append(element("text", drawing.title, x=_GAP, y=_GAP + 12, class_="title"))
    parts.append(element("g", drawing.plot(), transform=f"translate({_GAP} {_GAP + _TITLE})"))
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    return element("svg", *parts, *legend, xmlns="http://www.w3.org/2000/svg", role="img", **size) + "\n"


def _legend(networks: Sequence[str], width: float, top: float) -> Iterator[Markup]:
    """How each network is drawn."""
    for place, network in enumerate(networks):
        row, column = divmod(place, _entries(width))
        where = f"translate({_GAP + column * _ENTRY:g} {top + row * _LINE:g})"
        yield element("g", stroke(network, "M0 0H28", "2.5"), element("text", network, x=34, y=4), transform=where)


def _entries(width: float) -> int:
    return max(1, int((width - _GAP) // _ENTRY))
