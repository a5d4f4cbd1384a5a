"""Tables 2 to 7 and 17 to 34 of the paper: what was measured, its interval, and what the paper printed."""

from __future__ import annotations

from qlight.study.claim import Key
from qlight.study.paper import Cell, values
from qlight.study.report.markup import element, join, paragraphs
from qlight.study.report.material import OF_RIGHT, WHY_OF_RIGHT, Material, Section
from qlight.study.report.table import INTERVAL, NONE, Column, Table, measured, number

NUMBERS = (*range(2, 8), *range(17, 35))
_FIXED = {
    2: "Accuracy on the test set",
    3: "Attacks on the float network and on fully quantized ones",
    4: "Attacks on the float network and on weight-only quantized ones",
    5: "Share of images on which the other members do as the source does",
    6: "The ensemble on the test set",
    7: "The ensemble on examples that were crafted on its members",
}
#: what to know about rows of the paper, by table, data set, attack and target; stands below the table where they are shown
_REMARKS = {
    (20, "CIFAR10", "ZOO", "w1a32"): "The paper's first row of ZOO has lost its empty cells: its four numbers are read as four accuracies.",
    (32, "SVHN", "ZOO", "w4a32"): "The paper's linf of ZOO on w4a32 is a misprint: no linf is above the l2, here 0.27.",
    **{
        (table, dataset, "CW", source): f"CW on {source} itself: the paper's numbers are not those of its Table {direct} but, as it seems, "
        f"of the kappa that transfers best; ours have the kappa of Table {direct}."
        for table, source, direct in ((22, "w1a32", 4), (27, "w3a3", 3), (30, "w3a32", 4))
        for dataset in ("CIFAR10", "SVHN")
    },
}
_OF_RIGHT_NOTE = "n, acc, l2 and linf are of the images that the target had right before, as the paper's numbers seem to be."
_OUTCOMES = {
    "correctly": "test set, correctly classified",
    "misclassified": "test set, misclassified",
    "successful": "FGSM, successful",
    "unsuccessful": "FGSM, unsuccessful",
}


def paper_tables(of: Material) -> dict[int, Table]:
    """By number, those of which the study measured something."""
    found = {}
    for table in NUMBERS:
        cells = [cell for cell in values() if (cell.table, cell.dataset) == (table, of.dataset)]
        made = _outcomes(of, cells) if table == 5 else _rows(of, table, cells)
        if made is not None:
            found[table] = made
    return found


def section(of: Material) -> Section:
    """All of them, and the names of those that were not measured."""
    found = paper_tables(of)
    missing = [f"Table {table}" for table in NUMBERS if table not in found]
    text = (
        "A row a network; acc: share of images that stay right under attack, over all images attacked; l2 and linf: mean norms of the "
        "perturbation over the examples that succeed (section 4.3, read literally: images that were wrong before are among them, and CW "
        "leaves them where they are), pixels in [0, 1]. n: images. Rows of ZOO are of the images alone that the target had right before: "
        "n is their number, acc the share of them that stays right, l2 and linf are means over those that turn wrong. The paper's numbers "
        f"seem to be so: {WHY_OF_RIGHT}. 95 %: Wilson intervals of shares, normal ones of means, over images. "
        f'"{NONE}": undefined, not printed, or the interval of one image\'s norm.'
    )
    parts = [paragraphs(text)]
    for table in found.values():
        parts.append(table.to_html())
    if missing:
        parts += [element("h3", "Not measured in this study"), paragraphs(", ".join(missing) + ".")]
    return Section("tables", "The paper's tables", join(parts), tuple(found.values()), text)


def title_of(table: int, cells: list[Cell]) -> str:
    """What a table shows, in words."""
    if table in _FIXED:
        return _FIXED[table]
    kind = "weight-only" if any(cell.target.endswith("a32") for cell in cells) else "fully"
    return f"Transfer from {cells[0].source} to {kind} quantized networks and float"


