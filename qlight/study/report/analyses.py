"""Sections of the analyses: logit spread, quantization shift, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qlight.study.report.markup import element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.matrix import Matrix
from qlight.study.report.table import INTERVAL, NONE, Column, Table, number

#: name of the table of every diagnostic of every network
ALL_DIAGNOSTICS = "diagnostics-all"
_STATUS = {"pass": "✓ pass", "fail": "✗ fail", "not applicable": "– n/a"}


def spread_section(of: Material) -> Section | None:
    """Variance of logits, and difference quotients (section 5.1.2)."""
    content = of.results.json("spread", "spread.json")
    if content is None:
        return None
    names = ("images", "accuracy", "variance", INTERVAL, "between classes", "between images", "ratio", INTERVAL)
    rows = [
        (
            row["network"],
            str(row["images"]),
            number(row["accuracy"]),
            number(row["variance"]),
            _ends(row, "variance"),
            number(row["between_classes"]),
            number(row["between_images"]),
            number(row["ratio"]),
            _ends(row, "ratio"),
        )
        for row in content["logits"]
    ]
    logits = Table(
        "logit-variance",
        "Variance of the logits",
        (Column("network", "head"), *map(Column, names)),
        tuple(rows),
        f"Ratio: to the variance of {content['logits'][0]['network']}. The paper: that of weight-only networks is almost the same "
        f"(section 5.1.2).",
    )
    columns = (
        *(Column(title, "head") for title in ("network", "h")),
        *map(Column, ("images", "zero", INTERVAL, "median", "99 %", "largest", "largest gradient")),
    )
    rows = [
        (
            row["network"],
            f"{row['h']:g}",
            str(row["images"]),
            number(row["zero"]),
            _ends(row, "zero"),
            *(NONE if row[name] is None else f"{row[name]:.3g}" for name in ("median", "percentile_99", "largest", "largest_gradient")),
        )
        for row in content["differences"]
    ]
    note = (
        "Zero: share of central differences with half-width h that are exactly 0; the others: of their absolute values, logits per unit "
        "of a pixel."
    )
    differences = Table("differences", "Difference quotients of ZOO's objective", columns, tuple(rows), note)
    body = join([logits.to_html(), differences.to_html()])
    return Section("spread", "Logit spread", body, (logits, differences))


def shift_section(of: Material) -> Section | None:
    """How much of a perturbation quantization levels out (section 5.2.2)."""
    content = of.results.json("shift", "shift.json")
    if content is None:
        return None
    layers = content["layers"]
    maps = []
    for number_, (source, attack) in enumerate(dict.fromkeys((row["source"], row["attack"]) for row in layers)):
        chosen = [row for row in layers if (row["source"], row["attack"]) == (source, attack)]
        networks = list(dict.fromkeys(row["network"] for row in chosen))
        columns = [[row for row in chosen if row["network"] == network] for network in networks]
        deepest = max(columns, key=len)
        places = range(len(deepest))
        values = [[column[place]["unchanged"] if place < len(column) else None for column in columns] for place in places]
        below = [["" if place >= len(column) else f"{column[place]['bits']} bits" for column in columns] for place in places]
        sizes = sorted({row["images"] for row in chosen})
        title = f"{attack} from {source}, n = {', '.join(map(str, sizes))}"
        rows = [f"{_short(row['layer'])} {row['kind']}" for row in deepest]
        maps.append(Matrix(f"shift-{number_}", title, rows, networks, "layer", values, below).to_html())
    names = ("bits", "values", "n", "unchanged", INTERVAL, "relative change", "fooled", INTERVAL)
    rows = tuple(
        (
            *(row[name] for name in ("source", "attack", "network", "layer", "kind")),
            *(str(row[name]) for name in ("bits", "values", "images")),
            number(row["unchanged"]),
            _ends(row, "unchanged"),
            number(row["change"]),
            number(row["fooled"]),
            _ends(row, "fooled"),
        )
        for row in layers
    )
    heads = (Column(title, "head") for title in ("source", "attack", "network", "layer", "kind"))
    table = Table("shift-values", "Share of a layer's values that a perturbation leaves unchanged", (*heads, *map(Column, names)), rows)
    text = (
        "The share of a layer's values that a perturbation leaves as they were, by layer and network: 1 means that quantization levelled "
        "it out (section 5.2.2). Sums are what a layer's weights make of its input, activations the codes behind it; below, their bits "
        "(32: real)."
    )
    return Section("shift", "Quantization shift", join([paragraphs(text), element("div", *maps, class_="maps")]), (table,))


def diagnostics_section(of: Material) -> Section | None:
    """Whether a failure of attacks means robustness."""
    found = diagnosed(of)
    if not found:
        return None
    columns = (
        Column("diagnostic", "head"),
        Column("status"),
        Column("figure"),
        Column("passes"),
        Column("verdict", "text"),
    )
    glance = _glance(found)
    text = "Where an attack fails: is the network robust, or does it hide its gradients?"
    parts, tables = [paragraphs(text), glance.to_html()], [glance]
    for network, content in found.items():
        rows = tuple(
            (
                each["name"].replace("_", " "),
                _STATUS[each["status"]],
                NONE if each["figure"] is None else f"{each['figure']:.3g}",
                f"{each['comparison']} {each['threshold']:g}",
                each["verdict"].replace("`", ""),
            )
            for each in content["diagnostics"]
        )
        title = f"{network}: {content['images']} images, {content['correct']} right, eps {content['eps']:g}"
        tables.append(Table(f"diagnostics-{network}", title, columns, rows))
        parts += [element("h3", network), paragraphs(content["verdict"]), tables[-1].to_html()]
    return Section("diagnostics", "Diagnostics", join(parts), tuple(tables), text)


def diagnosed(of: Material) -> dict[str, Any]:
    """What the diagnostics say of each network."""
    tasks = [task for task in of.results.folders if task.startswith("diagnose/")]
    return {task.partition("/")[2]: of.results.json(task, "diagnostics.json") for task in tasks}


def _glance(found: Mapping[str, Any]) -> Table:
    """Every diagnostic of every network."""
    asked = {each["name"]: each for content in found.values() for each in content["diagnostics"]}
    columns = (Column("diagnostic", "head"), Column("passes"), *map(Column, found))
    by_network = [{each["name"]: each for each in content["diagnostics"]} for content in found.values()]
    rows = [
        (name.replace("_", " "), f"{each['comparison']} {each['threshold']:g}", *(_figure(known.get(name)) for known in by_network))
        for name, each in asked.items()
    ]
    sizes = ", ".join(f"{network} {content['correct']} of {content['images']}" for network, content in found.items())
    note = f"{_STATUS['fail'][0]}: fails. Images that were right, of those looked at: {sizes}; attacks are judged on these. "
    note += f'"{NONE}": does not apply; "transfer better than direct" needs networks to craft on, which a study does not name.'
    return Table(ALL_DIAGNOSTICS, "All diagnostics", columns, tuple(rows), note)


def _figure(of: Mapping[str, Any] | None) -> str:
    """Its number, with a sign where it fails."""
    if of is None or of["figure"] is None:
        return NONE
    return f"{of['figure']:.3g}" + (f" {_STATUS['fail'][0]}" if of["status"] == "fail" else "")


def _ends(row, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return NONE if low is None or high is None else f"{number(low)} to {number(high)}"


def _short(layer: str) -> str:
    """The name of a layer's block, as its kind stands beside it.

    >>> _short("network.features.0.conv"), _short("network.output")
    ('features.0', 'output')
    """
    block, _, part = layer.removeprefix("network.").rpartition(".")
    return block or part
