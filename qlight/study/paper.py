"""What the paper printed: every number of its Tables 2 to 7 and 17 to 34, as in `paper.csv` beside this file."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).with_suffix(".csv")


class Cell(NamedTuple):
    """Where a number stands.

    Attributes:
        table: of the paper.
        dataset: "CIFAR10" or "SVHN".
        attack: "FGSM", "BIM", "CW", "SPSA", "ZOO", or "none" for clean images.
        source: the network that the examples were crafted on; "float", "w1a1", ...
        target: the network that was judged; "others" in Table 5 (the other four), "ensemble" in Tables 6 and 7.
        metric: "acc", "l2", "linf"; "PR", "d_acc"; in Table 5 "correctly", "misclassified", "successful", "unsuccessful" (of the source).
    """

    table: int
    dataset: str
    attack: str
    source: str
    target: str
    metric: str


@functools.cache
def values() -> Mapping[Cell, float]:
    """Every number, as printed, obvious misprints too (an l-infinity of 0.8 in Table 32).

    Cells that the paper marks "-" are not there: where accuracy is 1, nothing was misclassified, and there is no distortion. In Table 20,
    ZOO against w1a32 on CIFAR10 has accuracy 0.89 alone: its row has four numbers, which are read as four accuracies.

    >>> values()[Cell(3, "CIFAR10", "FGSM", "w1a1", "w1a1", "acc")]
    0.66
    """
    with _FILE.open(encoding="ascii", newline="") as file:
        return {Cell(int(row.pop("table")), *row.values()): float(value) for row in csv.DictReader(file) for value in [row.pop("value")]}


def printed(dataset: str, attack: str, source: str, target: str, metric: str) -> float | None:
    """The number of an attack between two networks, whichever table has it; None where the paper has none.

    The direct ones are those of Tables 3 and 4 (in Tables 22, 27 and 30, CW's have another kappa).

    >>> printed("SVHN", "BIM", "float", "w1a1", "acc")
    0.71
    """
    for table in (3, 4, *range(17, 35)):
        found = values().get(Cell(table, dataset, attack, source, target, metric))
        if found is not None and (source == target or table > 4):
            return found
    return None
