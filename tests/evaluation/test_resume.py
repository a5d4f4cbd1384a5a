"""An evaluation that is killed goes on where it was and ends with the same files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import RecordFolder, evaluate
from qlight.evaluation.manifest import Manifest, claimed
from tests.evaluation.helpers import QUIET, ExactNetwork, interrupted, loader, mostly_right_labels, random_images, trainer

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]
SUITE: dict[str, Any] = {
    "FGSM": {"class_path": "FGSM", "init_args": {"eps": 0.02}},
    "noise": "tests.evaluation.helpers.Noise",  # torchattacks' way: random numbers of the batch
    "CW": {"class_path": "CarliniWagnerL2", "init_args": {"steps": 15, "search_steps": 3}},
    "SPSA": {"class_path": "SPSA", "init_args": {"steps": 10, "evaluations": 8, "early_stop": True}},
    "ZOO": {"class_path": "ZOO", "init_args": {"steps": 8, "search_steps": 2, "coordinates": 16, "h": 0.05}},
}


def case() -> tuple[nn.Module, Tensor, Tensor]:
    network, images = ExactNetwork(), random_images(30)
    return network, images, mostly_right_labels(network, images)


def run(out: Path, suite: Any = None, batch_size: int = 8, devices: int = 1, **settings: Any) -> list[Any]:
    network, images, labels = case()
    processes = trainer(devices=devices, strategy="ddp" if devices > 1 else "auto")
    return evaluate(
        processes, network, AttackSuite.from_value(suite or SUITE), dataloaders=loader(images, labels, batch_size), out=out, **settings
    )


OWN = ("CW", "SPSA", "ZOO")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the times."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "seconds"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "out"
    run(out)
    return out


def test_an_evaluation_leaves_its_files(unbroken: Path) -> None:
    names = {"results.csv", "results.json", "images.csv", "evaluation.json", *(f"adversarial/{name}.safetensors" for name in SUITE)}
    assert set(contents(unbroken)) == names
    lines = (unbroken / "images.csv").read_text().splitlines()
    assert len(lines) == 1 + 30 * len(SUITE)
    network, images, labels = case()
    for row in json.loads((unbroken / "results.json").read_text()):
        records = RecordFolder(unbroken).load(row["attack"])
        assert records is not None
        assert records.index.tolist() == list(range(30))
        assert records.label.tolist() == labels.tolist()
        adversarial = torch.from_numpy(records.adversarial)
        with torch.no_grad():
            assert network(adversarial).argmax(1).tolist() == records.adversarial_prediction.tolist()
        assert np.allclose((adversarial - images).double().flatten(1).norm(dim=1), records.l2)
        assert row["adversarial_accuracy"] == (records.adversarial_prediction == records.label).mean()
        assert not np.isnan(records.seconds).any()
    single = RecordFolder(unbroken).load("CW")
    assert single is not None
    assert single.counted_singly.all()
    assert (single.gradients == single.queries).all()
    assert np.array_equal(np.isnan(single.c), ~single.success)


@pytest.mark.parametrize("records", [1, 7, 8, 9, 40, 77, 130])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    append = RecordFolder.append
    with interrupted(records):
        run(tmp_path / "out")
    assert (tmp_path / "out" / "unfinished").exists() == (records > 1)
    asked: list[int] = []

    def spied(self: RecordFolder, attack: str, found: Any) -> None:
        asked.append(len(found))
        append(self, attack, found)

    monkeypatch.setattr(RecordFolder, "append", spied)
    run(tmp_path / "out")
    assert sum(asked) == 30 * len(SUITE) - (records - 1), "finished images are not attacked again"
    assert contents(tmp_path / "out") == contents(unbroken)


def test_a_finished_run_is_not_done_again(unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    shutil.copytree(unbroken, out)
    monkeypatch.setattr(RecordFolder, "append", None)
    rows = run(out)
    assert contents(out) == contents(unbroken)
    assert all(row.seconds is not None for row in rows)


def test_own_attacks_do_not_depend_on_the_batch(unbroken: Path, tmp_path: Path) -> None:
    own = {name: SUITE[name] for name in OWN}
    run(tmp_path / "out", own, batch_size=11)
    for name in own:
        file = f"adversarial/{name}.safetensors"
        assert (tmp_path / "out" / file).read_bytes() == (unbroken / file).read_bytes(), name


def test_attacks_are_added_to_a_folder(unbroken: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", {"CW": SUITE["CW"]})
    run(tmp_path / "out", {"FGSM": SUITE["FGSM"]})
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["attack"] for row in rows] == ["CW", "FGSM"]
    expected = {row["attack"]: row for row in json.loads((unbroken / "results.json").read_text())}
    assert rows == [expected["CW"], expected["FGSM"]]


SCRIPT = """
import sys
from pathlib import Path
from tests.evaluation.test_resume import OWN, SUITE, run

