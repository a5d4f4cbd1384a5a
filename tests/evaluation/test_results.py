"""Result rows on disk and on screen."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from qlight.errors import InputError
from qlight.evaluation import ResultRow, load_results, print_table, save_results


def row(**changes: Any) -> ResultRow:
    values: dict[str, Any] = {
        "label": "w1a1",
        "checkpoint": "last.ckpt",
        "checkpoint_sha256": "0" * 64,
        "model": {"class_path": "qlight.models.Classifier", "init_args": {"width": 0.25}},
        "data": {"class_path": "qlight.data.Arrays", "init_args": {"limit": 1000, "seed": 0}},
        "images": 1000,
        "attack": "BIM",
        "class_path": "torchattacks.BIM",
        "parameters": {"eps": 0.03, "alpha": 0.0003, "steps": 100},
        "seed": 0,
        "clean_accuracy": 0.875,
        "adversarial_accuracy": 1 / 3,
        "successes": 667,
        "mean_l2": 1.1234567890123456,
        "mean_linf": 0.03,
        "flipped": 542,
        "mean_l2_flipped": 1.0,
        "mean_linf_flipped": 0.03,
        "clean_accuracy_low": 0.853,
        "clean_accuracy_high": 0.894,
        "adversarial_accuracy_low": 0.305,
        "adversarial_accuracy_high": 0.363,
        "correct": 875,
        "adversarial_accuracy_of_correct": 0.381,
        "adversarial_accuracy_of_correct_low": 0.349,
        "adversarial_accuracy_of_correct_high": 0.413,
        "seconds": 12.5,
        "queries": 100_000,
        "forwards": 100_000,
        "gradients": 100_000,
    }
    return ResultRow(**{**values, **changes})


NOTHING = {"successes": 0, "mean_l2": None, "mean_linf": None, "flipped": 0, "mean_l2_flipped": None, "mean_linf_flipped": None}


def test_json_and_csv_give_the_rows_back(tmp_path: Path) -> None:
    rows = [row(), row(attack='a "quoted", name\nof two lines', label="float", checkpoint=None, **NOTHING)]
    csv_path, json_path = save_results(rows, tmp_path / "new" / "folder")
    rows = [dataclasses.replace(one, seconds=None) for one in rows]  # times are not the same in two runs, so not in the results
    assert load_results(json_path) == load_results(json_path.parent) == rows
    with csv_path.open(newline="") as file:
        records = list(csv.DictReader(file))
    assert list(records[0]) == [field.name for field in dataclasses.fields(ResultRow) if field.name not in ("seconds", "timing")]
    for record, expected in zip(records, rows, strict=True):
        for name, value in dataclasses.asdict(expected).items():
            if name in ("seconds", "timing"):
                continue
            if isinstance(value, dict):
                assert json.loads(record[name]) == value
            else:
                assert record[name] == ("" if value is None else str(value))
    assert sorted(path.name for path in json_path.parent.iterdir()) == ["results.csv", "results.json"]


def test_json_is_strict_whatever_the_parameters_hold(tmp_path: Path) -> None:
    _, path = save_results([row(parameters={"norm": math.inf, "size": (1, 2)})], tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    (record,) = json.loads(path.read_text(), parse_constant=refuse)
    assert record["parameters"] == {"norm": "inf", "size": [1, 2]}


def test_saving_again_replaces_and_is_the_same_bytes(tmp_path: Path) -> None:
    save_results([row(), row()], tmp_path)
    first = [path.read_bytes() for path in save_results([row()], tmp_path)]
    assert first == [path.read_bytes() for path in save_results([row()], tmp_path)]
    assert len(load_results(tmp_path)) == 1


def test_versions_are_those_in_use() -> None:
    import torch

    found = row().versions
    assert set(found) == {"qlight", "torch", "torchattacks"}
    assert found["torch"] == torch.__version__
    assert found["torchattacks"].startswith("3.")


def test_bad_input_of_saving(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one result"):
        save_results([], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        save_results([row()], tmp_path / "file")


@pytest.mark.parametrize("content", [None, "", "[", "3", "[3]", '[{"label": "x"}]', '{"a": 1}'])
def test_bad_input_of_loading(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"`path` to be a results\.json"):
        load_results(tmp_path)
    with pytest.raises(InputError, match=r"`path` to be a results\.json"):
        load_results(path)


def printed(rows: list[ResultRow], width: int, terminal: bool) -> str:
    stream = io.StringIO()
    print_table(rows, Console(file=stream, width=width, force_terminal=terminal, color_system=None))
    return stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_table_fits_80_columns_and_loses_no_figure(terminal: bool) -> None:
    text = printed([row(attack="AutoAttack", label="w4a32"), row(label="float", **NOTHING)], 80, terminal)
    assert not terminal or max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    cells = [line.split() for line in text.splitlines()]
    assert ["w4a32", "AutoAttack", "1000", "0.875", "0.333", ".30-.36", "0.381", "1.123", "0.0300", "12.5"] in cells
    assert ["float", "BIM", "1000", "0.875", "0.333", ".30-.36", "0.381", "-", "-", "12.5"] in cells


def test_the_table_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([row()])
    assert "w1a1" in capsys.readouterr().out


def test_text_in_brackets_is_not_markup() -> None:
    assert "[red]" in printed([row(attack="[red]")], 120, True)
