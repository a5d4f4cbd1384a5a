"""The results as a page: every table with ours beside the paper's and n, what is missing by name, pictures that need nothing else."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qlight.errors import InputError
from qlight.study.claim import Key
from qlight.study.command import main
from qlight.study.configuration import Configuration
from qlight.study.report import attack_tables, deployed, study_page
from qlight.study.report.heat_maps import transfer_maps
from qlight.study.report.material import Material
from qlight.study.report.paper_tables import paper_tables
from qlight.study.report.study_page import Place, write_page
from qlight.study.report.table import NONE, Table
from qlight.study.results import Results
from tests.study.synthetic import ATTACKS, DATA, IMAGES, NAMES, Study

CONFIGURATION = Configuration(
    name="synthetic",
    dataset="CIFAR10",
    data=DATA,
    networks=dict.fromkeys(NAMES[:-1], "train") | {NAMES[-1]: f"zoo:cifar10-{NAMES[-1]}-x0.25"},
    presets={"paper": {attack: {"class_path": f"x.{attack}", "images": IMAGES} for attack in ATTACKS}},
    targets=("torch", "packed"),
)
PICTURES = {*(f"transfer-{attack}.svg" for attack in ATTACKS), "gradients-cross-entropy.svg", "gradients-margin.svg", "eps-FGSM.svg"}


@pytest.fixture(scope="module")
def of(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material("synthetic", "CIFAR10", 3, DATA, Results(Study(tmp_path_factory.mktemp("study")).needs))


@pytest.fixture(scope="module")
def place(of: Material, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where the page was written."""
    place = Place("configs/study/x.yaml", tmp_path_factory.mktemp("docs") / "study_x.md")
    write_page(of, CONFIGURATION, place)
    return place


@pytest.fixture(scope="module")
def page(place: Place) -> str:
    return place.page.read_text()


def part(of: Material, *kept: str) -> Material:
    """What of a study is done, the other tasks missing."""
    folders = {task: folder for task, folder in of.results.folders.items() if kept and task.startswith(kept)}
    return Material(
        of.name, of.dataset, of.seed, of.data, Results(folders), tuple(task for task in of.results.folders if task not in folders)
    )


def headings(page: str) -> list[tuple[int, str]]:
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, re.MULTILINE)]


def section(page: str, title: str) -> str:
    """From its heading to the next of the same level."""
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def cells(text: str) -> list[list[str]]:
    """The rows of the first table in a text, its heads too."""
    lines = text[text.index("| ") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (lines[0], *lines[2:])]


def rows(table: Table) -> list[list[str]]:
    """Those of a narrow table, their intervals in cells of their own again."""
    heads = [column.title for column in table.columns]
    narrow = cells(table.to_narrow_markdown(0))[1:]
    wide = []
    for row in narrow:
        given = iter(row)
        found: list[str] = []
        for title in heads:
            if title == "95 %":
                value, _, interval = found[-1].partition("<br><small>")
                found[-1:] = [value, interval.removesuffix("</small>") or NONE]
            else:
                found.append(next(given).replace("&nbsp;", " "))
        wide.append(found)
    return wide


def test_narrow_tables_hold_what_wide_ones_hold(of: Material) -> None:
    of_deployed = deployed.section(of)
    assert of_deployed is not None
    tables = [*paper_tables(of).values(), *attack_tables.tables_of(of), *of_deployed.tables]
    assert sum(len(table.rows) for table in tables) > 500
    for table in tables:
        assert rows(table) == [list(row) for row in table.rows], table.name


def test_every_table_is_there(of: Material, page: str) -> None:
    tables = paper_tables(of)
    for number in range(2, 8):
        assert tables[number].to_narrow_markdown(3).rstrip() in page
        assert "n" in cells(tables[number].to_narrow_markdown(3))[0]
    for target in ("torch", "packed"):
        assert f"### Adversarial accuracy, {target}\n" in page
        assert f"<summary>Preset paper, target {target}</summary>" in page
    for title in ("torch beside packed", "What 8-bit pixels change", "The adaptive attack", "SHA-256 of<br>the network", "All diagnostics"):
        assert title in page
    assert f"\n* {NAMES[-1]}: 1 fails.\n" in section(page, "Diagnostics")
    assert "100 of 180 accuracies under ZOO" in section(page, "Attacks on the networks as trained")
    assert "inf" not in re.findall(r"\w+", page)
    assert "All 137 tasks have run." in page
    assert "**Not run" not in page


