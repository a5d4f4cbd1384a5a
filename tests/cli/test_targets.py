"""``attack --target``: the deployed graph from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qlight.__main__ import main, verb_help
from qlight.evaluation import RecordFolder
from qlight.intgraph import Graph
from qlight.lowering import lower
from qlight.models import Classifier
from qlight.targets import PackedTarget
from tests.cli.test_bad_input import _fails
from tests.conftest import QUIET
from tests.engines.networks import network_graph
from tests.models.networks import classifier

pytestmark = pytest.mark.filterwarnings("ignore:The packed engine falls back to numpy")
SHORT = (
    "{SPSA: {class_path: SPSA, init_args: {steps: 2, evaluations: 4}}, "
    "ZOO: {class_path: ZOO, init_args: {steps: 2, search_steps: 2, coordinates: 8, h: 0.05}}, "
    "Square: {class_path: Square, init_args: {eps: 0.1, n_queries: 5}}}"
)


def save(model: Classifier, path: Path) -> Path:
    torch.save({"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}, path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with network.ckpt (SVHN w1a1 at width 0.125, random weights) and the graph of it, graph/."""
    folder, model = tmp_path_factory.mktemp("made"), classifier(1, 1)
    save(model, folder / "network.ckpt")
    lower(model, metadata={"checkpoint_sha256": "0123456789abcdef" * 4}).graph.save(folder / "graph")
    return folder


def options(arrays: Path, *more: str) -> list[str]:
    data = ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "32", "--data.limit", "6"]
    return ["attack", *data, *QUIET, "--trainer.accelerator", "cpu", "--examples", "0", *more]


def results(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "results.json").read_text())


def test_a_graph_is_attacked_without_a_checkpoint(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(arrays, "--target", "packed:graph", "--attacks", SHORT, "--examples", "3")) == 0
    said = capsys.readouterr().out
    graph = Graph.load("graph")
    (out,) = Path("runs/attack").iterdir()
    assert out.name.startswith(f"w1a1-packed-{graph.content_hash[:8]}-")
    assert "w1a1 packed" in said
    assert "packed:graph was asked about" in said
    assert {path.name for path in out.iterdir()} >= {"results.csv", "images.csv", "examples.png", "configuration.yaml", "evaluation.json"}
    target = PackedTarget(graph)
    first = RecordFolder(out).load("SPSA")
    assert first is not None
    with np.load(arrays) as held:  # the six are a seeded choice
        images, labels = torch.from_numpy(held["x_test"][first.index]).permute(0, 3, 1, 2).float() / 255, held["y_test"][first.index]
    assert (labels == first.label).all()
    clean = float((target(images).argmax(1).numpy() == labels).mean())
    for row in results(out):
        assert (row["target"], row["graph_hash"], row["gradients_from"]) == ("packed", graph.content_hash, None)
        assert (row["label"], row["clean_accuracy"], row["images"]) == ("w1a1", clean, 6)
        assert (row["checkpoint"], row["checkpoint_sha256"]) == (None, "0123456789abcdef" * 4)
        assert row["model"]["metadata"]["network"] == "svhn"
        records = RecordFolder(out).load(row["attack"])
        assert records is not None
        adversarial = torch.from_numpy(records.adversarial)
        assert torch.equal(target.rounded(adversarial), adversarial)
        assert (target(adversarial).argmax(1).numpy() == records.adversarial_prediction).all()
    # the same command goes on where it was: nothing is left to do
    before = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".safetensors", ".json", ".csv")}
    assert main(options(arrays, "--target", "packed:graph", "--attacks", SHORT)) == 0
    assert {path: path.read_bytes() for path in before} == before


def test_torch_is_what_it_was(arrays: Path, here: Path) -> None:
    """Two ways to name the same network go to the same folder."""
    for more in (["--ckpt_path", "network.ckpt"], ["--target", "torch:network.ckpt"]):
        assert main(options(arrays, "--attacks", "FGSM", *more)) == 0
    (out,) = Path("runs/attack").iterdir()
    (row,) = results(out)
    assert (row["target"], row["graph_hash"], row["checkpoint"]) == ("torch", None, "network.ckpt")


