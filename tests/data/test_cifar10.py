"""CIFAR-10 as published, on generated batches whose checksums stand in for the published ones."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from qlight.data import CIFAR10
from qlight.errors import InputError

Official = datasets.CIFAR10
BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> np.ndarray:
    """Five training batches of 20 images and a test batch, 3072 bytes an image: red, green, blue planes. Returns those of the test."""
    folder = folder / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    sums, data = {}, np.empty(0)
    for name in [*BATCHES, "test_batch"]:
        data = generator.integers(0, 256, (20, 3072), dtype=np.uint8)
        content = pickle.dumps({"data": data, "labels": [number % 10 for number in range(20)]} | changes)
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    meta = pickle.dumps({"label_names": list(CIFAR10.class_names)})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(Official, "train_list", [[name, sums[name]] for name in BATCHES])
    monkeypatch.setattr(Official, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(Official, "meta", {**Official.meta, "md5": hashlib.md5(meta).hexdigest()})
    return data


def test_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path, monkeypatch)
    module = CIFAR10(tmp_path, validation=20, batch_size=8)
    module.prepare_data()
    module.setup()
    assert (len(module.train_set), len(module.val_set), len(module.test_set), module.flip) == (80, 20, 20, True)
    batch = next(iter(module.test_dataloader()))
    assert torch.equal(batch.images, torch.from_numpy(data).reshape(20, 3, 32, 32).to(torch.float32) / 255)
    assert batch.labels.tolist() == [number % 10 for number in range(20)]


def test_class_names_are_the_published_ones() -> None:
    assert " ".join(CIFAR10.class_names) == "airplane automobile bird cat deer dog frog horse ship truck"


def test_missing_folder_says_how_to_download(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`root`.*data_batch_1.*`download: true`"):
        CIFAR10(tmp_path / "nowhere").setup()


def test_a_missing_batch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(InputError, match="data_batch_3"):
        CIFAR10(tmp_path).setup()


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
def test_a_pickle_with_another_checksum_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(tmp_path, monkeypatch)
    target = tmp_path / "touched"
    (tmp_path / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(InputError, match="checksum"):
        CIFAR10(tmp_path).setup()
    assert not target.exists()


def test_a_truncated_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"checksum.*`download: true`"):
        CIFAR10(tmp_path).setup()


def test_nothing_is_downloaded_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def note(self: Official) -> None:
        asked.append(Path(self.root))

    def fail(self: Official) -> None:
        raise OSError("no route to host")

    write(tmp_path, monkeypatch)
    monkeypatch.setattr(Official, "download", note)
    CIFAR10(tmp_path).prepare_data()
    assert asked == []
    CIFAR10(tmp_path, download=True).prepare_data()
    assert asked == [tmp_path]
    monkeypatch.setattr(Official, "download", fail)
    with pytest.raises(InputError, match=r"`download: true`.*no route"):
        CIFAR10(tmp_path, download=True).prepare_data()
