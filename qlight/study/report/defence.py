"""The ensemble against attackers who know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qlight.study.report.markup import element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import INTERVAL, NONE, Column, Table, number
from qlight.study.results import ADAPTIVE_TASK

#: name of the table of every number of members that must agree
TRADE_OFF = "ensemble-m"


def section(of: Material) -> Section | None:
    """The adaptive attack, and what other numbers of members that must agree would do."""
    adaptive = of.results.json(ADAPTIVE_TASK, "ensemble.json")
    if adaptive is None and not of.results.ensembles:
        return None
    first = adaptive or of.results.ensembles[-1]
    members = list(first["members"])
    tables = [*([_adaptive(adaptive)] if adaptive else []), *([_trade_off(of)] if of.results.ensembles else [])]
    text = f"Members: {', '.join(members)}; a class is answered where {first['m']} of {len(members)} or more agree on it (equation 11)."
    if adaptive is not None:
        text += " The adaptive attack is what the paper names as the defence's limit: it knows the members and asks for their agreement."
    parts = [tables[0].to_html()] if adaptive else []
    if of.results.ensembles:
        parts.append(element("details", element("summary", tables[-1].title), tables[-1].to_html()))
    body = join([paragraphs(text, "What the paper measured stands in its Tables 5 to 7."), *parts])
    return Section("ensemble", "Ensemble", body, tuple(tables), text)


def _adaptive(content: Mapping[str, Any]) -> Table:
    rows = []
    for row in content["defences"]:
        known = row["source"] is not None and row["source"] not in content["members"]
        if row["reported"]:
            name = row["attack"] or "none"
            source = "the ensemble itself" if known else row["source"] or "test set"
            rows.append((name, source, str(row["m"]), *_shares(row)))
    columns = (*(Column(title, "head") for title in ("attack", "crafted on")), Column("m"), *_columns())
    return Table("adaptive", "The adaptive attack beside attacks on single members, on the same images", columns, tuple(rows), _MEANING)


def _trade_off(of: Material) -> Table:
    rows = []
    for content in reversed(of.results.ensembles):
        attack = next(iter(content["attacks"]))
        for m in range(1, len(content["members"]) + 1):
            for row in content["defences"]:
                if row["m"] == m and row["attack"] is not None and _shown(content, row):
                    kappa = NONE if row["kappa"] is None else f"{row['kappa']:g}"
                    rows.append((attack, row["source"], str(m), kappa, *_shares(row)))
    columns = (*(Column(title, "head") for title in ("attack", "crafted on")), Column("m"), Column("kappa"), *_columns())
    return Table(TRADE_OFF, "Every number of members that must agree", columns, tuple(rows), _MEANING)


def _shown(content: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a row has the kappa of the reported one of its source."""
    return any(
        other["reported"] and other["source"] == row["source"] and other["kappa"] == row["kappa"] and other["attack"] == row["attack"]
        for other in content["defences"]
    )


_MEANING = "PR: share of images that are answered (equation 12); accuracy: of these; d_acc: share filtered out or right (equation 13)."


def _columns() -> tuple[Column, ...]:
    return (Column("n"), *(Column(title, group=group) for group in ("PR", "accuracy", "d_acc") for title in ("measured", INTERVAL)))


def _shares(row: Mapping[str, Any]) -> tuple[str, ...]:
    found = [str(row["images"])]
    for name in ("prediction_rate", "accuracy", "defence_accuracy"):
        value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        found += [number(value), NONE if value is None or low is None else f"{number(low)} to {number(high)}"]
    return tuple(found)
