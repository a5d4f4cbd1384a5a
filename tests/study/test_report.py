"""The report: the paper's number beside each measured one, valid HTML that needs nothing else, the same bytes, any part of a study."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from qlight.study.claim import Claim, Key
from qlight.study.claims import CLAIMS
from qlight.study.configuration import Configuration
from qlight.study.estimate import Estimate
from qlight.study.paper import Cell, values
from qlight.study.planning import make_plan
from qlight.study.report import PAGE, TABLES, write
from qlight.study.report.claims_page import claims_page
from qlight.study.report.material import Material
from qlight.study.report.page import warnings
from qlight.study.report.provenance import facts
from qlight.study.report.verdicts import SIGNS, command, verdicts, word
from qlight.study.results import Results
from qlight.study.summary import FILE as SUMMARY
from tests.study.markup import Parsed, check_page
from tests.study.synthetic import DATA, IMAGES, NAMES, OPTIONS, Study

#: what stands beside the paper's numbers of ZOO, which are of images that were right before
OF_RIGHT = {"acc": "acc_right", "l2": "l2_turned", "linf": "linf_turned"}
OUTCOMES = {
    "test set, correctly classified": "correctly",
    "test set, misclassified": "misclassified",
    "FGSM, successful": "successful",
    "FGSM, unsuccessful": "unsuccessful",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def report(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write(OPTIONS, study.needs, folder)
    return folder


def material(study: Study, dataset: str = "CIFAR10") -> Material:
    return Material("synthetic", dataset, 3, DATA, Results(study.needs))


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    """A Markdown table by its heads."""
    lines = [line for line in (folder / TABLES / f"{name}.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert {len(row) for row in cells} == {len(cells[0])}
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def shown(table: int, cell: Cell, row: dict[str, str]) -> bool:
    """Whether a row of a table is the one of a cell."""
    if table == 2:
        return row["network"] == cell.target
    if table in (3, 4):
        return (row["attack"], row["network"]) == (cell.attack, cell.target)
    if table == 5:
        return (OUTCOMES[row["images"]], row["source"]) == (cell.metric, cell.source)
    if table == 6:
        return True
    other = row["source"] if table == 7 else row["target"]
    return (row["attack"], other) == (cell.attack, cell.source if table == 7 else cell.target)


@pytest.mark.parametrize("dataset", ["CIFAR10", "SVHN"])
def test_every_number_of_the_paper_stands_beside_the_measured_one(study: Study, tmp_path: Path, dataset: str) -> None:
    write({**OPTIONS, "dataset": dataset}, study.needs, tmp_path)
    measured = material(study, dataset).measured
    checked = Counter()
    tables = {table: rows_of(tmp_path, f"table-{table:02}") for table in (*range(2, 8), *range(17, 35))}
    for cell, value in values().items():
        if cell.dataset != dataset:
            continue
        (row,) = [row for row in tables[cell.table] if shown(cell.table, cell, row)]
        of = "" if cell.table == 5 else f"{cell.metric} "
        key = Key(*cell[2:])
        estimate = measured.get(key._replace(metric=OF_RIGHT[key.metric]) if key.attack == "ZOO" else key)
        assert row[f"{of}paper"] == f"{value:.2f}", cell
        assert row[f"{of}measured"] == ("-" if estimate is None else f"{estimate.value:.3f}"), cell
        if estimate is None or estimate.low == estimate.high or estimate == Estimate.single(estimate.value):
            assert row[f"{of}95 %"] == "-"
        else:
            assert row[f"{of}95 %"] == f"{estimate.low:.3f} to {estimate.high:.3f}"
        checked[cell.table] += 1
    assert set(checked) == set(tables)
    assert sum(checked.values()) == sum(cell.dataset == dataset for cell in values())


def test_a_number_that_the_paper_has_not_is_a_dash(report: Path) -> None:
    printed = values()
    rows = rows_of(report, "table-17")
    missing = [row for row in rows if Cell(17, "CIFAR10", row["attack"], "float", row["target"], "l2") not in printed]
    assert all(row["l2 paper"] == "-" for row in missing)
    assert {row["target"] for row in rows} == {"float", "w1a1", "w2a2", "w3a3", "w4a4"}


def test_distortions_of_transferred_examples_have_intervals(study: Study) -> None:
    of = material(study)
    plain = of.results.measured
    found = {key: each for key, each in of.measured.items() if key.source != key.target and key.metric == "l2" and key.target in NAMES}
    assert len(found) > 300
    for key, estimate in found.items():
        assert estimate.value == pytest.approx(plain[key].value)
    assert sum(estimate.low < estimate.value < estimate.high for estimate in found.values()) > 250


def test_a_distance_that_is_not_defined_is_not_that_of_fewer_images(study: Study, tmp_path: Path) -> None:
    """Transfer measures its diagonal too."""
    folder = tmp_path / "none_fooled"
    shutil.copytree(study.needs["attack/torch/paper/FGSM/float"], folder)
    summary = json.loads((folder / SUMMARY).read_text())
    (folder / SUMMARY).write_text(json.dumps(summary | {"l2": None}))
    key = Key("FGSM", "float", "float", "l2")
    without = {name: place for name, place in study.needs.items() if not name.startswith("attack/")}
    assert key in Results(without).measured
    assert key not in Results({**study.needs, "attack/torch/paper/FGSM/float": folder}).measured


def test_the_clean_test_set_is_that_of_most_images(report: Path) -> None:
    assert rows_of(report, "table-06")[0]["n"] == "200"
    assert {row["n"] for row in rows_of(report, "table-05") if row["images"].startswith("test set")} == {"200"}


def test_the_same_results_give_the_same_bytes(study: Study, report: Path, tmp_path: Path) -> None:
    moved = {task: tmp_path / "elsewhere" / folder.name for task, folder in study.needs.items()}
    shutil.copytree(study.root, tmp_path / "elsewhere")
    again = tmp_path / "again"
    for _ in range(2):  # the second time over the files of the first
        write(OPTIONS, moved, again)
        names = sorted(path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file())
        assert sorted(path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file()) == names
        assert all((report / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_no_paths_dates_addresses_or_infinities(study: Study, report: Path) -> None:
    for path in report.rglob("*.*"):
        text = re.sub(r"base64,[\w+/=]+", "", path.read_text())
        assert str(study.root) not in text
        assert "://" not in text
        assert not re.search(r"\b20[2-9]\d-\d\d-\d\d\b|\bseconds\b|\binf\b|\bnan\b", text), path


def test_the_page_is_valid_and_needs_nothing_else(report: Path) -> None:
    parsed = check_page(report / PAGE)
    sections = [attributes["id"] for tag, attributes in parsed.elements if tag == "section"]
    wanted = ["transfer", "gradients", "ensemble", "deployed", "curves", "gallery", "diagnostics", "spread", "shift"]
    assert sections == ["claims", "tables", "attacks-all", *wanted, "provenance"]
    assert sum(tag == "img" for tag, _ in parsed.elements) == len(set("FBCSZ")) * (len(NAMES) + 1) * 5


def test_the_first_screen_counts_the_verdicts(study: Study, report: Path) -> None:
    parsed = Parsed((report / PAGE).read_text())
    counts = Counter(map(word, verdicts(material(study))))
    assert counts.total() == len(CLAIMS)
    tiles = [text for where, text in parsed.text if where[-1:] == ("strong",) and "header" in where][: len(SIGNS)]
    assert tiles == [str(counts[word]) for word in SIGNS]
    lead = next(text for where, text in parsed.text if where[-2:] == ("header", "p"))
    assert lead.startswith(f"9 networks ({', '.join(NAMES)}), 5 attacks (FGSM, BIM, CW, SPSA, ZOO) on {IMAGES} images each")
    assert "The data are SyntheticDigits, not CIFAR10." in (report / PAGE).read_text()


def test_every_claim_has_its_conditions_and_a_command(study: Study, report: Path) -> None:
    rows = {row["claim"]: row for row in rows_of(report, "claims-verdicts")}
    assert list(rows) == [claim.name for claim in CLAIMS]
    conditions = rows_of(report, "claims-conditions")
    tasks = [task.name for task in make_plan(Configuration.load(Path(__file__).parents[2] / "configs/study/smoke.yaml"))]
    of = material(study)
    for claim in CLAIMS:
        judged = claim.judge("CIFAR10", of.measured)
        assert rows[claim.name]["verdict"] == (judged.verdict or "not measured")
        mine = [row for row in conditions if row["claim"] == claim.name]
        assert [row["what"] for row in mine] == [condition.what for condition in judged.conditions]
        for row, condition in zip(mine, judged.conditions, strict=True):
            assert condition.known == (row["value"] != "-")
            assert row["verdict"].endswith(condition.verdict if condition.known else "not measured")
            if condition.known:
                assert float(row["value"]) == pytest.approx(condition.estimate.value, abs=6e-4)
        words = rows[claim.name]["command"].rpartition(" --only ")[2].split(",")
        assert all(any(task.startswith(word) for task in tasks) for word in words), words


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_command_of_a_claim_measures_its_numbers(study: Study, claim: Claim) -> None:
    everything = claim.judge("CIFAR10", material(study).measured)
    words = tuple(command(everything).rpartition(" --only ")[2].split(","))
    some = Results({task: folder for task, folder in study.needs.items() if task.startswith(words)})
    assert claim.judge("CIFAR10", some.measured).missing == everything.missing


@pytest.mark.parametrize(
    "kept",
    [
        (),
        ("network/float",),
        ("network/", "transfer/FGSM"),
        ("network/", "ensemble/adaptive"),
        ("network/", "ensemble/BIM"),
        ("attack/packed/paper/ZOO/w1a1",),
        ("network/float", "attack/torch/paper/CW"),
        ("diagnose", "spread"),
        ("gradients", "shift"),
    ],
)
def test_any_part_of_a_study(study: Study, tmp_path: Path, kept: tuple[str, ...]) -> None:
    needs = {task: folder for task, folder in study.needs.items() if task.startswith(kept) and kept}
    write(OPTIONS, needs, tmp_path)
    parsed = check_page(tmp_path / PAGE)
    text = " ".join(text for _, text in parsed.text)
    if "network/" not in kept:
        assert "Not measured in this study" in text
        assert "Table 34" in text
        assert not (tmp_path / TABLES / "table-34.md").exists()


def test_what_was_not_measured_is_named(tmp_path: Path) -> None:
    few = Study(tmp_path / "study", ("float", "w1a1"), ("FGSM",))
    write(OPTIONS, few.needs, tmp_path)
    assert [(row["attack"], row["network"]) for row in rows_of(tmp_path, "table-03")] == [("FGSM", "float"), ("FGSM", "w1a1")]
    note = (tmp_path / TABLES / "table-03.md").read_text().splitlines()[-1]
    assert note == "Not measured: w2a2; w3a3; w4a4; float (BIM, CW, SPSA, ZOO); w1a1 (BIM, CW, SPSA, ZOO)."
    page = (tmp_path / PAGE).read_text()
    assert "Table 23, Table 24, Table 25" in page


def test_a_part_of_a_study_names_what_did_not_run(study: Study, tmp_path: Path) -> None:
    needs = {task: folder for task, folder in study.needs.items() if task.startswith(("network/", "attack/torch/paper/FGSM/"))}
    missing = [task for task in study.needs if task not in needs]
    write({**OPTIONS, "missing": missing}, needs, tmp_path)
    text = (tmp_path / PAGE).read_text()
    check_page(tmp_path / PAGE)
    assert f"This study is not finished: {len(missing)} tasks did not run" in text
    assert "<li>attack/packed/paper/CW</li>" in text
    assert "<li>transfer</li>" in text
    rows = {row["what"]: row for row in rows_of(tmp_path, "claims-conditions")}
    assert rows["BIM: w1a1 - float"]["verdict"] == "– not measured"
    assert rows["FGSM: w1a1 - float"]["value"] != "-"
    assert {rows[f"{attack}: w1a1 - float"]["paper"] for attack in ("FGSM", "BIM")} == {"0.54", "0.59"}


def test_the_page_of_verdicts_has_ours_and_the_papers(study: Study) -> None:
    of = material(study)
    page = claims_page(of, "configs/study/x.yaml", 100, Path("verdicts.md"))
    assert "All 100 tasks of the study have run." in page
    for judged in verdicts(of):
        part = page.partition(f"{{: #{judged.claim.name} }}")[2].partition("\n## ")[0]
        (command,) = re.findall(r"```sh\n(.*?)\n```", part, re.DOTALL)
        assert command.startswith("python -m qlight study run configs/study/x.yaml --only ")
        lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
        assert len(lines) == len(judged.conditions)
        for line, condition in zip(lines, judged.conditions, strict=True):
            assert line.startswith(f"| {condition.what} | {condition.estimate.value:.3f} | ".replace("-0.000", "0.000"))
            assert condition.verdict in line
    cells = [line.split(" | ")[-1] for line in page.splitlines() if line.startswith("| FGSM: w1a1 - float ")]
    assert cells == ["0.54 |"]
    nothing = claims_page(Material("x", "CIFAR10", 0, DATA, Results({}), ("network/float",)), "x.yaml", 1, Path("x.md"))
    assert "**0 of 1 tasks have run.**" in nothing
    assert f"Of {len(CLAIMS)} claims: {len(CLAIMS)} not run." in nothing


def test_latex_is_balanced(report: Path) -> None:
    paths = sorted((report / TABLES).glob("*.tex"))
    assert len(paths) > 24
    for path in paths:
        text = path.read_text()
        assert text.count("{") == text.count("}")
        assert text.isascii()
        body = text.partition("\\midrule\n")[2].partition("\n\\bottomrule")[0].splitlines()
        (form,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
        for line in body:
            assert line.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", line)) == len(form) - 1
            assert not re.search(r"(?<!\\)[%#_]", line), line


def test_data_of_a_file_are_called_as_the_file(study: Study) -> None:
    spec = {"class_path": "qlight.data.Arrays", "init_args": {"path": "/data/of/cifar10.npz"}}
    of = Material("x", "CIFAR10", 0, spec, Results({}))
    assert of.class_names[3] == "cat"
    assert not warnings(of)
    assert warnings(Material("x", "SVHN", 0, spec, Results({}))) == ["The data are cifar10, not SVHN."]
    assert "Data: qlight.data.Arrays(path=cifar10.npz)" in facts(of)
    assert material(study).class_names == tuple("0123456789")


def test_estimates_without_an_interval_are_shown_without() -> None:
    from qlight.study.report.table import measured

    assert measured(Estimate.exact(0.5)) == ("0.500", "-")
    assert measured(None) == ("-", "-")
    assert measured(Estimate.single(0.5)) == ("0.500", "-")
    assert measured(Estimate(-0.5, -math.inf, 1.0)) == ("-0.500", "-")
    assert measured(Estimate.single(0.5) - Estimate.exact(0.25))[1] != "-"