if __name__ == "__main__":
    out, devices = Path(sys.argv[1]), int(sys.argv[2])
    run(out, SUITE if devices == 1 else {name: SUITE[name] for name in OWN}, devices=devices)
"""


@pytest.mark.slow
def test_kill_9_again_and_again(unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    out, root = tmp_path / "out", Path(__file__).parents[2]
    command = [sys.executable, str(tmp_path / "script.py"), str(out), "1"]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    kills = 0
    for patience in (0.0, 0.1, 0.4, 60.0):
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL)
        limit = time.monotonic() + 120
        before = size(out)
        while process.poll() is None and size(out) == before and time.monotonic() < limit:
            time.sleep(0.005)
        end = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 1
    assert process.returncode == 0
    assert contents(out) == contents(unbroken)


@pytest.mark.slow
def test_two_processes_end_with_the_adversarial_images_of_one(unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    out, root = tmp_path / "out", Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(tmp_path / "script.py"), str(out), "2"]
    subprocess.run(command, check=True, cwd=root, env=environment, timeout=300, stdout=subprocess.DEVNULL)
    for name in OWN:
        file = f"adversarial/{name}.safetensors"
        assert (out / file).read_bytes() == (unbroken / file).read_bytes(), name


def size(out: Path) -> int:
    """Bytes of journals and results: grows when an image is finished."""
    total = 0
    for path in out.rglob("*.*"):
        with_suffix = path.suffix in (".records", ".safetensors")
        try:
            total += path.stat().st_size if with_suffix else 0
        except FileNotFoundError:
            continue
    return total


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"label": "other"}, 'label "ExactNetwork", not "other"'),
        ({"suite": {"CW": {"class_path": "CarliniWagnerL2", "init_args": {"steps": 16}}}}, "CW with other parameters"),
    ],
)
def test_a_folder_holds_one_evaluation(unbroken: Path, change: dict[str, Any], words: str) -> None:
    before = contents(unbroken)
    with pytest.raises(InputError) as error:
        run(unbroken, **change)
    assert words in str(error.value)
    assert contents(unbroken) == before


def test_the_place_where_two_evaluations_differ_is_named(tmp_path: Path) -> None:
    run(tmp_path, {"FGSM": SUITE["FGSM"]})
    manifest = Manifest(**json.loads((tmp_path / "evaluation.json").read_text()))
    settings = {"path": "a/long/path/" * 10, "limit": 5}
    one, other = ({"class_path": "Arrays", "init_args": {**settings, "limit": limit}} for limit in (4, 5))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "evaluation.json").write_text(json.dumps(asdict(replace(manifest, data=one))))
    with (
        pytest.raises(InputError, match=r"made with data\.init_args\.limit 4, not 5; choose another folder"),
        claimed(tmp_path / "new", replace(manifest, data=other)),
    ):
        pass


def test_other_images_under_the_same_indices_are_found(unbroken: Path) -> None:
    network, _, labels = case()
    with pytest.raises(InputError, match="image 0 is another one"):
        evaluate(trainer(), network, AttackSuite.from_value(SUITE), dataloaders=loader(random_images(30, seed=1), labels, 8), out=unbroken)


def test_fewer_images_are_not_passed_off_as_all(unbroken: Path) -> None:
    network, images, labels = case()
    with pytest.raises(InputError, match=r"results of 16 images, but .* holds 30"):
        evaluate(trainer(), network, AttackSuite.from_value(SUITE), dataloaders=loader(images[:16], labels[:16], 8), out=unbroken)


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    run(tmp_path / "out", "fgsm")
    manifest = Manifest(**json.loads((tmp_path / "out" / "evaluation.json").read_text()))
    with claimed(tmp_path / "out", manifest), pytest.raises(InputError, match="another process"):
        run(tmp_path / "out", "fgsm")
    run(tmp_path / "out", "fgsm")


def test_a_run_that_fails_at_once_leaves_no_folder(tmp_path: Path) -> None:
    network, images, labels = case()
    with pytest.raises(InputError, match="labels"):
        evaluate(trainer(), network, AttackSuite.from_value("fgsm"), dataloaders=loader(images, labels + 20), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can be written"):
        run(tmp_path / "file", "fgsm")


def test_the_manifest_covers_the_weights(tmp_path: Path) -> None:
    run(tmp_path / "out", "fgsm")
    _, images, labels = case()
    with pytest.raises(InputError, match="weights_sha256"):
        evaluate(
            trainer(), ExactNetwork(seed=1), AttackSuite.from_value("fgsm"), dataloaders=loader(images, labels, 8), out=tmp_path / "out"
        )
