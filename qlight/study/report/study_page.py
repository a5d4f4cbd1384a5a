"""What a study measured as a page of the documentation: the paper's tables with ours beside, and pictures beside the page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qlight.files import whole_file
from qlight.study.configuration import Configuration
from qlight.study.paper import values
from qlight.study.report import analyses, attack_tables, curves, defence, deployed, heat_maps, paper_tables, provenance
from qlight.study.report.claims_page import commands, counted
from qlight.study.report.material import Material
from qlight.study.report.page import warnings
from qlight.study.report.pictures import EPS, GRADIENTS, KINDS, TRANSFER, pictures_of
from qlight.study.report.table import Table
from qlight.study.report.verdicts import verdicts

_CLAIMS, _HOW_TO, _ZOO = Path("docs/claims.md"), Path("docs/howto/study.md"), Path("docs/howto/zoo.md")
_ZOO_PREFIX = "zoo:"
#: rows from which on a table of the deployed networks is folded
_LONG = 30


@dataclass(frozen=True)
class Place:
    """Where a page stands, and what it names.

    Attributes:
        study: path of the study's file, as commands have it.
        page: path of the page; its pictures lie in a folder of its name without the suffix.
        claims: path of the page of verdicts, where the same command writes it.
    """

    study: str
    page: Path
    claims: Path | None = None

    @property
    def pictures(self) -> Path:
        """The folder of the pictures."""
        return self.page.with_suffix("")

    def link(self, to: Path) -> str:
        """The way from the page to a file; both paths are of the same folder."""
        return Path(os.path.relpath(to, self.page.parent)).as_posix()


def write_page(of: Material, configuration: Configuration, place: Place) -> None:
    """Write the page, and the pictures that it shows; those of an earlier one that it does not show any more go.

    Args:
        of: what was measured; what was not is named as not run.
        configuration: the study.
        place: where the page goes.

    Raises:
        InputError: a folder cannot be written.
    """
    drawn = {each.name: each.text for each in pictures_of(of)}
    for name, text in drawn.items():
        with whole_file(place.pictures / name) as part:
            part.write_text(text, encoding="utf-8")
    with whole_file(place.page) as part:
        part.write_text(study_page(of, configuration, place), encoding="utf-8")
    for path in [*place.pictures.glob("*.svg")]:
        if path.name.startswith(KINDS) and path.name not in drawn:
            path.unlink()


def study_page(of: Material, configuration: Configuration, place: Place) -> str:
    """The page as Markdown; arguments as of `write_page`."""
    names = [*of.results.folders, *of.missing]
    done = f"All {len(names)} tasks have run." if not of.missing else f"**{len(of.results.folders)} of {len(names)} tasks have run.**"
    claims = f" --verdicts {place.claims}" if place.claims is not None else ""
    lines = [
        f"# The paper's experiments, {of.name}",
        "",
        "<!-- written by `study report`, below; change the study or qlight/study/report, not this page -->",
        "",
        f"Tables 2 to 7 and the transfer of the paper (Bernhard, Moellic and Dutertre 2019), {of.dataset}, as the study `{place.study}` "
        f"measures them: ours, with 95 % intervals and numbers of images n, beside the paper's. {done} What follows from the numbers for "
        f"each of the paper's claims stands on [a page of its own]({place.link(place.claims or _CLAIMS)}); how to run studies, and "
        f"what else their reports show, [in the guide]({place.link(_HOW_TO)}).",
        "",
        *commands(place.study, f"--page {place.page}{claims}"),
        "",
        counted(verdicts(of)),
        "",
        "| part | tasks run |",
        "|---|---:|",
    ]
    parts = [
        _Part(title, [name for name in names if name.startswith(tasks)], [*content])
        for title, tasks, content in _parts(of, configuration, place)
    ]
    lines += [f"| [{part.title}](#{part.anchor}) | {part.counted(of)} |" for part in parts]
    lines += ["", "## What ran", "", *_ran(of, configuration, place)]
    for part in parts:
        lines += ["", f"## {part.title}", "", *part.lines(of)]
    lines += ["", "## Provenance", "", *_provenance(of)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n"


@dataclass(frozen=True)
class _Part:
    """A section of the page.

    Attributes:
        title: its heading, of words and spaces.
        tasks: names of those that measure what it shows.
        content: paragraphs, tables, ..., as Markdown.
    """

    title: str
    tasks: list[str]
    content: list[str]

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")

    def counted(self, of: Material) -> str:
        return f"{sum(task in of.results.folders for task in self.tasks)} of {len(self.tasks)}" if self.tasks else "not in this study"

    def lines(self, of: Material) -> Iterator[str]:
        left = [task for task in self.tasks if task not in of.results.folders]
        if not self.tasks:
            yield "Not in this study."
            return
        if left:
            yield f"**Not run:** {'; '.join(provenance.by_kind(left, self.tasks))}." if len(left) < len(self.tasks) else "**Not run.**"
            yield ""
        for block in self.content:
            yield block.rstrip("\n")
            yield ""


def _parts(of: Material, configuration: Configuration, place: Place) -> Iterator[tuple[str, tuple[str, ...], Iterable[str]]]:
    """Title, with what names of tasks begin, and content."""
    yield "Networks", ("network/",), _of_the_paper(of, 2)
    yield "Attacks on the networks as trained", ("attack/torch/paper/",), [paper_tables.section(of).text, *_of_the_paper(of, 3, 4)]
    presets = tuple(f"attack/{target}/{preset}/" for target in configuration.targets for preset in configuration.presets)
    yield "Presets and targets", presets, _attacks(of)
    yield "Transfer", ("transfer/",), _transfer(of, place)
    yield "Ensemble", ("ensemble/",), _ensemble(of)
    yield "Deployed", ("attack/packed/", "pixels/", "rtlsim/"), _deployed(of)
    yield "Accuracy against eps", ("attack/torch/eps/",), _eps(of, place)
    yield "Input gradients", ("gradients",), _gradients(of, place)
    yield "Diagnostics", ("diagnose/",), _diagnostics(of)


def _ran(of: Material, configuration: Configuration, place: Place) -> Iterator[str]:
    """Where the networks are from, and how this differs from the paper."""
    stored = [source for source in configuration.networks.values() if source.startswith(_ZOO_PREFIX)]
    if stored:
        yield f"Networks come from the [zoo]({place.link(_ZOO)}); `python -m qlight zoo NAME` says how each was trained, and on what:"
        yield f"{', '.join(f'`{source}`' for source in stored)}."
        yield ""
    yield "What differs from the paper:"
    yield ""
    for each in warnings(of):
        yield f"* {each}"
    known = dict.fromkeys(cell.target for cell in values() if (cell.table, cell.dataset) == (2, of.dataset))
    absent = [name for name in known if name not in configuration.networks]
    if absent:
        yield f"* Networks that are not in this study: {', '.join(absent)}."
    yield "* The paper attacks 1000 images, with FGSM all test images; here n stands with every number."
    yield "* Networks are trained anew, by this repository's own training; nothing of the paper's is used but the numbers that it printed."


def _of_the_paper(of: Material, *numbers: int) -> Iterator[str]:
    """Its tables; those of which nothing was measured by name."""
    found = paper_tables.paper_tables(of)
    for number in numbers:
        if number in found:
            yield found[number].to_narrow_markdown(3)
        else:
            cells = [cell for cell in values() if (cell.table, cell.dataset) == (number, of.dataset)]
            yield f"### Table {number}. {paper_tables.title_of(number, cells)}\n\nNot run."


def _attacks(of: Material) -> Iterator[str]:
    section = attack_tables.section(of)
    if section is not None:
        yield section.text
        yield from (table.to_narrow_markdown(3) for table in attack_tables.glances_of(of))
        yield "### With intervals, distortions and queries"
        yield from map(_folded, attack_tables.tables_of(of))


def _transfer(of: Material, place: Place) -> Iterator[str]:
    section = heat_maps.transfer_section(of)
    if section is not None:
        yield section.text
        yield _shown(of, place, TRANSFER)
        for matrix, table in zip(heat_maps.transfer_maps(of).values(), section.tables, strict=True):
            yield matrix.to_markdown(3)
            yield _folded(table)


def _ensemble(of: Material) -> Iterator[str]:
    section = defence.section(of)
    if section is not None:
        yield section.text
        yield from _of_the_paper(of, 5, 6, 7)
        yield from (_folded(table) if table.name == defence.TRADE_OFF else table.to_narrow_markdown(3) for table in section.tables)


def _eps(of: Material, place: Place) -> Iterator[str]:
    if curves.eps_charts(of):
        yield curves.EPS_TEXT
        yield _shown(of, place, EPS)


def _gradients(of: Material, place: Place) -> Iterator[str]:
    section = heat_maps.cosine_section(of)
    if section is not None:
        yield section.text
        yield _shown(of, place, GRADIENTS)
        yield from map(_folded, section.tables)


def _diagnostics(of: Material) -> Iterator[str]:
    section = analyses.diagnostics_section(of)
    if section is not None:
        yield section.text
        yield "\n".join(f"* {network}: {content['verdict']}" for network, content in analyses.diagnosed(of).items())
        yield from (table.to_narrow_markdown(3) for table in section.tables if table.name == analyses.ALL_DIAGNOSTICS)


def _provenance(of: Material) -> Iterator[str]:
    section = provenance.section(of)
    yield section.text
    yield ""
    yield from (f"* {fact}" for fact in provenance.facts(of))
    for table in section.tables:
        yield ""
        yield _folded(table)


def _deployed(of: Material) -> Iterator[str]:
    section = deployed.section(of)
    if section is not None:
        yield section.text
        yield from (_folded(table) if len(table.rows) > _LONG else table.to_narrow_markdown(3) for table in section.tables)


def _folded(table: Table) -> str:
    """A table that opens where its title is clicked."""
    return f'<details markdown="1"><summary>{table.title}</summary>\n\n{table.to_narrow_markdown(0)}\n</details>'


def _shown(of: Material, place: Place, kind: str) -> str:
    """The pictures of a kind, side by side where there is room."""
    return "\n".join(f"![{each.alt}]({place.link(place.pictures / each.name)})" for each in pictures_of(of) if each.kind == kind)