def test_at_a_glance_and_in_full_are_the_same(of: Material) -> None:
    for glance, full in zip(attack_tables.glances_of(of), reversed(attack_tables.tables_of(of)), strict=True):
        known = {(row[0], row[1]): (row[2], row[4]) for row in full.rows}
        assert len(known) == len(NAMES) * len(ATTACKS)
        for row in glance.rows:
            assert [known[attack, row[0]] for attack in ATTACKS] == [(str(IMAGES), value) for value in row[2:]]
        assert all(f"paper {attack} {IMAGES}" in glance.note for attack in ATTACKS)


def test_transfer_has_a_table_an_attack_with_n_and_kappa(of: Material, page: str) -> None:
    text = section(page, "Transfer")
    maps = transfer_maps(of)
    assert list(maps) == list(ATTACKS)
    for attack in ATTACKS:
        metric = "acc_right" if attack == "ZOO" else "acc"  # tests/study/test_report_tables.py says of how many images
        assert attack == "ZOO" or maps[attack].title == f"{attack}, n = {IMAGES}"
        mine = text.partition(f"### {maps[attack].title}\n")[2]
        matrix = cells(mine)
        assert matrix[0][1:] == list(NAMES)
        for name, *shown in matrix[1:]:
            source = name.strip("*")
            for target, cell in zip(NAMES, shown, strict=True):
                assert cell.partition("<br>")[0] == f"{of.measured[Key(attack, source, target, metric)].value:.2f}"
        full = cells(mine.partition("</summary>")[2])
        kappa = ["kappa"] if attack == "CW" else []
        assert full[0] == ["source", "target", "n", *kappa, "acc", "paper"]
        assert {row[2] for row in full[1:]} == {str(of.counts[attack, row[0], row[1]].n(attack)) for row in full[1:]}
        if attack == "CW":
            assert {row[3] for row in full[1:] if row[0] != row[1]} == {"5"}
        assert ("Kappa by source: float 5, w1a1 5" in mine.partition("###")[0]) == (attack == "CW")


def test_other_images_on_the_diagonal_are_said(of: Material) -> None:
    count = of.counts["FGSM", "float", "float"]
    changed = part(of, "network/", "transfer/FGSM")
    dict_of = dict(changed.counts) | {("FGSM", name, name): count._replace(images=9) for name in NAMES}
    changed.__dict__["counts"] = dict_of
    assert transfer_maps(changed)["FGSM"].note == "On the diagonal n = 9."


def test_headings_nest_and_the_index_leads_to_them(page: str) -> None:
    found = headings(page)
    assert found[0] == (1, "The paper's experiments, synthetic")
    assert [level for level, _ in found].count(1) == 1
    assert all(after - before <= 1 for (before, _), (after, _) in pairwise(found))
    assert len(set(found)) == len(found)
    anchors = {title.lower().replace(" ", "-") for level, title in found if level == 2}
    index = re.findall(r"^\| \[(.+)\]\(#(.+)\) \| (\d+) of (\d+) \|$", page, re.MULTILINE)
    assert len(index) == 9
    assert all(anchor in anchors and done == whole for _, anchor, done, whole in index)


def test_where_it_is_from(page: str, place: Place) -> None:
    assert f"python -m qlight study report configs/study/x.yaml --page {place.page}\n" in page
    assert f"`zoo:cifar10-{NAMES[-1]}-x0.25`" in page
    assert "* Networks have 0.25 of the paper's width." in page
    assert "* The data are SyntheticDigits, not CIFAR10." in page
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert {Path(link).name for link in links} == {"claims.md", "study.md", "zoo.md", *PICTURES}


def test_links_are_from_where_the_page_is() -> None:
    place = Place("x.yaml", Path("docs/a/page.md"), Path("docs/verdicts.md"))
    assert place.link(Path("docs/claims.md")) == "../claims.md"
    assert place.link(place.pictures / "eps.svg") == "page/eps.svg"


