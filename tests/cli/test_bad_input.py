"""What a person may type wrong: one line on stderr that says what to do, status 2, nothing left behind."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from qlight.__main__ import VERBS, main, verb_help
from tests.conftest import QUIET, TINY


@pytest.fixture(scope="session")
def checkpoint(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A w1a1 checkpoint of the SVHN network at width 0.125."""
    folder = tmp_path_factory.mktemp("checkpoint")
    bits = ["--model.weight_bit_width", "1", "--model.activation_bit_width", "1"]
    data = ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "32"]
    run = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(folder)]
    assert main(["fit", *data, *TINY, *bits, *QUIET, *run]) == 0
    return folder / "fit/version_0/checkpoints/last.ckpt"


class _Evil:
    def __reduce__(self) -> tuple:
        return (Path("ran").write_text, ("code",))


def _fails(args: list[str], capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    """Run, check that it fails as promised, and return the line."""
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    assert main(args) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("INFO", "Seed set"))]
    assert len(errors) == 1, errors
    assert errors[0].startswith("qlight")
    assert "Traceback" not in errors[0]
    assert sorted(folder.rglob("*")) == before, "something was left behind"
    return errors[0]


def _with_arrays(arrays: Path, *more: str) -> list[str]:
    return ["--data", "Arrays", "--data.path", str(arrays), "--data.batch_size", "32", *QUIET, "--trainer.accelerator", "cpu", *more]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["fitt"], ["'fitt'", "fit"]),
        (["fit", *TINY, "--data", "Arrays", "--data.path", "nowhere.npz"], ["nowhere.npz"]),
        (["fit", *TINY, "--data", "CIFAR10", "--data.root", "nowhere"], ["nowhere", "download"]),
        (["fit", *TINY, "--data", "SVHN", "--data.root", "nowhere"], ["nowhere", "download"]),
        (["fit", *TINY, "--data", "SyntheticDigits", "--model.weight_bit_width", "9"], ["`weight_bit_width`", "9", "1 to 8", "32"]),
        (["fit", *TINY, "--data", "SyntheticDigits", "--model.weight_bit_width", "16"], ["`weight_bit_width`", "16"]),
        (["fit", *TINY, "--data", "SyntheticDigits", "--model.activation_bit_width", "0"], ["`activation_bit_width`", "0"]),
        (["fit", "--data", "SyntheticDigits", "--model.width", "0.3"], ["`width`", "0.3"]),
        (["fit", "--data", "SyntheticDigits", "--model.network", "cifar100"], ["`network`", "cifar100", "cifar10"]),
        (["fit", "--data", "SyntheticDigits", "--model.weight_quantizer", "dorefo"], ["`weight_quantizer`", "dorefo", "dorefa"]),
        (["fit", "--data", "SyntheticDigits", "--model.learning_rate", "0"], ["`learning_rate`", "0"]),
        (["fit", "--data", "SyntheticDigit"], ["'SyntheticDigit'", "did you mean SyntheticDigits"]),
        (["fit", "--data", "SyntheticDigits", "--model.widht", "1"], ["--model.widht", "did you mean --model.width"]),
        (["fit", "--data", "SyntheticDigits", "--model.width", "abc"], ["`--model.width`", "a number", "'abc'"]),
        (["fit", "--data", "SyntheticDigits", "--trainer.max_epochs", "two"], ["`--trainer.max_epochs`", "whole number", "'two'"]),
        (["fit", "--data", "SyntheticDigits", "--data.train_size", "-5"], ["`train_size`", "-5"]),
        (["fit", "--data", "SyntheticDigits", "--data.batch_size", "0"], ["`batch_size`", "0"]),
        (["fit", *TINY], ["`--data`", "missing"]),
        (["fit", "--data", "SyntheticDigits", "--trainer.strategy", "nope"], ["`--trainer`", "nope"]),
        (["attack", "--data", "SyntheticDigits", "--attacks", "{x: {class_path: FGSM, init_args: {epsilon: 1}}}"], ["`epsilon`", "eps"]),
        (["attack", "--data", "SyntheticDigits", "--attacks", "{x: {FGSM: 1}}"], ["`x`", "class_path"]),
        (["test", "--data", "SyntheticDigits"], ["`--ckpt_path`", "none"]),
        (["fit", "--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["attack", "--data", "SyntheticDigits", "--attacks", "FGSM"], ["`--ckpt_path`"]),
        (["attack", "--data", "SyntheticDigits", "--attacks", "FGMS", "--ckpt_path", "nowhere.ckpt"], ["FGMS", "FGSM"]),
        (["attack", "--data", "SyntheticDigits", "--attacks", "FGSM", "--ckpt_path", "nowhere.ckpt"], ["nowhere.ckpt"]),
        (["quickstart", "--outt", "x"], ["outt"]),
    ],
    ids=lambda value: "-".join(value[-2:]) if isinstance(value, list) and len(value) > 2 else None,
)
def test_wrong_words(
    args: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = _fails(args, capsys, tmp_path)
    assert all(word in line for word in words), line


def test_output_folder_that_cannot_be_made(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    line = _fails(["fit", *_with_arrays(arrays), *TINY, "--trainer.default_root_dir", "file"], capsys, tmp_path)
    assert "file" in line


def test_attack_without_attacks(
    checkpoint: Path, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "`--attacks`" in _fails(["attack", *_with_arrays(arrays), "--ckpt_path", str(checkpoint)], capsys, tmp_path)


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict", "attack", "diagnose", "export"])
@pytest.mark.parametrize("kind", ["text", "truncated", "code", "folder", "state"])
def test_files_that_are_no_checkpoint(
    verb: str,
    kind: str,
    checkpoint: Path,
    arrays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.ckpt"
    if kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "truncated":
        path.write_bytes(checkpoint.read_bytes()[:5000])
    elif kind == "code":
        path.write_bytes(pickle.dumps({"state_dict": _Evil(), "hyper_parameters": {}}))
    elif kind == "folder":
        path.mkdir()
    else:
        torch.save({"weight": torch.zeros(3)}, path)
    attacks = ["--attacks", "FGSM"] if verb == "attack" else []
    line = _fails([verb, *_with_arrays(arrays), *attacks, "--ckpt_path", str(path)], capsys, tmp_path)
    assert "bad.ckpt" in line
    assert not Path("ran").exists(), "code from the file ran"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--model.width", "0.25"], ["width=0.25", "svhn w1a1 at width 0.125"]),
        (["--model.weight_bit_width", "2"], ["weight_bit_width=2", "w1a1"]),
        (["--model.activation_bit_width", "3"], ["activation_bit_width=3", "w1a1"]),
        (["fit", "--model.learning_rate", "0.5"], ["learning_rate=0.5", "w1a1"]),
    ],
)
def test_checkpoint_of_another_network(
    asked: list[str],
    words: list[str],
    checkpoint: Path,
    arrays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    verb, asked = (asked[0], asked[1:]) if asked[0] == "fit" else ("test", asked)
    line = _fails([verb, *_with_arrays(arrays), *asked, "--ckpt_path", str(checkpoint)], capsys, tmp_path)
    assert all(word in line for word in ["`ckpt_path`", *words]), line


@pytest.mark.parametrize("verb", ["fit", "test", "attack"])
def test_checkpoint_whose_weights_are_of_another_network(
    verb: str, checkpoint: Path, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file says one network and holds another."""
    monkeypatch.chdir(tmp_path)
    held = torch.load(checkpoint, weights_only=True)
    held["hyper_parameters"]["width"] = 0.25
    torch.save(held, tmp_path / "other.ckpt")
    attacks = ["--attacks", "FGSM"] if verb == "attack" else []
    line = _fails([verb, *_with_arrays(arrays), *attacks, "--ckpt_path", "other.ckpt"], capsys, tmp_path)
    assert "another network" in line


@pytest.mark.parametrize("damage", ["truncated", "shape", "dtype", "labels", "missing"])
def test_damaged_arrays(
    damage: str, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.npz"
    held = dict(np.load(arrays))
    if damage == "shape":
        held["x_train"] = held["x_train"].transpose(0, 3, 1, 2)
    elif damage == "dtype":
        held["x_test"] = held["x_test"] / 255
    elif damage == "labels":
        held["y_train"][3] = 11
    elif damage == "missing":
        del held["y_test"]
    np.savez(path, **held)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    line = _fails(["fit", *_with_arrays(path), *TINY], capsys, tmp_path)
    word = {"shape": "x_train", "dtype": "x_test", "labels": "11", "missing": "y_test", "truncated": "bad.npz"}[damage]
    assert word in line


def test_truncated_mat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        rng = np.random.default_rng(0)
        content = {
            "X": rng.integers(0, 256, (32, 32, 3, 40), dtype=np.uint8),
            "y": (1 + np.arange(40) % 10).reshape(-1, 1).astype(np.uint8),
        }
        scipy.io.savemat(f"{split}_32x32.mat", content)
    whole = Path("train_32x32.mat").read_bytes()
    Path("train_32x32.mat").write_bytes(whole[: len(whole) // 2])
    assert "train_32x32.mat" in _fails(["fit", *TINY, "--data", "SVHN", "--data.root", "."], capsys, tmp_path)


def test_every_verb_answers_help_without_importing_torch() -> None:
    """Importing torch and Lightning takes seconds; help must not wait for them."""
    code = (
        "import sys; from qlight.__main__ import main\n"
        "for verb in sys.argv[1:]: assert main([verb, '--help'] if verb else ['--help']) == 0\n"
        "assert not {'torch', 'lightning', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "", *VERBS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: python -m qlight") == len(VERBS) + 1


def test_short_help_names_only_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("fit", "validate", "test", "predict", "attack", "diagnose", "export"):
        with pytest.raises(SystemExit):
            main([verb, "--help-all"])
        long = capsys.readouterr().out
        for option in re.findall(r"--[a-z_.]+", verb_help(verb)):
            known = option in long or option in ("--data.path", "--data.root", "--data.limit", "--data.batch_size", "--help-all")
            assert known or option.startswith("--trainer"), option
