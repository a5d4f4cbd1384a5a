"""Curves: numbers against what a loop over images finds, and the pictures of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qlight.__main__ import main
from qlight.errors import InputError
from qlight.evaluation import RecordFolder, Records, ResultRow, save_results
from qlight.evaluation.curves import Attack, against_eps, against_queries, by_class, load_attacks
from qlight.evaluation.figures import figures
from tests.evaluation.test_records import records
from tests.evaluation.test_results import row

COUNT = 40


def attack(name: str = "SPSA", of: Records | None = None, eps: float = 8 / 255, **changes: Any) -> Attack:
    """An attack that only queries, image by image."""
    held = of or records(list(range(COUNT)), counted_singly=np.ones(COUNT, bool))
    known = {field.name for field in dataclasses.fields(ResultRow)}
    found = {key: value for key, value in figures(held).items() if key in known}
    values = {"attack": name, "class_path": "qlight.attacks.SPSA", "parameters": {"eps": eps, "seed": sum(name.encode())}, "gradients": 0}
    return Attack(name, row(**{**found, **values, **changes}), held)


def left_by(folder: Path, *attacks: Attack) -> Path:
    for each in attacks:
        journal = RecordFolder(folder)
        journal.append(each.name, each.records)
        journal.finish(each.name)
    save_results([each.row for each in attacks], folder)
    return folder


def test_the_share_left_after_so_many_queries() -> None:
    found = attack()
    points = against_queries(found)
    assert points is not None
    of = found.records
    for queries in (0, 1, 17, 250, 999, 2000):
        still = [
            clean == label and not (adversarial != label and spent <= queries)
            for label, clean, adversarial, spent in zip(of.label, of.clean_prediction, of.adversarial_prediction, of.queries, strict=True)
        ]
        assert [y for x, y in points if x <= queries][-1] == sum(still) / COUNT
    assert points[-1][1] == sum((of.clean_prediction == of.label) & (of.adversarial_prediction == of.label)) / COUNT


@pytest.mark.parametrize(
    "changes", [{"gradients": 1}, {"gradients_from": "0" * 64}, {"of": records(list(range(COUNT)), counted_singly=np.zeros(COUNT, bool))}]
)
def test_no_queries_of_its_own_no_curve(changes: dict[str, Any]) -> None:
    assert against_queries(attack(**changes)) is None


def test_lines_differ_in_eps_alone() -> None:
    lines = against_eps(
        [
            *(attack(f"S{level}", eps=level / 255) for level in (8, 2, 4)),
            attack("other", eps=3 / 255, parameters={"eps": 3 / 255, "steps": 7}),
            attack("elsewhere", gradients_from="0" * 64),
            attack("none", class_path="torchattacks.Pixle", parameters={"restarts": 1}),
        ]
    )
    assert {title: [each.name for each in line] for title, line in lines.items()} == {
        "S2 to S8": ["S2", "S4", "S8"],
        "other": ["other"],
        "SPSA, transferred": ["elsewhere"],
    }


def test_classes_are_counted() -> None:
    one = attack("one")
    names, right, images = by_class([one])
    assert names == ["clean", "one"]
    of = one.records
    for label in range(10):
        mine = of.label == label
        assert images[:, label].tolist() == [mine.sum()] * 2
        assert right[0, label] == (of.clean_prediction[mine] == label).sum()
        assert right[1, label] == (of.adversarial_prediction[mine] == label).sum()


def test_folders_of_several_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transferred: dict[str, Any] = {"gradients_from": "0" * 64, "class_path": "torchattacks.FGSM"}
    one = left_by(tmp_path / "one", attack("SPSA"), attack("Square", of=records(list(range(COUNT)))))
    other = left_by(tmp_path / "other", attack("SPSA", eps=0.1), attack("FGSM", **transferred))
    assert [each.name for each in load_attacks([one, other])] == ["one/SPSA", "Square", "other/SPSA", "FGSM"]
    assert main(["curves", str(one), str(other)]) == 0
    assert "4 attacks" in capsys.readouterr().out
    with Image.open(one / "curves.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").resize((100, 100)).getcolors(10_000) or []) > 20  # lines and cells, no empty sheet
    assert main(["curves", str(left_by(tmp_path / "third", attack("FGSM", **transferred))), "--out", str(tmp_path / "a" / "b.png")]) == 0
    assert (tmp_path / "a" / "b.png").stat().st_size > 5000


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = left_by(tmp_path / "one", attack("SPSA"))
    for arguments, word in (
        ([], "FOLDER"),
        (["nowhere"], "nowhere"),
        ([str(folder), "--outt", "x"], "outt"),
        ([str(folder), "--out", "curves.jpg"], ".png"),
    ):
        assert main(["curves", *arguments]) == 2
        message = capsys.readouterr().err
        assert word in message
        assert message.count("\n") == 1
    save_results([attack("gone").row], folder)
    with pytest.raises(InputError, match="`gone`"):
        load_attacks([folder])
    with pytest.raises(InputError, match="at least one folder"):
        load_attacks([])
