"""The ensemble defence against votes counted by hand, and an attack on the ensemble itself."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import RecordFolder
from qlight.evaluation.analysis import EnsembleReport, Network, ensemble, examples, judging, transfer
from qlight.evaluation.analysis.votes import decide
from qlight.targets import EnsembleTarget
from tests.evaluation.analysis.cases import CW, FGSM, Data, networks
from tests.evaluation.helpers import QUIET, ExactNetwork, interrupted, trainer
from tests.evaluation.test_resume import contents

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]
ADAPTIVE = {"AdaptivePGD": {"class_path": "AdaptivePGD", "init_args": {"eps": 0.1, "step_size": 0.02, "steps": 8, "restarts": 1,
                                                                       "loss": "margin"}}}  # fmt: skip


def run(out: Path, members: Any = None, **settings: Any) -> EnsembleReport:
    members = networks() if members is None else members
    report = ensemble(trainer(), members, AttackSuite.from_value({**FGSM, **CW}), Data(), out=out, kappas=(5.0, 50.0), **settings)
    assert report is not None
    return report


def target(m: int = 2) -> EnsembleTarget:
    return EnsembleTarget({member.name: member.module for member in networks()}, m)


def adapted() -> dict[str, Any]:
    return {"target": target(), "adaptive": AttackSuite.from_value(ADAPTIVE)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EnsembleReport]:
    out = tmp_path_factory.mktemp("ensemble")
    report = run(out, **adapted())
    report.save(out)
    return out, report


def crafted(out: Path, source: str, attack: str) -> tuple[list[list[int]], list[int]]:
    """What the three networks say to the examples of a source, and the labels."""
    (folder,) = (out / "crafted").glob(f"{source}-*")
    records = RecordFolder(folder).load(attack)
    assert records is not None
    images = torch.from_numpy(records.adversarial)
    votes = torch.stack([ExactNetwork(seed)(images).argmax(1) for seed in range(3)], 1)
    return votes.tolist(), records.label.tolist()


def test_what_transfer_crafted_and_judged_is_used(
    made: tuple[Path, EnsembleReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is crafted or asked then, and report and answers are the same."""
    matrix = transfer(
        trainer(), networks(), networks(), AttackSuite.from_value({**FGSM, **CW}), Data(), out=tmp_path / "transfer", kappas=(5.0, 50.0)
    )
    assert matrix is not None
    matrix.save(tmp_path / "transfer")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("computed")

    monkeypatch.setattr(examples, "evaluate", refuse)
    monkeypatch.setattr(judging.Judge, "_predicted", refuse)
    report = run(tmp_path / "new", known=[tmp_path / "transfer"])
    assert report.agreements == made[1].agreements
    assert report.defences == tuple(row for row in made[1].defences if row.source != "all members")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["judged"]
    for path in (tmp_path / "new" / "judged").iterdir():
        assert path.read_bytes() == (made[0] / "judged" / path.name).read_bytes()
    monkeypatch.setattr(judging, "versions", lambda: {"torch": "another"})
    with pytest.raises(AssertionError, match="computed"):
        run(tmp_path / "other", known=[tmp_path / "transfer"])


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize(("attack", "kappa"), [("FGSM", None), ("CW", 0.0), ("CW kappa 50", 50.0)])
def test_table_7(made: tuple[Path, EnsembleReport], attack: str, kappa: float | None, m: int) -> None:
    votes, labels = crafted(made[0], "net1", attack)
    answered = successful = 0
    for row, label in zip(votes, labels, strict=True):
        most = max(row, key=row.count)  # the first of equal ones
        if row.count(most) >= m:
            answered += 1
            successful += most != label
    (found,) = (row for row in made[1].defences if (row.source, row.attack, row.kappa, row.m) == ("net1", attack.split(" ")[0], kappa, m))
    assert found.prediction_rate == answered / 10
    assert found.defence_accuracy == pytest.approx(1 - successful / 10)
    assert found.defence_accuracy_low is not None
    assert found.defence_accuracy_low < 1 - successful / 10 + 1e-12


def test_table_6(made: tuple[Path, EnsembleReport]) -> None:
    data, clean = Data(), made[1][None, None]
    votes = torch.stack([ExactNetwork(seed)(data.images).argmax(1) for seed in range(3)], 1).tolist()
    answers = {number: row[0] if row.count(row[0]) >= 2 else row[1] for number, row in enumerate(votes) if len(set(row)) < 3}
    assert (clean.images, clean.predicted, clean.m) == (10, len(answers), 2)
    right = sum(answer == int(data.labels[number]) for number, answer in answers.items())
    assert clean.accuracy == (right / len(answers) if answers else None)
    assert clean.defence_accuracy is None


