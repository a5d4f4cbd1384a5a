"""Reads the tables of results out of the paper's text: how qlight/study/paper.csv was made, and a check that it still says the same.

python -m tests.study.paper_text PAPER.txt > qlight/study/paper.csv
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FULL, WEIGHTS = ("w1a1", "w2a2", "w3a3", "w4a4"), ("w1a32", "w2a32", "w3a32", "w4a32")
#: of Tables 17 to 34, two each
SOURCES = ("float", "w1a1", "w1a32", "w2a2", "w2a32", "w3a3", "w3a32", "w4a4", "w4a32")
DATASETS = ("CIFAR10", "SVHN")


class Value(NamedTuple):
    """One printed number. ``source`` is the network that examples were crafted on, ``target`` the one that was judged."""

    table: int
    dataset: str
    attack: str
    source: str
    target: str
    metric: str
    value: float


def read(text: str) -> list[Value]:
    """Tables 2 to 7 and 17 to 34, in the order of the paper."""
    lines = text.splitlines()
    captions = {int(found[1]): place for place, line in enumerate(lines) if (found := re.match(r"Table (\d+): ", line))}
    values: list[Value] = []
    start = 0
    for table, end in sorted(captions.items()):
        above, start = lines[max(start, end - 30) : end], end
        if table == 2:
            values += _accuracies(above)
        elif table in (3, 4):
            values += _attacks(table, above, None, FULL if table == 3 else WEIGHTS)
        elif table == 5:
            values += _agreement(above)
        elif table == 6:
            for dataset, pair in zip(DATASETS, _pairs(_numbers(above[-1])), strict=True):
                values += [Value(6, dataset, "none", "ensemble", "ensemble", *each) for each in zip(("PR", "acc"), pair, strict=True)]
        elif table == 7:
            values += _defence(above)
        elif table >= 17:
            values += _attacks(table, above, SOURCES[(table - 17) // 2], FULL if table % 2 else WEIGHTS)
    return values


def _accuracies(above: list[str]) -> Iterator[Value]:
    rows = {line.split()[0]: _numbers(re.sub(r"^\D+", "", line)) for line in above[-5:] if re.search(r"\d", line)}
    for column, dataset in enumerate(DATASETS):
        yield Value(2, dataset, "none", "float", "float", "acc", rows["Full-precision"][column])
        for kind, names in (("Full", FULL), ("Weight", WEIGHTS)):
            for name, value in zip(names, rows[kind][4 * column : 4 * column + 4], strict=True):
                yield Value(2, dataset, "none", name, name, "acc", value)


def _attacks(table: int, above: list[str], source: str | None, targets: tuple[str, ...]) -> Iterator[Value]:
    """A row an attack begins with the float network's cell and has one of the first target; three rows of the others follow."""
    for attack, rows in _blocks(above, 4):
        for number, target in enumerate(targets):
            row = list(rows[number])
            for dataset in DATASETS:
                for name in ("float", target) if number == 0 else (target,):
                    cell = _cell(row)
                    for metric, value in zip(("acc", "l2", "linf"), cell, strict=False):
                        yield Value(table, dataset, attack, source or name, name, metric, value)
            assert not row, (table, attack, target, row)


def _cell(row: list[float]) -> list[float]:
    """Accuracy and its two distortions, which an accuracy of 1 does not have, nor ZOO's 0.89 of Table 20, which stands alone in its row."""
    alone = row[0] == 1.0 or row == [0.89, 1.0, 1.0]
    taken = row[: 1 if alone else 3]
    del row[: len(taken)]
    return taken


def _agreement(above: list[str]) -> Iterator[Value]:
    """Of Table 5; the attack is FGSM for adversarial examples."""
    for line in above:
        found = re.match(r"(Correctly classified|Misclassified|Successful|Unsuccessful) (.*)", line)
        if found:
            attack = "FGSM" if "uccessful" in found[1] else "none"
            for place, value in enumerate(_numbers(found[2])):
                source = ("float", *FULL)[place % 5]
                yield Value(5, DATASETS[place // 5], attack, source, "others", found[1].split()[0].lower(), value)


def _defence(above: list[str]) -> Iterator[Value]:
    for attack, rows in _blocks(above, 4):
        for number, row in enumerate(rows):
            names = ("float", FULL[0]) if number == 0 else (FULL[number],)
            keys = [(dataset, name) for dataset in DATASETS for name in names]
            for (dataset, name), pair in zip(keys, _pairs(row), strict=True):
                yield from (Value(7, dataset, attack, name, "ensemble", *each) for each in zip(("PR", "d_acc"), pair, strict=True))


def _blocks(above: list[str], size: int) -> Iterator[tuple[str, list[list[float]]]]:
    for place, line in enumerate(above):
        found = re.match(r"(FGSM|BIM|CWl2|SPSA|ZOO) (?=\d)", line)
        if found:
            rows = [_numbers(line[found.end() :]), *map(_numbers, above[place + 1 : place + size])]
            yield found[1].replace("CWl2", "CW"), rows


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split() if re.fullmatch(r"\d+\.\d+|\d", word)]


def _pairs(row: list[float]) -> list[tuple[float, float]]:
    return list(zip(row[::2], row[1::2], strict=True))


def to_csv(values: list[Value]) -> str:
    """With a header."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([Value._fields, *values])
    return file.getvalue()


if __name__ == "__main__":
    sys.stdout.write(to_csv(read(Path(sys.argv[1]).read_text(encoding="utf-8"))))
