"""The networks that come with qlight: they load, they are as accurate as they say, and options take their names."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qlight import zoo
from qlight.__main__ import main
from qlight.errors import InputError
from qlight.evaluation import read_checkpoint
from qlight.models.checkpoint import load_classifier

CIFAR10 = Path(__file__).parents[2].parent / "shared/data/cifar10.zip"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
#: what the zoo promises at a quarter of the paper's width
LEAST = {"float": 0.83, "w1a1": 0.74, "w2a2": 0.81, "w3a3": 0.81, "w4a4": 0.81, "w1a32": 0.83, "w2a32": 0.83, "w3a32": 0.83, "w4a32": 0.83}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_all_nine_networks_are_there() -> None:
    assert set(zoo.entries()) == {f"cifar10-{precision}-x0.25" for precision in LEAST}


@pytest.mark.parametrize("name", zoo.entries())
def test_a_network_loads_as_what_it_says(name: str) -> None:
    model, entry = zoo.load(name), zoo.entries()[name]
    assert not model.training
    assert name == f"{model.hparams['network']}-{model.label}-x{model.hparams['width']}"
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert entry.accuracy >= LEAST[model.label]
    assert entry.license
    assert entry.provenance
    assert f"weight_bit_width: {model.hparams['weight_bit_width']}" in entry.configuration


def test_its_checkpoint_is_the_same_network_and_is_made_once() -> None:
    path = zoo.checkpoint("zoo:cifar10-w1a1-x0.25")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_classifier(path, read_checkpoint(path))(images), zoo.load("cifar10-w1a1-x0.25")(images))
    os.utime(path, (1, 1))
    assert zoo.checkpoint("cifar10-w1a1-x0.25") == path
    assert path.stat().st_mtime == 1
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    first = path.read_bytes()
    path.unlink()
    assert zoo.checkpoint("cifar10-w1a1-x0.25").read_bytes() == first


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"did you mean cifar10-w1a1-x0\.25\?"):
        zoo.load("cifar10-w1a1-x0.2")
    with pytest.raises(InputError, match="Expected a network of the zoo"):
        zoo.resolve("zoo:")


@pytest.mark.parametrize("missing", ["a cache that can be written", "a home folder"])
def test_a_checkpoint_is_made_for_this_process_where_there_is_no_place_to_keep_it(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "a home folder":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", _no_home)
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = zoo.checkpoint("cifar10-w1a1-x0.25")
    assert not path.is_relative_to(tmp_path)
    assert load_classifier(path, read_checkpoint(path)).label == "w1a1"
    assert zoo.checkpoint("zoo:cifar10-w1a1-x0.25") == path


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_cache_whose_zoo_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "qlight").mkdir()
    (tmp_path / "qlight" / "zoo").touch()
    with pytest.raises(InputError, match="can be written"):
        zoo.checkpoint("cifar10-w1a1-x0.25")


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo"]) == 0
    listed = capsys.readouterr().out
    assert all(f"zoo:{name}" in listed for name in zoo.entries())
    assert main(["zoo", "cifar10-w1a1-x0.25"]) == 0
    shown = capsys.readouterr().out
    assert "license Apache-2.0" in shown
    assert "max_epochs" in shown
    assert main(["zoo", "a", "b"]) == 2
    assert main(["zoo", "cifar10"]) == 2


def test_a_verb_takes_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", "SyntheticDigits", "--data.limit", "20", "--trainer.default_root_dir", str(tmp_path / "runs")]
    assert main(["test", "--ckpt_path", "zoo:cifar10-w1a1-x0.25", *arguments]) == 0
    assert "test_acc" in capsys.readouterr().out
    target = ["--target", "torch:zoo:cifar10-w1a1-x0.25", "--attacks", "FGSM", "--examples", "0"]
    assert main(["attack", *target, *arguments]) == 0
    assert "w1a1" in capsys.readouterr().out


@pytest.mark.skipif(not CIFAR10.exists(), reason="needs the development copy of CIFAR-10")
@pytest.mark.parametrize("name", zoo.entries())
def test_accuracy_on_real_images(name: str) -> None:
    with zipfile.ZipFile(CIFAR10) as archive:
        members = sorted(member for member in archive.namelist() if member.startswith("test") and member.endswith(".webp"))[::10]
        images = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(member))).convert("RGB")) for member in members])
        labels = torch.tensor([CLASSES.index(member.split("/")[1]) for member in members])
    assert len(images) == 1000
    with torch.no_grad():
        predicted = zoo.load(name)(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(1)
    # four standard deviations of a sample of 1,000
    assert (predicted == labels).float().mean().item() == pytest.approx(zoo.entries()[name].accuracy, abs=4 * (0.25 / 1000) ** 0.5)