def test_table_5(made: tuple[Path, EnsembleReport]) -> None:
    report = made[1]
    assert len(report.agreements) == 3 * 2 * (1 + 2)
    votes, labels = crafted(made[0], "net0", "FGSM")
    for outcome in ("successful", "unsuccessful"):
        (row,) = (r for r in report.agreements if (r.source, r.examples, r.outcome) == ("net0", "FGSM", outcome))
        chosen = [(vote, label) for vote, label in zip(votes, labels, strict=True) if (vote[0] != label) == (outcome == "successful")]
        same = sum(all((other == label) == (vote[0] == label) for other in vote[1:]) for vote, label in chosen)
        assert (row.images, row.same_outcome) == (len(chosen), same / len(chosen) if chosen else None)


def test_the_kappa_that_leaves_least_is_reported(made: tuple[Path, EnsembleReport]) -> None:
    for source in ("net0", "net1", "net2"):
        left = {row.kappa: row.defence_accuracy for row in made[1].defences if (row.source, row.attack, row.m) == (source, "CW", 2)}
        assert left.keys() == {0.0, 5.0, 50.0}
        reported = made[1][source, "CW"]
        assert reported.kappa in (5.0, 50.0)
        assert reported.defence_accuracy == min(share for kappa, share in left.items() if kappa and share is not None)


def test_an_attacker_who_knows(made: tuple[Path, EnsembleReport]) -> None:
    """The adaptive attack's own successes are the defence's failures; it is told for the m that it attacked."""
    (row,) = made[1].adaptive
    assert (row.source, row.attack, row.m) == ("all members", "AdaptivePGD", 2)
    (folder,) = (made[0] / "crafted").glob("2 of 3-*")
    records = RecordFolder(folder).load("AdaptivePGD")
    assert records is not None
    assert row.defence_accuracy == pytest.approx(1 - records.success.mean())
    images = torch.from_numpy(records.adversarial)
    votes = torch.stack([ExactNetwork(seed)(images).argmax(1) for seed in range(3)], 1).numpy()
    wrong = decide(votes, 2).valid & (decide(votes, 2).label != records.label)
    assert (wrong == records.success).all()
    assert row.defence_accuracy is not None
    assert row.defence_accuracy < min(made[1][source, "FGSM"].defence_accuracy or 0.0 for source in made[1].members)


def test_the_trade_off_between_values_of_m(made: tuple[Path, EnsembleReport]) -> None:
    """Lowest d_acc over sources and kappas; the adaptive attack only at its m, also where its label is that of another attack."""
    report = made[1]
    trade_off = report.heat_maps()[2]
    assert trade_off.columns == ["PR clean", "acc clean", "d_acc FGSM", "d_acc CW", "d_acc AdaptivePGD, adaptive"]
    for m, values in enumerate(trade_off.values, start=1):
        rows = [row for row in report.defences if row.m == m and row.source in report.members]
        lowest = [min(row.defence_accuracy or 0.0 for row in rows if row.attack == attack) for attack in ("FGSM", "CW")]
        assert values[2:] == [*lowest, report.adaptive[0].defence_accuracy if m == 2 else None]
    renamed = replace(report, defences=tuple(replace(row, attack="FGSM") if row in report.adaptive else row for row in report.defences))
    assert [values[2:] for values in renamed.heat_maps()[2].values] == [values[2:] for values in trade_off.values]


def test_files(made: tuple[Path, EnsembleReport]) -> None:
    with (made[0] / "ensemble.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 + 3 * (1 + 3) * 3 + 1
    assert sum(row["reported"] == "True" for row in rows) == 1 + 3 * 2 + 1
    assert len((made[0] / "agreement.csv").read_text().splitlines()) == 1 + 18
    assert (made[0] / "ensemble.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_run_goes_on(made: tuple[Path, EnsembleReport], tmp_path: Path) -> None:
    with interrupted(123):  # in the attack on the ensemble itself
        run(tmp_path, **adapted())
    run(tmp_path, **adapted()).save(tmp_path)
    assert contents(tmp_path) == contents(made[0])


def test_without_an_adaptive_attack(tmp_path: Path) -> None:
    report = run(tmp_path, networks(2))
    assert report.m == 1
    assert report.adaptive == ()
    with pytest.raises(KeyError):
        report["net0", "BIM"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"members": networks(1)}, "`members` to name at least 2"),
        ({"m": 0}, "`m` from 1 to 3"),
        ({"m": 4}, "`m` from 1 to 3"),
        ({"target": target()}, "`target` and `adaptive` together"),
        ({"adaptive": ADAPTIVE}, "`target` and `adaptive` together"),
        ({"target": target(3), "adaptive": ADAPTIVE}, "the target with m = 2"),
        ({"members": [*networks(2), Network("net1", ExactNetwork(7))]}, "'net1' comes twice"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(tmp_path, **settings)
    assert not list(tmp_path.iterdir())
