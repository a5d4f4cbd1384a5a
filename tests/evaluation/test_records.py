"""The journals and files that keep what an attack did."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.evaluation.figures import figures, save_images_csv
from qlight.evaluation.records import COLUMNS, RecordFolder, Records, file_name


def records(indices: list[int], seed: int = 0, loader: int = 0, **changes: Any) -> Records:
    """Records whose content depends on the index alone."""
    rows = [np.random.default_rng((seed, loader, index)) for index in indices]
    columns: dict[str, Any] = {
        "loader": np.full(len(indices), loader),
        "index": np.array(indices, np.int64),
        "label": np.array([row.integers(10) for row in rows], np.int64),
        "clean_prediction": np.array([row.integers(10) for row in rows], np.int64),
        "adversarial_prediction": np.array([row.integers(10) for row in rows], np.int64),
        "success": np.array([row.random() < 0.5 for row in rows], bool),
        "l2": np.array([row.random() for row in rows]),
        "linf": np.array([row.random() for row in rows]),
        "queries": np.array([row.integers(1000) for row in rows], np.int64),
        "forwards": np.array([row.integers(1000) for row in rows], np.int64),
        "gradients": np.array([row.integers(1000) for row in rows], np.int64),
        "counted_singly": np.array([row.random() < 0.5 for row in rows], bool),
        "iterations": np.array([row.integers(-1, 100) for row in rows], np.int64),
        "c": np.array([row.random() for row in rows]),
        "clean_checksum": np.array([row.integers(2**32) for row in rows], np.uint32),
        "seconds": np.array([row.random() for row in rows]),
        "adversarial": np.array([row.random((3, 2, 2), np.float32) for row in rows], np.float32).reshape(-1, 3, 2, 2),
    }
    return Records(**{**columns, **changes})


def same(one: Records | None, other: Records) -> bool:
    return one is not None and all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(Records)
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_columns_are_the_fields_of_a_record() -> None:
    assert [field.name for field in dataclasses.fields(Records)] == [*COLUMNS, "adversarial"]


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(7)), cuts=st.sets(st.integers(1, 6)), torn=st.integers(0, 400), processes=st.integers(1, 3))
def test_the_file_does_not_depend_on_order_processes_and_kills(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: set[int], torn: int, processes: int
) -> None:
    whole = RecordFolder(tmp_path_factory.mktemp("whole"))
    whole.append("a", records(list(range(7))))
    expected = whole.finish("a")
    assert expected is not None

    folder = tmp_path_factory.mktemp("parts")
    edges = [0, *sorted(cuts), 7]
    for number, last in enumerate(edges[1:]):
        # each part by a process that is killed after it: its last record is torn and has to be made again
        store = RecordFolder(folder, process=number % processes)
        known = store.load("a")
        done = set() if known is None else set(known.index.tolist())
        store.append("a", records([index for index in order[:last] if index not in done]))
        store.close()
        if last < 7 and torn:
            journal = max((folder / "unfinished" / "a").iterdir(), key=lambda path: path.stat().st_mtime_ns)
            journal.write_bytes(journal.read_bytes()[:-torn])
    store = RecordFolder(folder)
    done = set(() if (known := store.load("a")) is None else known.index.tolist())
    store.append("a", records([index for index in range(7) if index not in done]))
    assert same(store.finish("a"), expected)
    assert digest(store.path("a")) == digest(whole.path("a"))
    assert not (folder / "unfinished").exists()


def test_a_damaged_record_ends_what_is_read_of_a_journal(tmp_path: Path) -> None:
    store = RecordFolder(tmp_path)
    store.append("a", records([0, 1, 2]))
    store.close()
    (journal,) = (tmp_path / "unfinished" / "a").iterdir()
    content = bytearray(journal.read_bytes())
    size = (len(content) - content.index(b"\n") - 1) // 3
    content[content.index(b"\n") + 1 + size + 20] ^= 1
    journal.write_bytes(content)
    known = store.load("a")
    assert known is not None
    assert known.index.tolist() == [0]


def test_finished_and_unfinished_records_are_read_together(tmp_path: Path) -> None:
    store = RecordFolder(tmp_path)
    assert store.load("a") is None
    assert store.finish("a") is None
    store.append("a", records([4, 2]))
    first = store.finish("a")
    assert first is not None
    assert first.index.tolist() == [2, 4]
    store.append("a", records([3, 2], seed=1))  # 2 is known: what was written first stays
    joined = store.load("a")
    assert joined is not None
    assert joined.index.tolist() == [2, 3, 4]
    assert joined.l2[0] == first.l2[0]
    assert same(store.finish("a"), joined)
    # times are in a file of their own, rounded to microseconds
    read = RecordFolder(tmp_path).load("a")
    assert read is not None
    assert np.abs(read.seconds - joined.seconds).max() <= 5e-7
    store.times_path("a").unlink()
    read = store.load("a")
    assert read is not None
    assert np.isnan(read.seconds).all()


def test_images_of_two_loaders_are_told_apart(tmp_path: Path) -> None:
    store = RecordFolder(tmp_path)
    store.append("a", records([1, 0], loader=1))
    store.append("a", records([1]))
    found = store.finish("a")
    assert found is not None
    assert list(zip(found.loader, found.index, strict=True)) == [(0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("label", ["a/b", "..", ".hidden", "ε = 8/255", "x" * 50, "a b"])
def test_any_label_is_a_file(tmp_path: Path, label: str) -> None:
    store = RecordFolder(tmp_path / "in")
    store.append(label, records([0]))
    assert store.finish(label) is not None
    assert store.path(label).parent == tmp_path / "in" / "adversarial"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert "/" not in file_name(label)


def test_other_files_are_refused(tmp_path: Path) -> None:
    store = RecordFolder(tmp_path)
    store.path("a").parent.mkdir()
    store.path("a").write_bytes(b"no")
    with pytest.raises(InputError, match="adversarial examples of qlight"):
        store.load("a")
    (tmp_path / "unfinished" / "b").mkdir(parents=True)
    (tmp_path / "unfinished" / "b" / "0-0.records").write_bytes(b"no\nno")
    with pytest.raises(InputError, match="journal"):
        store.load("b")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="can be written"):
        RecordFolder(blocked).append("a", records([0]))


def test_figures_are_those_of_plain_python() -> None:
    found = records(list(range(40)))
    result = figures(found)
    rows = [{name: getattr(found, name)[i].item() for name in COLUMNS} for i in range(40)]
    fooled = [row for row in rows if row["adversarial_prediction"] != row["label"]]
    right = [row for row in rows if row["clean_prediction"] == row["label"]]
    still = [row for row in right if row not in fooled]
    flipped = [row for row in right if row in fooled]
    assert (len(right), len(still), len(fooled)) == (result["correct"], len(right) - len(flipped), result["successes"])
    assert result["clean_accuracy"] == len(right) / 40
    assert result["adversarial_accuracy"] == (40 - len(fooled)) / 40
    assert result["adversarial_accuracy_of_correct"] == len(still) / len(right)
    assert result["mean_l2"] == pytest.approx(sum(row["l2"] for row in fooled) / len(fooled))
    assert result["flipped"] == len(flipped)
    assert result["queries"] == sum(row["queries"] for row in rows)
    for name in ("clean_accuracy", "adversarial_accuracy", "adversarial_accuracy_of_correct"):
        assert result[f"{name}_low"] < result[name] < result[f"{name}_high"] or result[name] in (0, 1)


def test_figures_without_a_right_image_or_a_success() -> None:
    wrong = records([1, 2], label=np.array([0, 0]), clean_prediction=np.array([1, 1]), adversarial_prediction=np.array([0, 0]))
    result = figures(wrong)
    assert result["adversarial_accuracy_of_correct"] is result["mean_l2"] is result["mean_linf_flipped"] is None
    assert (result["correct"], result["successes"], result["adversarial_accuracy"]) == (0, 0, 1)


def test_the_csv_has_a_line_an_attack_and_image(tmp_path: Path) -> None:
    unknown = records([1], iterations=np.array([-1]), c=np.array([np.nan]), counted_singly=np.array([False]))
    known = records([5], counted_singly=np.array([True]), iterations=np.array([3]))
    save_images_csv(tmp_path / "images.csv", {"FGSM": unknown, "mine": known})
    with (tmp_path / "images.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["attack"], first["index"], first["iterations"], first["c"], first["queries"]) == ("FGSM", "1", "", "", "")
    assert (second["attack"], second["iterations"], second["queries"]) == ("mine", "3", str(known.queries[0]))
    assert float(second["l2"]) == known.l2[0]