@pytest.mark.parametrize("spelling", ["--gradients_from", "--gradients-from="])
def test_gradients_from_a_checkpoint(arrays: Path, here: Path, spelling: str) -> None:
    given = [f"{spelling}network.ckpt"] if spelling.endswith("=") else [spelling, "network.ckpt"]
    suite = "{FGSM: {class_path: FGSM, init_args: {eps: 8/255}}, Square: {class_path: Square, init_args: {eps: 0.1, n_queries: 5}}}"
    assert main(options(arrays, "--target", "packed:graph", "--attacks", suite, "--out", "out", *given)) == 0
    fgsm, square = results(Path("out"))
    assert (fgsm["gradients"], square["gradients"]) == (6, 0)
    assert len(fgsm["gradients_from"]) == 64
    assert square["gradients_from"] is None
    assert fgsm["mean_linf"] is None or abs(fgsm["mean_linf"] - 8 / 255) < 1e-6


def test_an_exported_graph_is_what_packed_reads(arrays: Path, here: Path) -> None:
    data = ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "32", "--trainer.accelerator", "cpu"]
    assert main(["export", *data, "--ckpt_path", "network.ckpt", "--out", "exported", "--images", "0"]) == 0
    assert Graph.load("exported").content_hash == Graph.load("graph").content_hash
    assert main(options(arrays, "--target", "packed:exported", "--attacks", "GN")) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--target", "paked:graph"], ["`target`", "'paked:graph'", "did you mean packed:FOLDER"]),
        (["--target", "packed"], ["packed:FOLDER", "export"]),
        (["--target", "packed:nowhere"], ["'nowhere' is not there", "export"]),
        (["--target", "packed:network.ckpt"], ["'network.ckpt' is a file", "export"]),
        (["--target", "packed:damaged"], ["'damaged' is damaged", "F6"]),
        (["--target", "packed:small"], ["N x 3 x 8 x 8", "shape (6, 3, 32, 32)"]),
        (["--target", "packed:graph", "--ckpt_path", "network.ckpt"], ["`--ckpt_path`", "--gradients_from"]),
        (["--target", "torch:network.ckpt", "--ckpt_path", "other.ckpt"], ["`--ckpt_path`", "'other.ckpt'", "one checkpoint"]),
        (["--target", "torch:nowhere.ckpt"], ["nowhere.ckpt"]),
        (["--target", "torch"], ["`--ckpt_path`", "none"]),
        (["--target", "packed:graph", "--attacks", "FGSM,SPSA,BIM"], ["FGSM, BIM need one", "SPSA can run", "--gradients_from CKPT"]),
        (["--target", "packed:graph", "--gradients_from", "nowhere.ckpt"], ["nowhere.ckpt"]),
        (["--target", "packed:graph", "--gradients_from", "arrays.npz"], ["arrays.npz"]),
        (["--ckpt_path", "network.ckpt", "--gradients_from", "network.ckpt"], ["`gradients_from`", "a torch target has its own"]),
        (["--target", "packed:graph", "--compile", "true"], ["`compile`", "packed"]),
    ],
    ids=lambda value: "-".join(value) if value[0].startswith("--") else None,
)
def test_bad_targets(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: list[str]) -> None:
    shutil.copytree("graph", "damaged")
    content = json.loads(Path("damaged/graph.json").read_text())
    content["content_hash"] = "0" * 64
    Path("damaged/graph.json").write_text(json.dumps(content))
    network_graph(1, 1, side=8).save("small")
    shutil.copy(arrays, "arrays.npz")
    attacks = [] if "--attacks" in more else ["--attacks", "Square"]
    line = _fails(options(arrays, *attacks, *more), capsys, here)
    assert all(word in line for word in words), line


def test_help_names_targets() -> None:
    text = verb_help("attack")
    assert "--target packed:graph" in text
    assert "--gradients_from best.ckpt" in text
