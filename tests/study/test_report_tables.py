"""What the paper's tables and heat maps are beside: images that were right before, where the paper's are; kappas; remarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qlight.study.paper import values
from qlight.study.report.heat_maps import transfer_maps, transfer_section
from qlight.study.report.material import WHY_OF_RIGHT, Count, Material, sizes
from qlight.study.report.paper_tables import paper_tables, section
from qlight.study.report.table import Table
from qlight.study.results import Results
from tests.study.synthetic import DATA, IMAGES, Study

#: the sources of the tables that have remarks, among them
NAMES = ("float", "w1a1", "w3a3", "w4a4", "w1a32", "w3a32", "w4a32")
ATTACKS = ("CW", "ZOO")


@pytest.fixture(scope="module")
def of(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(Study(tmp_path_factory.mktemp("study"), NAMES, ATTACKS).needs)


def material(needs: Mapping[str, Path], dataset: str = "CIFAR10") -> Material:
    return Material("synthetic", dataset, 3, DATA, Results(needs))


def rows(table: Table) -> list[dict[str, str]]:
    return [dict(zip((column.full for column in table.columns), row, strict=True)) for row in table.rows]


def cells(of: Material, attack: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What was transferred; on the diagonal what the attack itself did."""
    found = {(cell["source"], cell["target"]): cell for cell in of.results.json(f"transfer/{attack}", "transfer.json")["cells"]}
    return found | {(name, name): of.results.json(f"attack/torch/paper/{attack}/{name}", "results.json")[0] for name in NAMES}


