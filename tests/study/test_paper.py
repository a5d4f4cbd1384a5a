"""The paper's numbers: all there, consistent where the paper prints one twice, and those of its text where that is at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qlight.study.paper import Cell, printed, values
from tests.study import paper_text

PAPER = Path(__file__).parents[2].parent / "shared/paper/bernhard2019.txt"
ATTACKS = ("FGSM", "BIM", "CW", "SPSA", "ZOO")


def test_each_table_has_every_accuracy() -> None:
    counted = Counter(cell.table for cell in values() if cell.metric == "acc")
    # two data sets, nine networks; five attacks, the float network and four others
    assert counted == {2: 18, 3: 50, 4: 50, 6: 2} | dict.fromkeys(range(17, 35), 50)
    assert Counter(cell.table for cell in values() if cell.metric not in ("acc", "l2", "linf")) == {5: 40, 6: 2, 7: 80}


def test_all_81_pairs_of_every_attack_are_there() -> None:
    for dataset in paper_text.DATASETS:
        for attack in ATTACKS:
            for source in paper_text.SOURCES:
                assert all(printed(dataset, attack, source, target, "acc") is not None for target in paper_text.SOURCES)


def test_only_what_was_fooled_has_distortions() -> None:
    for cell, value in values().items():
        if cell.metric == "acc" and cell.attack != "none":
            distortions = {metric for metric in ("l2", "linf") if cell._replace(metric=metric) in values()}
            alone = cell == Cell(20, "CIFAR10", "ZOO", "w1a1", "w1a32", "acc")
            assert distortions == (set() if value == 1 or alone else {"l2", "linf"}), cell


def test_rates_and_distances_are_possible() -> None:
    misprint = Cell(32, "SVHN", "ZOO", "w4a4", "w4a32", "linf")
    for cell, value in values().items():
        highest = {"l2": 2.5, "linf": 0.25}.get(cell.metric, 1.0)
        assert 0 <= value <= highest or cell == misprint, cell


def test_only_accuracies_under_zoo_exceed_clean_accuracy() -> None:
    """So they must be over the images that the target had right before; those of other attacks need not be."""
    counted, exceeds = Counter(), Counter()
    for cell, value in values().items():
        if cell.table >= 17 and cell.metric == "acc":
            clean = values()[Cell(2, cell.dataset, "none", cell.target, cell.target, "acc")]
            counted[cell.attack] += 1
            exceeds[cell.attack] += value > clean + 0.02
    assert counted == dict.fromkeys(ATTACKS, 180)
    assert exceeds == dict.fromkeys(ATTACKS, 0) | {"ZOO": 100}


def test_direct_attacks_are_printed_again_in_the_tables_of_transfer() -> None:
    """As a check of the transcription: 300 numbers stand in two tables; where they differ, they do in the paper."""
    different = Counter()
    same = 0
    for cell, value in values().items():
        if cell.table >= 17 and cell.source == cell.target:
            direct = {values().get(cell._replace(table=table)) for table in (3, 4)}
            same += value in direct
            if value not in direct:
                different[cell.table, cell.attack] += 1
    assert same == 282
    assert different == {(22, "CW"): 5, (27, "CW"): 5, (30, "CW"): 6, (26, "BIM"): 1, (26, "ZOO"): 1}


def test_the_float_network_is_printed_in_both_tables_of_a_source() -> None:
    different = 0
    for cell, value in values().items():
        if cell.table >= 17 and cell.table % 2 and cell.target == "float":
            again = values()[cell._replace(table=cell.table + 1)]
            assert abs(value - again) < 0.0101
            different += value != again
    assert different == 4


@pytest.mark.parametrize(
    ("cell", "value"),  # read by eye, one or more a table
    [
        (Cell(2, "SVHN", "none", "w3a32", "w3a32", "acc"), 0.96),
        (Cell(3, "SVHN", "ZOO", "w4a4", "w4a4", "l2"), 0.38),
        (Cell(4, "CIFAR10", "CW", "w4a32", "w4a32", "l2"), 0.62),
        (Cell(5, "SVHN", "FGSM", "w1a1", "others", "unsuccessful"), 0.94),
        (Cell(5, "CIFAR10", "none", "w2a2", "others", "misclassified"), 0.33),
        (Cell(6, "SVHN", "none", "ensemble", "ensemble", "acc"), 0.98),
        (Cell(7, "CIFAR10", "SPSA", "w4a4", "ensemble", "PR"), 0.58),
        (Cell(7, "SVHN", "BIM", "w2a2", "ensemble", "d_acc"), 0.81),
        (Cell(17, "CIFAR10", "CW", "float", "w4a4", "acc"), 0.32),
        (Cell(19, "SVHN", "CW", "w1a1", "w4a4", "l2"), 1.29),
        (Cell(20, "CIFAR10", "ZOO", "w1a1", "w4a32", "linf"), 0.08),
        (Cell(28, "SVHN", "CW", "w3a3", "w4a32", "acc"), 0.15),
        (Cell(34, "CIFAR10", "FGSM", "w4a32", "w4a32", "acc"), 0.19),
    ],
)
def test_some_numbers(cell: Cell, value: float) -> None:
    assert values()[cell] == value


@pytest.mark.skipif(not PAPER.exists(), reason="needs the paper's text")
def test_the_file_is_what_the_text_says() -> None:
    found = paper_text.read(PAPER.read_text(encoding="utf-8"))
    assert {Cell(*each[:-1]): each.value for each in found} == values()
    assert len(found) == len(values())
