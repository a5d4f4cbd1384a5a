"""Training through the command line: kill and resume, several processes, precision, logs, latent weights."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from qlight.__main__ import main
from tests.conftest import QUIET, TINY

BINARY = ("--model.weight_bit_width", "1", "--model.activation_bit_width", "1")


def options(arrays: Path, folder: Path, *more: str) -> list[str]:
    data = ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "32", "--data.validation", "16", "--data.augment", "true"]
    return [*data, *TINY, *QUIET, "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(folder), *more]


def weights(folder: Path, version: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"fit/version_{version}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


def metrics(folder: Path, version: int = 0) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    with (folder / f"fit/version_{version}/metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value:
                    columns.setdefault(name, []).append(float(value))
    return columns


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_fit_writes_checkpoints_configuration_and_logs(arrays: Path, tmp_path: Path) -> None:
    assert main(["fit", *options(arrays, tmp_path, *BINARY, "--trainer.max_epochs", "3")]) == 0
    folder = tmp_path / "fit/version_0"
    assert (folder / "fit.yaml").is_file()
    assert (folder / "checkpoints/best.ckpt").is_file()
    assert list(folder.glob("events.out.tfevents.*"))
    found = metrics(tmp_path)
    assert len(found["train_loss"]) == len(found["val_acc"]) == 3
    assert found["train_loss"][-1] < found["train_loss"][0]
    state = weights(tmp_path)
    latent = [state[name] for name in state if name.endswith((".conv.weight", ".dense.weight")) and "features.0" not in name]
    assert len(latent) == 7
    assert all(weight.abs().max() <= 1 for weight in latent)


def test_saved_configuration_repeats_the_run(arrays: Path, tmp_path: Path) -> None:
    assert main(["fit", *options(arrays, tmp_path, *BINARY, "--trainer.max_epochs", "2")]) == 0
    assert main(["fit", "--config", str(tmp_path / "fit/version_0/fit.yaml")]) == 0
    assert equal(weights(tmp_path, 0), weights(tmp_path, 1))


@pytest.mark.parametrize("stochastic", ["false", "true"])
def test_resumed_run_ends_as_an_unbroken_one(arrays: Path, tmp_path: Path, stochastic: str) -> None:
    common = (*BINARY, "--model.stochastic", stochastic)
    assert main(["fit", *options(arrays, tmp_path / "whole", *common, "--trainer.max_epochs", "4")]) == 0
    assert main(["fit", *options(arrays, tmp_path / "part", *common, "--trainer.max_epochs", "2")]) == 0
    part = tmp_path / "part/fit/version_0/checkpoints/last.ckpt"
    assert main(["fit", *options(arrays, tmp_path / "rest", *common, "--trainer.max_epochs", "4", "--ckpt_path", str(part))]) == 0
    assert not equal(weights(tmp_path / "part"), weights(tmp_path / "whole"))
    assert equal(weights(tmp_path / "rest"), weights(tmp_path / "whole"))


def test_staircase(arrays: Path, tmp_path: Path) -> None:
    stairs = ("--model.learning_rate", "0.004", "--model.decay_rate", "0.5", "--model.decay_epochs", "2", "--trainer.max_epochs", "5")
    assert main(["fit", *options(arrays, tmp_path, *stairs)]) == 0
    assert metrics(tmp_path)["lr-Adam"] == pytest.approx([0.004, 0.004, 0.002, 0.002, 0.001])


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_weights(arrays: Path, tmp_path: Path) -> None:
    """kill -9 in mid-training, then resume from the last checkpoint that is on disk."""
    epochs = ("--trainer.max_epochs", "12")
    assert main(["fit", *options(arrays, tmp_path / "whole", *BINARY, *epochs)]) == 0
    command = [sys.executable, "-m", "qlight", "fit", *options(arrays, tmp_path / "killed", *BINARY, *epochs)]
    checkpoint = tmp_path / "killed/fit/version_0/checkpoints/last.ckpt"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert checkpoint.exists()
    assert torch.load(checkpoint, weights_only=True)["epoch"] < 11, "the run was over before it was killed"
    assert main(["fit", *options(arrays, tmp_path / "killed", *BINARY, *epochs, "--ckpt_path", str(checkpoint))]) == 0
    assert equal(weights(tmp_path / "killed", 1), weights(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "compiled", "rel"),
    [
        ("64-true", "false", 1e-6),
        pytest.param("64-true", "true", 1e-6, marks=pytest.mark.thorough),
        pytest.param("32-true", "false", 1e-2, marks=pytest.mark.thorough),
        pytest.param("bf16-mixed", "false", 5e-2, marks=pytest.mark.thorough),
    ],
)
def test_two_processes_train_as_one(arrays: Path, tmp_path: Path, qlight: Any, precision: str, compiled: str, rel: float) -> None:
    """The global batch, its batch-norm statistics and its mean gradient are the same, so loss and accuracy are, but for rounding."""
    epochs = ("--trainer.max_epochs", "2", "--trainer.precision", precision, "--model.compile", compiled)
    assert main(["fit", *options(arrays, tmp_path / "one", *epochs)]) == 0
    two = qlight("fit", *options(arrays, tmp_path / "two", *epochs), "--trainer.strategy", "ddp", "--trainer.devices", "2")
    assert two.returncode == 0, two.stderr
    one, both = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert both["train_loss"] == pytest.approx(one["train_loss"], rel=rel)
    assert both["train_acc"] == pytest.approx(one["train_acc"], abs=0 if precision == "64-true" else 0.1)
    if precision != "64-true":  # two epochs of Adam carry short floats' rounding into the weights
        return
    assert both["val_loss"] == pytest.approx(one["val_loss"], rel=rel)
    assert both["val_acc"] == one["val_acc"]
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_two_processes_test_and_attack_as_one(arrays: Path, tmp_path: Path, qlight: Any) -> None:
    assert main(["fit", *options(arrays, tmp_path, *BINARY, "--trainer.max_epochs", "2")]) == 0
    checkpoint = str(tmp_path / "fit/version_0/checkpoints/last.ckpt")
    rows = {}
    for name, more in {"one": (), "two": ("--trainer.strategy", "ddp", "--trainer.devices", "2")}.items():
        out = tmp_path / name
        done = qlight("attack", *options(arrays, tmp_path, *more), "--ckpt_path", checkpoint, "--attacks", "FGSM,BIM", "--out", str(out))
        assert done.returncode == 0, done.stderr
        with (out / "results.csv").open() as file:
            rows[name] = list(csv.DictReader(file))
    assert len(rows["one"]) == len(rows["two"]) == 2
    for one, two in zip(rows["one"], rows["two"], strict=True):
        for key in ("images", "clean_accuracy", "checkpoint_sha256", "parameters"):
            assert one[key] == two[key]
        assert float(two["adversarial_accuracy"]) == pytest.approx(float(one["adversarial_accuracy"]), abs=1 / 32)


@pytest.mark.slow
def test_compiled_network_trains_alike(arrays: Path, tmp_path: Path) -> None:
    """torch.compile is an option; in double precision the compiled float network follows the plain one."""
    epochs = ("--trainer.max_epochs", "2", "--trainer.precision", "64-true")
    assert main(["fit", *options(arrays, tmp_path / "plain", *epochs)]) == 0
    assert main(["fit", *options(arrays, tmp_path / "compiled", *epochs, "--model.compile", "true")]) == 0
    plain, compiled = metrics(tmp_path / "plain"), metrics(tmp_path / "compiled")
    assert compiled["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-5)
    assert weights(tmp_path / "plain").keys() == weights(tmp_path / "compiled").keys()


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train(arrays: Path, tmp_path: Path, precision: str) -> None:
    assert main(["fit", *options(arrays, tmp_path, "--trainer.max_epochs", "3", "--trainer.precision", precision)]) == 0
    loss = metrics(tmp_path)["train_loss"]
    assert loss[-1] < loss[0]


@pytest.mark.slow
def test_an_attack_given_again_goes_on_in_the_same_folder(arrays: Path, tmp_path: Path, qlight: Any) -> None:
    fitted = qlight("fit", *options(arrays, tmp_path, *BINARY, "--trainer.max_epochs", "1"))
    assert fitted.returncode == 0, fitted.stderr
    checkpoint = str(tmp_path / "fit/version_0/checkpoints/last.ckpt")
    command = ["attack", *options(arrays, tmp_path), "--ckpt_path", checkpoint, "--attacks", "FGSM,SPSA", "--data.limit", "4"]
    command[command.index("FGSM,SPSA")] = "{FGSM: null, SPSA: {class_path: SPSA, init_args: {steps: 3, evaluations: 4}}}"
    first = qlight(*command)
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / "attack").iterdir()
    assert folder.name.startswith("w1a1-")
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path.name for path in files} >= {"results.csv", "images.csv", "configuration.yaml", "examples.png", "SPSA.safetensors"}
    again = qlight(*command)
    assert again.returncode == 0, again.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    other = qlight(*command, "--seed", "1", "--out", str(folder))
    assert other.returncode == 2
    assert "seed 0, not 1" in other.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["attack", "fit"]


@pytest.mark.slow
def test_diagnose_writes_its_verdicts(arrays: Path, tmp_path: Path, qlight: Any) -> None:
    fitted = qlight("fit", *options(arrays, tmp_path, *BINARY, "--trainer.max_epochs", "2"))
    assert fitted.returncode == 0, fitted.stderr
    checkpoint = str(tmp_path / "fit/version_0/checkpoints/last.ckpt")
    attacks = "cw_steps: 5, cw_search_steps: 1, spsa_steps: 2, spsa_evaluations: 4, square_queries: 5"
    sizes = f"{{steps: 2, iterations: [1, 2], coordinates: 4, {attacks}}}"
    command = ["diagnose", *options(arrays, tmp_path), "--ckpt_path", checkpoint, "--images", "20", "--sizes", sizes]
    done = qlight(*command, "--sources", f"same={checkpoint}")
    assert done.returncode == 0, done.stderr
    assert "diagnostics fail" in " ".join(done.stdout.split()) or "No diagnostic" in done.stdout
    (folder,) = (tmp_path / "diagnose").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names == {"diagnostics.json", "diagnostics.csv", "diagnostics.png", "configuration.yaml"}
    found = json.loads((folder / "diagnostics.json").read_text())
    assert (found["label"], found["images"], found["sizes"]["steps"]) == ("w1a1", 20, 2)
    assert {one["name"] for one in found["diagnostics"]} >= {"deterministic", "zero_differences", "transfer_better_than_direct"}
    for wrong, words in ((("--images", "0"), "`images`"), (("--sources", "a=x,a=y"), "'a' comes twice"), (("--eps", "2"), "`eps`")):
        refused = qlight(*command, *wrong)
        assert refused.returncode == 2, refused.stderr
        assert words in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_export_writes_a_graph_that_agrees_with_torch(arrays: Path, tmp_path: Path, qlight: Any) -> None:
    from qlight.intgraph import Graph

    fitted = qlight("fit", *options(arrays, tmp_path, "--model.weight_bit_width", "2", "--trainer.max_epochs", "1"))
    assert fitted.returncode == 0, fitted.stderr
    checkpoint = str(tmp_path / "fit/version_0/checkpoints/last.ckpt")
    done = qlight("export", *options(arrays, tmp_path), "--ckpt_path", checkpoint, "--out", str(tmp_path / "graph"), "--calibration", "8")
    assert done.returncode == 0, done.stderr
    graph = Graph.load(tmp_path / "graph")
    assert graph.content_hash[:16] in done.stdout
    assert graph.metadata["dataset"] == "Arrays"
    refused = qlight("export", "--trainer.default_root_dir", str(tmp_path), "--ckpt_path", checkpoint, "--model.network", "svhn")
    assert refused.returncode == 2
    assert "`--data`" in refused.stderr