def shown(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def test_why_zoo_is_compared_on_images_that_were_right() -> None:
    clean = {(cell.dataset, cell.target): value for cell, value in values().items() if cell.table == 2}
    above, everything = Counter(), Counter()
    for cell, value in values().items():
        if cell.table >= 17 and cell.metric == "acc":
            everything[cell.attack] += 1
            above[cell.attack] += round(value - clean[cell.dataset, cell.target], 2) > 0.02
    assert above["ZOO"] == 100
    assert above.total() == 100
    assert everything["ZOO"] == 180
    assert everything.total() == 180 + 720
    assert "100 of 180" in WHY_OF_RIGHT
    assert "of 720 under other attacks none" in WHY_OF_RIGHT


def test_rows_of_zoo_are_of_images_that_were_right(of: Material) -> None:
    found, checked = cells(of, "ZOO"), 0
    for number, table in paper_tables(of).items():
        mine = [row for row in rows(table) if row.get("attack") == "ZOO"]
        assert ("ZOO: n, acc, l2 and linf are of the images that the target had right before" in table.note) == bool(mine)
        for row in mine:
            target = row["target" if number >= 17 else "network"]
            source = next(cell.source for cell in values() if cell.table == number) if number >= 17 else target
            cell = found[source, target]
            assert row["n"] == str(cell["correct"])
            assert row["acc measured"] == shown((cell["correct"] - cell["flipped"]) / cell["correct"])
            assert row["l2 measured"] == shown(cell["mean_l2_flipped"])
            assert row["linf measured"] == shown(cell["mean_linf_flipped"])
            checked += cell["correct"] < IMAGES
    assert checked > 20
    assert WHY_OF_RIGHT in section(of).text


def test_rows_of_other_attacks_are_of_all_images(of: Material) -> None:
    found = cells(of, "CW")
    for row in rows(paper_tables(of)[22]):
        if row["attack"] == "CW":
            assert row["n"] == str(IMAGES)
            assert row["acc measured"] == shown(found["w1a32", row["target"]]["adversarial_accuracy"])
            assert row["l2 measured"] == shown(found["w1a32", row["target"]]["mean_l2"])


def test_the_map_of_zoo_is_of_images_that_were_right(of: Material) -> None:
    found, matrix = cells(of, "ZOO"), transfer_maps(of)["ZOO"]
    right = {pair: (cell["correct"] - cell["flipped"]) / cell["correct"] for pair, cell in found.items()}
    assert [[right[source, target] for target in NAMES] for source in NAMES] == [pytest.approx(row) for row in matrix.values]
    counted = {cell["correct"] for (source, target), cell in found.items() if source != target}
    assert len(counted) > 1
    assert matrix.title == f"ZOO, n = {sizes(counted)}"
    said = "Numbers and n are of the images that the target had right before, as the paper's numbers seem to be"
    assert matrix.note == f"{said}; attacked were {IMAGES}."
    transfer = transfer_section(of)
    assert transfer is not None
    table = transfer.tables[1]
    assert table.note == f"{said}."
    assert "kappa" not in rows(table)[0]
    for row in rows(table):
        pair = row["source"], row["target"]
        assert (row["n"], row["acc"]) == (str(found[pair]["correct"]), shown(right[pair]))
    assert transfer.tables[0].note == ""


def test_a_target_with_nothing_right_has_no_share(of: Material) -> None:
    changed = material(of.results.folders)
    for source, target in (("float", "w1a32"), ("w1a32", "w1a32")):
        changed.__dict__["counts"] = {**changed.counts, ("ZOO", source, target): Count(IMAGES, None, 0)}
        for metric in ("acc_right", "l2_turned", "linf_turned"):
            changed.measured.pop(("ZOO", source, target, metric), None)  # type: ignore[attr-defined]
    row = next(row for row in rows(paper_tables(changed)[22]) if (row["attack"], row["target"]) == ("ZOO", "w1a32"))
    assert (row["n"], row["acc measured"], row["acc 95 %"], row["l2 measured"]) == ("0", "-", "-", "-")
    transfer = transfer_section(changed)
    assert transfer is not None
    row = next(row for row in rows(transfer.tables[1]) if (row["source"], row["target"]) == ("float", "w1a32"))
    assert (row["n"], row["acc"], row["95 %"]) == ("0", "-", "-")


def test_sources_may_have_other_numbers_of_images(of: Material) -> None:
    """As those of ZOO in configs/study/small.yaml."""
    changed = material(of.results.folders)
    many = {"w1a1": 30, "w3a3": 30, "w4a4": 30}
    by_source = "10 (float, w1a32, w3a32, w4a32), 30 (w1a1, w3a3, w4a4)"
    changed.__dict__["counts"] = {
        (attack, source, target): count._replace(images=many.get(source, 10), right=many.get(source, 10) - NAMES.index(target))
        for (attack, source, target), count in of.counts.items()
        if attack in ATTACKS and target in NAMES
    }
    maps = transfer_maps(changed)
    assert maps["CW"].title == "CW, n = 10 or 30"
    assert maps["CW"].note.startswith(f"n by source: {by_source}. Kappa by source: float 5, ")
    assert maps["ZOO"].title == "ZOO, n = 4 to 30"
    assert maps["ZOO"].note.endswith(f"; attacked were {by_source}.")
    changed.__dict__["counts"] = {
        key: count._replace(images=100, right=91) if key[1] == key[2] else count for key, count in changed.counts.items()
    }
    maps = transfer_maps(changed)
    assert f"n by source: {by_source}. On the diagonal n = 100." in maps["CW"].note
    assert maps["ZOO"].note.endswith(f"; attacked were {by_source}. On the diagonal n = 91.")
    for number, source in ((22, "w1a32"), (27, "w3a3")):
        found = {row["target"]: row["n"] for row in rows(paper_tables(changed)[number]) if row["attack"] == "CW"}
        assert found.pop(source) == "100"
        assert {*found.values()} == {str(many.get(source, 10))}


def test_only_attacks_whose_kappa_is_searched_have_one(of: Material) -> None:
    row = of.results.json("attack/torch/paper/ZOO/float", "results.json")[0]
    assert "kappa" in row["parameters"]
    for number, table in paper_tables(of).items():
        for row in rows(table):
            if number >= 17:
                source = next(cell.source for cell in values() if cell.table == number)
                wanted = "-" if row["attack"] == "ZOO" else "0" if row["target"] == source else "5"
                assert row["kappa"] == wanted, (number, row)
    direct = material({task: folder for task, folder in of.results.folders.items() if task.startswith("attack/")})
    assert {count.kappa for count in direct.counts.values()} == {None}


def test_kappas_of_the_ensemble_stand_in_its_table(of: Material, tmp_path: Path) -> None:
    assert {(row["attack"], row["kappa"]) for row in rows(paper_tables(of)[7])} == {("CW", "5")}
    other = material(Study(tmp_path, ("float", "w1a1"), ("FGSM",)).needs)
    assert {row["kappa"] for row in rows(paper_tables(other)[7])} == {"-"}
    for number in range(2, 7):
        assert "kappa" not in rows(paper_tables(of)[number])[0]


def test_remarks_stand_below_the_rows_that_they_are_of(of: Material) -> None:
    different = {
        (cell.table, cell.dataset, cell.source)
        for cell, value in values().items()
        if cell.table >= 17 and cell.source == cell.target and cell.attack == "CW"
        if value not in {values().get(cell._replace(table=table)) for table in (3, 4)}
    }
    for dataset in ("CIFAR10", "SVHN"):
        tables = paper_tables(material(of.results.folders, dataset))
        remarked = {number for number, table in tables.items() if "of the kappa that transfers best" in table.note}
        assert {(number, dataset) for number in remarked} == {each[:2] for each in different if each[1] == dataset}
        for number, _, source in different:
            assert f"CW on {source} itself: " in tables[number].note
        assert ("lost its empty cells" in tables[20].note) == (dataset == "CIFAR10")
        assert ("linf of ZOO on w4a32 is a misprint" in tables[32].note) == (dataset == "SVHN")
        rest = " ".join(table.note for number, table in tables.items() if number not in (20, 32))
        assert "empty cells" not in rest
        assert "misprint" not in rest


def test_remarks_on_rows_that_are_not_shown_are_left_out(of: Material) -> None:
    left = "network/w1a32", "attack/torch/paper/CW/", "attack/torch/paper/ZOO/w1a32", "transfer/CW"
    some = {task: folder for task, folder in of.results.folders.items() if not task.startswith(left)}
    assert "itself" not in paper_tables(material(some))[22].note
    without = {
        task: folder for task, folder in of.results.folders.items() if not task.startswith(("attack/torch/paper/ZOO", "transfer/ZOO"))
    }
    tables = paper_tables(material(without))
    assert 20 in tables
    assert "empty cells" not in tables[20].note
    assert "ZOO: n" not in tables[20].note
