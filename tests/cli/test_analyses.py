"""The verbs that compare networks, from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from qlight.__main__ import main, verb_help
from qlight.evaluation import RecordFolder
from qlight.lowering import lower
from tests.cli.test_bad_input import _fails
from tests.cli.test_targets import save
from tests.conftest import QUIET, TINY
from tests.models.networks import classifier

pytestmark = pytest.mark.filterwarnings("ignore:The packed engine falls back to numpy")
FGSM = "{FGSM: {class_path: FGSM, init_args: {eps: 0.1}}}"
CW = "{CW: {class_path: CarliniWagnerL2, init_args: {steps: 3, search_steps: 1}}}"
ADAPTIVE = "{AdaptivePGD: {class_path: AdaptivePGD, init_args: {eps: 0.1, steps: 3, restarts: 1, loss: margin}}}"
VERBS = ("transfer", "ensemble", "gradients", "spread", "shift")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with float.ckpt, w1a1.ckpt and the graph of the latter."""
    folder, binary = tmp_path_factory.mktemp("made"), classifier(1, 1)
    save(classifier(seed=1), folder / "float.ckpt")
    save(binary, folder / "w1a1.ckpt")
    lower(binary).graph.save(folder / "graph")
    return folder


def options(verb: str, *more: str) -> list[str]:
    data = ["--data", "SyntheticDigits", "--data.train_size", "20", "--data.test_size", "6"]
    return [verb, *data, *TINY, *QUIET, "--trainer.accelerator", "cpu", *more]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_transfer_uses_what_attack_left(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options("attack", "--ckpt_path", "float.ckpt", "--attacks", FGSM, "--examples", "0")) == 0
    (attacked,) = Path("runs/attack").iterdir()
    more = ["--sources", "float.ckpt", "--targets", "float.ckpt,binary=w1a1.ckpt,packed:graph", "--attacks", FGSM]
    assert main(options("transfer", *more)) == 0
    said = capsys.readouterr().out
    (out,) = Path("runs/transfer").iterdir()
    assert f"results in {out}" in said
    assert not (out / "crafted").exists(), "crafted again"
    rows = table(out / "transfer.csv")
    assert [row["target"] for row in rows] == ["float", "binary", "w1a1 packed"]
    records = RecordFolder(attacked).load("FGSM")
    assert records is not None
    assert float(rows[0]["adversarial_accuracy"]) == (records.adversarial_prediction == records.label).mean()
    assert {path.name for path in out.iterdir()} >= {"transfer.json", "transfer.md", "transfer.png", "configuration.yaml", "judged"}
    # the same command finds its folder, and says the same
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert main(options("transfer", *more)) == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_transfer_with_kappas(here: Path) -> None:
    more = ["--sources", "float.ckpt,w1a1.ckpt", "--attacks", CW, "--kappas", "[1, 2]", "--out", "out"]
    assert main(options("transfer", *more)) == 0
    assert {row["kappa"] for row in table(Path("out/transfer.csv"))} == {"0.0", "1.0", "2.0"}
    assert main(options("transfer", *more[:4], "--kappas", "[]", "--out", "out", "--reuse", "out/crafted")) == 0
    assert {row["kappa"] for row in table(Path("out/transfer.csv"))} == {"0.0"}


@pytest.mark.slow
def test_ensemble(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--networks", "float.ckpt,w1a1.ckpt", "--m", "2", "--attacks", FGSM, "--adaptive", ADAPTIVE, "--out", "out"]
    assert main(options("ensemble", *more)) == 0
    said = capsys.readouterr().out
    assert "2 of 2 must agree (Tables 6 and 7), 6 images" in said
    assert "AdaptivePGD from all members" in said
    content = json.loads(Path("out/ensemble.json").read_text())
    assert list(content["members"]) == ["float", "w1a1"]
    assert len(table(Path("out/ensemble.csv"))) == 2 + 2 * 2 + 1


def test_gradients(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("w1a1.ckpt").rename("epoch=9-step=4000.ckpt")
    assert main(options("gradients", "--networks", "float.ckpt,epoch=9-step=4000.ckpt", "--images", "4")) == 0
    (out,) = Path("runs/gradients").iterdir()
    assert [row["images"] for row in table(out / "gradients.csv")] == ["4"] * 6
    assert "Mean cosine of gradients of the margin loss" in capsys.readouterr().out


def test_spread(here: Path) -> None:
    more = ["--images", "5", "--difference_images", "2", "--coordinates", "3", "--steps", "[0.01]", "--out", "out"]
    assert main(options("spread", "--networks", "float.ckpt,packed:graph", *more)) == 0
    assert [row["network"] for row in table(Path("out/logits.csv"))] == ["float", "w1a1 packed"]
    assert [row["coordinates"] for row in table(Path("out/differences.csv"))] == ["3", "3"]


@pytest.mark.slow
def test_shift(here: Path) -> None:
    assert main(options("shift", "--sources", "float.ckpt", "--targets", "w1a1.ckpt", "--attacks", FGSM, "--out", "out")) == 0
    rows = table(Path("out/shift.csv"))
    assert [row["network"] for row in rows] == ["float"] * 17 + ["w1a1"] * 17


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["transfer", "--attacks", "FGSM"], ["`--sources`", "none"]),
        (["transfer", "--sources", "float.ckpt"], ["`--attacks`", "none"]),
        (["transfer", "--sources", "nowhere.ckpt", "--attacks", "FGSM"], ["nowhere.ckpt"]),
        (["transfer", "--sources", "float.ckpt,float.ckpt", "--attacks", "FGSM"], ["`--sources`", "'float' comes twice", "name=path"]),
        (["transfer", "--sources", "float.ckpt", "--targets", "float=w1a1.ckpt", "--attacks", "FGSM"], ["'float' is another one"]),
        (["transfer", "--sources", "packed:graph", "--attacks", "FGSM"], ["FGSM needs one"]),
        (["transfer", "--sources", "float.ckpt", "--attacks", "FGSM", "--reuse", "nowhere"], ["no folder 'nowhere'"]),
        (["ensemble", "--networks", "float.ckpt", "--attacks", "FGSM"], ["`m` from 1 to 1"]),
        (["gradients", "--networks", "float.ckpt,packed:graph"], ["'w1a1 packed' is a packed target"]),
        (["gradients", "--networks", "float.ckpt,w1a1.ckpt", "--images", "0"], ["`images`", "0"]),
        (["shift", "--sources", "float.ckpt", "--targets", "packed:graph", "--attacks", "FGSM"], ["`targets` with gradients"]),
    ],
    ids=lambda value: " ".join(value) if value[0] in VERBS else "",
)
def test_bad_input(here: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]) -> None:
    line = _fails(options(*args), capsys, here)
    assert all(word in line for word in words), line


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str) -> None:
    text = verb_help(verb)
    assert "--out DIR" in text
    assert "--networks" in text or "--sources" in text
    assert max(map(len, text.splitlines())) <= 140