def _rows(of: Material, table: int, cells: list[Cell]) -> Table | None:
    """Tables of rows (attack, network) with a few metrics each."""
    metrics = list(dict.fromkeys(cell.metric for cell in cells))
    first = metrics[0]
    transferred = table >= 17
    tuned = transferred or table == 7
    named = "target" if transferred else "source" if table == 7 else "network"
    columns = [
        *([Column("attack", "head")] if table not in (2, 6) else []),
        Column(named if table != 6 else "images of", "head"),
        *([Column(title, group="bits") for title in ("weights", "activations")] if table == 2 else []),
        Column("n"),
        *([Column("kappa")] if tuned else []),
        *(
            Column(title, kind, metric)
            for metric in metrics
            for title, kind in (("measured", "number"), (INTERVAL, "number"), ("paper", "paper"))
        ),
    ]
    rows, left = [], []
    remarks: dict[str, None] = {}
    apart = False
    for names in dict.fromkeys((cell.attack, cell.source, cell.target) for cell in cells):
        attack, source, target = names
        shown = source if table == 7 else target
        if Key(*names, first) not in of.measured:
            left.append((shown, attack))
            continue
        apart = apart or source != target
        count = of.counts.get(names)
        row = [
            *([attack] if table not in (2, 6) else []),
            "test set" if table == 6 else shown,
            *(_bits(target) if table == 2 else []),
            NONE if count is None else str(count.n(attack)),
        ]
        if tuned:
            row.append(NONE if count is None or count.kappa is None else f"{count.kappa:g}")
        for metric in metrics:
            row += _three(of, Cell(table, of.dataset, attack, source, target, metric))
        rows.append(tuple(row))
        if attack in OF_RIGHT:
            remarks[f"{attack}: {_OF_RIGHT_NOTE}"] = None
        if (remark := _REMARKS.get((table, of.dataset, attack, target))) is not None:
            remarks[remark] = None
    if not rows or (transferred and not apart):  # a direct attack alone is no transfer
        return None
    note = " ".join(filter(None, (_note(left, {cell.attack for cell in cells}), *remarks)))
    return Table(f"table-{table:02}", f"Table {table}. {title_of(table, cells)}", tuple(columns), tuple(rows), note)


def _bits(network: str) -> tuple[str, str]:
    """Of its weights and activations.

    >>> _bits("w2a32"), _bits("float")
    (('2', '32'), ('32', '32'))
    """
    weights, _, activations = network.removeprefix("w").partition("a") if network.startswith("w") else ("32", "a", "32")
    return weights, activations


def _outcomes(of: Material, cells: list[Cell]) -> Table | None:
    """Table 5: a row an outcome and source."""
    columns = (
        Column("images", "head"),
        Column("source", "head"),
        Column("n"),
        Column("measured"),
        Column(INTERVAL),
        Column("paper", "paper"),
    )
    sizes = _sizes(of)
    rows, left = [], []
    for cell in sorted(cells, key=lambda cell: list(_OUTCOMES).index(cell.metric)):
        if Key(*cell[2:]) in of.measured:
            size = sizes.get((cell.source, cell.metric))
            rows.append((_OUTCOMES[cell.metric], cell.source, NONE if size is None else str(size), *_three(of, cell)))
        else:
            left.append((cell.source, _OUTCOMES[cell.metric]))
    if not rows:
        return None
    return Table("table-05", f"Table 5. {_FIXED[5]}", columns, tuple(rows), _note(left, set(_OUTCOMES.values())))


def _sizes(of: Material) -> dict[tuple[str, str], int]:
    """Images by source and outcome, as the paper's cells call it."""
    names = {text: metric for metric, text in _OUTCOMES.items()}
    found = {}
    for content in of.results.ensembles:
        for row in content["agreements"]:
            metric = names.get(f"{row['examples']}, {row['outcome']}")
            if metric is not None:
                found[row["source"], metric] = row["images"]
    return found


def _three(of: Material, cell: Cell) -> tuple[str, str, str]:
    """Measured, its interval, and the paper's."""
    return (*measured(of.compared(Key(*cell[2:]))), number(values().get(cell), 2))


def _note(left: list[tuple[str, str]], everything: set[str]) -> str:
    """What was not measured: (network, of what) by network; its name alone where that is everything."""
    networks: dict[str, list[str]] = {}
    for network, what in left:
        networks.setdefault(network, []).append(what)
    named = [network if set(whats) == everything else f"{network} ({', '.join(whats)})" for network, whats in networks.items()]
    return f"Not measured: {'; '.join(named)}." if named else ""
