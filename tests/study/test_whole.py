"""A whole study, as small as one can be: what its tasks leave, what is reported before it is done, and that kills change no byte."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from qlight.study import InProcess, Plan, Store, run
from qlight.study.command import main
from qlight.study.configuration import Configuration
from qlight.study.planning import make_plan
from qlight.study.report import PAGE
from qlight.study.steps import attack

pytestmark = pytest.mark.slow
_CW = {"steps": 5, "learning_rate": 0.1, "c": 0.9, "search_steps": 2, "kappa": 0.0}
STUDY = {
    "name": "least",
    "dataset": "SVHN",
    "data": {"class_path": "qlight.data.SyntheticDigits", "init_args": {"train_size": 200, "test_size": 40, "validation": 20}},
    "networks": {"float": "train", "w1a1": "train"},
    "training": {"model": {"network": "svhn", "width": 0.0625}, "trainer": {"max_epochs": 2}},
    "targets": ["torch", "packed"],
    "presets": {
        "paper": {
            "FGSM": {"class_path": "torchattacks.FGSM", "init_args": {"eps": 0.03}, "images": 30},
            "CW": {"class_path": "qlight.attacks.CarliniWagnerL2", "init_args": _CW, "images": 6},
            "SPSA": {
                "class_path": "qlight.attacks.SPSA",
                "init_args": {"eps": 0.03, "steps": 3, "learning_rate": 0.01, "delta": 0.01, "evaluations": 8},
                "images": {"default": 4, "w1a1": 3},
            },
        }
    },
    "transfer": {"kappas": [0, 5], "attacks": {"FGSM": 30, "CW": 6, "SPSA": {"default": 4, "w1a1": 3}}},
    "ensemble": {"members": ["float", "w1a1"], "m": 2, "kappas": [0, 5], "attacks": {"FGSM": 30, "CW": 6}},
    "eps": {"attacks": ["FGSM"], "values": [0.01, 0.1], "images": 10},
    "gradients": {"images": 10},
    "seed": 0,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configuration") / "least.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    return path


@pytest.fixture(scope="module")
def undisturbed(path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    plan, store = make_plan(Configuration.load(path)), Store(tmp_path_factory.mktemp("undisturbed"))
    run(plan, store, InProcess(), at_once=1)
    return plan, store


def contents(plan: Plan, store: Store) -> dict[str, str]:
    """SHA-256 of every file of every task."""
    found = {}
    for task in plan:
        folder = store.result(plan.digest(task.name))
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            found[f"{task.name}: {file.relative_to(folder)}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def test_killed_at_random_moments_every_file_is_the_same(path: Path, undisturbed: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = undisturbed
    command = [sys.executable, "-m", "qlight", "study", "run", str(path), "--out", str(tmp_path / "store"), "--workers", "1"]
    draw, kills = random.Random(0), 0
    while True:
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        begun = time.time()
        while process.poll() is None and not any(each.stat().st_mtime > begun for each in (tmp_path / "store").glob("tasks/*/*")):
            time.sleep(0.05)
        try:
            process.wait(draw.uniform(0.0, 4.0) if kills < 3 else None)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode < 0, errors.decode()
    assert kills
    assert contents(plan, Store(tmp_path / "store")) == contents(plan, store)


def test_what_transfer_crafted_is_not_crafted_for_the_ensemble_again(undisturbed: tuple[Plan, Store]) -> None:
    plan, store = undisturbed
    folders = {name: store.result(plan.digest(f"{name}/CW")) for name in ("transfer", "ensemble")}
    assert len([*folders["transfer"].glob("crafted/*/adversarial/CW kappa 5.safetensors")]) == 2
    assert not (folders["ensemble"] / "crafted").exists()
    judged = {name: {path.name: path.read_bytes() for path in (folder / "judged").iterdir()} for name, folder in folders.items()}
    assert judged["ensemble"].items() <= judged["transfer"].items()


def test_a_source_is_judged_on_its_own_number_of_images(undisturbed: tuple[Plan, Store]) -> None:
    plan, store = undisturbed
    folder = store.result(plan.digest("transfer/SPSA"))
    cells = json.loads((folder / "transfer.json").read_text())["cells"]
    assert [(cell["source"], cell["target"], cell["images"]) for cell in cells] == [
        ("float", "float", 4),
        ("float", "w1a1", 4),
        ("w1a1", "float", 3),
        ("w1a1", "w1a1", 3),
    ]
    assert not (folder / "crafted").exists()


def test_summaries_have_the_means_of_the_results(undisturbed: tuple[Plan, Store]) -> None:
    plan, store = undisturbed
    pairs, turned = [], 0
    for task in plan:
        folder = store.result(plan.digest(task.name))
        if task.name.startswith("attack/"):
            pairs.append((json.loads((folder / "results.json").read_text())[0], json.loads((folder / "summary.json").read_text())))
        elif task.name.startswith("transfer/"):
            cells = [cell for cell in json.loads((folder / "transfer.json").read_text())["cells"] if cell["reported"]]
            pairs += zip(cells, json.loads((folder / "distortions.json").read_text())["rows"], strict=True)
    for row, means in pairs:
        for norm in ("l2", "linf"):
            for name, mean in ((f"mean_{norm}", means[norm]), (f"mean_{norm}_flipped", means[f"{norm}_turned"])):
                assert (row[name] is None) == (mean is None)
                assert mean is None or mean[0] == pytest.approx(row[name], rel=1e-12)
        turned += row["mean_l2_flipped"] not in (None, row["mean_l2"])
    assert turned  # else nothing was wrong before, and the two are the same


@pytest.mark.parametrize("label", ["FGSM", "CW"])
def test_judging_what_was_crafted_gives_the_bytes_of_crafting_again(undisturbed: tuple[Plan, Store], tmp_path: Path, label: str) -> None:
    plan, store = undisturbed
    task = plan[f"attack/packed/paper/{label}/w1a1"]
    assert task.needs[2] == f"attack/torch/paper/{label}/w1a1"
    places = {name: store.result(plan.digest(name)) for name in task.needs}
    attack(task.options, {name: places[name] for name in task.needs[:2]}, tmp_path)
    judged = store.result(plan.digest(task.name))
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert f"adversarial/{label}.safetensors" in names
    assert names == sorted(path.relative_to(judged).as_posix() for path in judged.rglob("*") if path.is_file())
    assert all((tmp_path / name).read_bytes() == (judged / name).read_bytes() for name in names)


def test_a_study_that_is_not_finished_is_reported_with_what_is_missing(
    path: Path, undisturbed: tuple[Plan, Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, store = undisturbed
    pages = ["--verdicts", str(tmp_path / "claims.md"), "--page", str(tmp_path / "results.md")]
    (tmp_path / "tasks").mkdir()
    for task in plan:
        if task.name.startswith(("network/", "attack/torch/paper/FGSM")):
            folder = store.result(plan.digest(task.name)).parent
            (tmp_path / "tasks" / folder.name).symlink_to(folder)
    main(["report", str(path), "--out", str(tmp_path), *pages])
    assert "of 4 of" in capsys.readouterr().out
    page, claims = (tmp_path / "report" / PAGE).read_text(), (tmp_path / "claims.md").read_text()
    assert f"This study is not finished: {len(plan) - 5} tasks did not run" in page
    assert "<li>attack/packed/paper/SPSA</li>" in page
    assert f"**4 of {len(plan) - 1} tasks have run.**" in claims
    results = (tmp_path / "results.md").read_text()
    assert f"**4 of {len(plan) - 1} tasks have run.**" in results
    assert f"python -m qlight study report {path} --page {tmp_path / 'results.md'} --verdicts {tmp_path / 'claims.md'}" in results
    assert "| BIM: w1a1 - float | not run |" in claims
    (fgsm,) = (line for line in claims.splitlines() if line.startswith("| FGSM: w1a1 - float | ") and "at least 0.30" in line)
    assert "not run" not in fgsm

    main(["report", str(path), "--out", str(store.root)])
    whole = store.result(plan.digest("report"))
    assert (store.root / "report" / PAGE).read_bytes() == (whole / PAGE).read_bytes()
