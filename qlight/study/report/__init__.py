"""The report of a study: one HTML page that needs nothing else, and its tables as Markdown and LaTeX."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlight.files import whole_file
from qlight.study.report import analyses, attack_tables, curves, defence, deployed, gallery, heat_maps, paper_tables, provenance, verdicts
from qlight.study.report.material import Material, Section
from qlight.study.report.page import page
from qlight.study.results import Results

#: raised when the report says something else than before
REVISION = 7
PAGE, TABLES = "report.html", "tables"

_SECTIONS = (
    verdicts.section,
    paper_tables.section,
    attack_tables.section,
    heat_maps.transfer_section,
    heat_maps.cosine_section,
    defence.section,
    deployed.section,
    curves.section,
    gallery.section,
    analyses.diagnostics_section,
    analyses.spread_section,
    analyses.shift_section,
    provenance.section,
    provenance.missing_section,
)


def write(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """report.html, and tables/NAME.md and tables/NAME.tex; the same bytes for the same results.

    Args:
        options: "name", "dataset", "data" and "seed" of the study; where it is not finished, "missing": names of tasks.
        needs: result folders of tasks by their names; parts of the report whose tasks are not there are left out.
        folder: where the files go.
    """
    material = material_of(options, needs)
    sections = [made for make in _SECTIONS if (made := make(material)) is not None]
    shutil.rmtree(folder / TABLES, ignore_errors=True)
    for section in sections:
        _save_tables(section, folder / TABLES)
    with whole_file(folder / PAGE) as part:
        part.write_text(page(material, sections), encoding="utf-8")


def material_of(options: Mapping[str, Any], needs: Mapping[str, Path]) -> Material:
    """What a report is written from; arguments as of `write`."""
    missing = tuple(options.get("missing", ()))
    return Material(options["name"], options["dataset"], options["seed"], options["data"], Results(needs), missing)


def _save_tables(section: Section, folder: Path) -> None:
    for table in section.tables:
        for suffix, text in (("md", table.to_markdown()), ("tex", table.to_latex())):
            with whole_file(folder / f"{table.name.replace(' ', '-')}.{suffix}") as part:
                part.write_text(text, encoding="utf-8")
