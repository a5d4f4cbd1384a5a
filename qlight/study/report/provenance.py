"""What the numbers are of: data, networks, attacks, versions; nothing that differs between two runs of the same study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from qlight.study.estimate import Estimate
from qlight.study.report.markup import join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import INTERVAL, NONE, Column, Table, html_list, measured


def section(of: Material) -> Section:
    """Versions, hashes, numbers of images and parameters."""
    tables = [table for table in (_networks(of), _attacks(of)) if table.rows]
    text = "Results are kept under hashes of all that they depend on; the same study gives this page with the same bytes."
    parts = [paragraphs(text), html_list(facts(of)), *(table.to_html() for table in tables)]
    return Section("provenance", "Provenance", join(parts), tuple(tables), text)


def facts(of: Material) -> list[str]:
    """Seed, data and versions."""
    found = [f"Seed: {of.seed}", f"Data: {of.data['class_path']}({_arguments(of.data.get('init_args', {}))})"]
    return found + [f"Version of {name}: {', '.join(versions)}" for name, versions in _versions(of).items()]


def missing_section(of: Material) -> Section | None:
    """What of the study did not run."""
    if not of.missing:
        return None
    text = "Tasks of this study that were not done when the report was written. What needs them is left out above, or a dash."
    items = html_list(by_kind(of.missing, [*of.results.folders, *of.missing]))
    return Section("missing", "Not run", join([paragraphs(text), items]))


def by_kind(left: Iterable[str], tasks: Iterable[str]) -> list[str]:
    """What is left of tasks, a line a kind: its name, and the names of its tasks where it is not all of them.

    >>> by_kind(["transfer/CW", "pixels/paper/CW"], ["transfer/CW", "transfer/FGSM", "pixels/paper/CW"])
    ['transfer: CW', 'pixels/paper']
    """
    kinds, everything = _kinds(left), _kinds(tasks)
    return [kind if len(names) == len(everything[kind]) else f"{kind}: {', '.join(names)}" for kind, names in kinds.items()]


def _kinds(tasks: Iterable[str]) -> dict[str, list[str]]:
    """The names of tasks without their last parts, with these."""
    kinds: dict[str, list[str]] = {}
    for task in tasks:
        kind, _, last = task.rpartition("/")
        kinds.setdefault(kind or last, []).append(last)
    return kinds


def _networks(of: Material) -> Table:
    rows = []
    for name in of.results.networks:
        found = of.results.json(f"network/{name}", "accuracy.json")
        graph = next((each.row["graph_hash"] for each in of.results.attacked if each.network == name and each.row["graph_hash"]), NONE)
        rows.append(
            (
                name,
                f"{found['correct']} of {found['images']}",
                *measured(Estimate.rate(found["correct"], found["images"])),
                found["sha256"],
                graph,
            )
        )
    columns = (Column("network", "head"), *map(Column, ("right", "accuracy", INTERVAL)), Column("SHA-256 of the network", "text"),
               Column("hash of its integer graph", "text"))  # fmt: skip
    return Table("networks", "Networks", columns, tuple(rows))


def _attacks(of: Material) -> Table:
    """A row an attack of a preset; numbers of images where they differ between networks."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for each in of.results.attacked:
        groups.setdefault((each.preset, each.attack), []).append(each)
    rows = []
    for (preset, attack), found in groups.items():
        sizes = {each.network: each.images for each in found}
        one = len(set(sizes.values())) == 1
        images = str(found[0].images) if one else ", ".join(f"{name} {size}" for name, size in sizes.items())
        targets = ", ".join(dict.fromkeys(each.target for each in found))
        row = found[0].row
        rows.append((attack, preset, targets, images, row["class_path"], _arguments(row["parameters"])))
    columns = (
        *(Column(title, "head") for title in ("attack", "preset")),
        Column("targets", "words"),
        Column("n"),
        Column("class", "words"),
        Column("parameters", "text"),
    )
    return Table("attacks", "Attacks", columns, tuple(rows))


def _arguments(values: Mapping[str, Any]) -> str:
    """name=value of numbers, names and truth values; of paths, which are of one machine, the last part.

    >>> _arguments({"path": "/data/cifar10.npz", "limit": 100})
    'path=cifar10.npz, limit=100'
    """
    kept = {name: re.split(r"[/\\]", value)[-1] if isinstance(value, str) else value for name, value in values.items()}
    return ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in kept.items())


def _versions(of: Material) -> dict[str, list[str]]:
    """Of the programs that attacked; more than one where a study was gone on with after an update."""
    found: dict[str, dict[str, None]] = {}
    for each in of.results.attacked:
        for name, version in each.row["versions"].items():
            found.setdefault(name, {})[version] = None
    return {name: list(versions) for name, versions in found.items()}