@pytest.mark.parametrize(
    ("kept", "there", "left"),
    [
        ((), [], ["## Networks", "## Transfer"]),
        (("network/", "attack/torch/paper/FGSM"), ["### Adversarial accuracy, torch"], ["### Adversarial accuracy, packed", "## Ensemble"]),
        (("network/", "ensemble/BIM"), ["Every number of members", "### Table 7"], ["The adaptive attack is"]),
        (("gradients", "attack/torch/eps/"), ["study_x/gradients-margin.svg", "study_x/eps-FGSM.svg"], ["study_x/transfer", "## Transfer"]),
    ],
)
def test_a_part_of_a_study_names_what_did_not_run(of: Material, tmp_path: Path, kept: tuple, there: list[str], left: list[str]) -> None:
    some = part(of, *kept)
    place = Place("x.yaml", tmp_path / "study_x.md")
    write_page(some, CONFIGURATION, place)
    page = place.page.read_text()
    assert f"**{len(some.results.folders)} of 137 tasks have run.**" in page
    assert all(text in page for text in there)
    for text in left:
        if text.startswith("## "):
            assert section(page, text.removeprefix("## ")).lstrip().startswith("**Not run.**")
        else:
            assert text not in page
    if "ensemble/BIM" in kept:
        assert section(page, "Ensemble").lstrip().startswith("**Not run:** ensemble: FGSM, CW, SPSA, adaptive.")
    shown = {Path(link).name for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)}
    assert {path.name for path in place.pictures.glob("*")} == shown


def test_the_same_results_give_the_same_bytes_and_old_pictures_go(of: Material, place: Place, tmp_path: Path) -> None:
    other = Place(place.study, tmp_path / "study_x.md")
    write_page(of, CONFIGURATION, other)
    assert {path.name for path in other.pictures.iterdir()} == PICTURES
    for name in PICTURES:
        assert (other.pictures / name).read_bytes() == (place.pictures / name).read_bytes()
    assert other.page.read_text().replace(str(other.page), "") == place.page.read_text().replace(str(place.page), "")
    (other.pictures / "of_another.svg").write_text("<svg/>")
    write_page(part(of), CONFIGURATION, other)
    assert [path.name for path in other.pictures.iterdir()] == ["of_another.svg"]


def test_a_page_that_fails_leaves_the_old_one(of: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("x.yaml", tmp_path / "study_x.md")
    place.page.write_text("old")
    monkeypatch.setattr(study_page, "study_page", lambda *_: "\ud800")  # cannot be written
    with pytest.raises(UnicodeEncodeError):
        write_page(part(of), CONFIGURATION, place)
    assert place.page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["study_x.md"]


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_pictures_need_nothing_else_and_stay_on_their_paper(place: Place, name: str) -> None:
    text = (place.pictures / name).read_text()
    assert "url(" not in text
    assert "href" not in text
    root = ElementTree.fromstring(text)
    tags = [each.tag.rpartition("}")[2] for each in root.iter()]
    assert set(tags) <= {"svg", "title", "style", "rect", "g", "text", "path"}
    assert root[0].tag.endswith("title")
    width, height = float(root.attrib["width"]), float(root.attrib["height"])

    def check(of: ElementTree.Element, x: float, y: float) -> None:
        moved = re.match(r"translate\(([\d.]+) ([\d.]+)\)", of.attrib.get("transform", ""))
        if moved:
            x, y = x + float(moved[1]), y + float(moved[2])
        if of.tag.endswith(("text", "rect")) and "%" not in of.attrib.get("width", ""):
            assert 0 <= x + float(of.attrib["x"]) <= width
            assert 0 <= y + float(of.attrib["y"]) <= height
        for each in of:
            check(each, x, y)

    check(root, 0.0, 0.0)
    words = [each.text for each in root.iter() if each.tag.endswith("text")]
    assert set(NAMES) <= set(words)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["run", "x.yaml", "--page", "x.md"], "`--page FILE` with report, only"),
        (["status", "x.yaml", "--page", "x.md"], "`--page FILE` with report, only"),
        (["report", "x.yaml", "--page", "docs"], "`--page` to be a file that ends in .md, but got 'docs'"),
        (["report", "x.yaml", "--page", "a.md", "--verdicts", "./a.md"], "to be two files, but both are 'a.md'"),
        (["report", "x.yaml", "--page"], "expected one argument"),
    ],
)
def test_bad_options_are_one_sentence(given: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        main(given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
