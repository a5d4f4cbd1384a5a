"""SVHN's cropped format, on generated files of the real layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from qlight.data import SVHN
from qlight.data.svhn import read_mat
from qlight.errors import InputError


def save(path: Path, count: int = 40, **changes: Any) -> dict[str, np.ndarray]:
    """`X`: 32 x 32 x 3 x N, uint8; `y`: N x 1, 1 to 10, as uint8, which is how the published files hold them."""
    generator = np.random.default_rng(count)
    held: dict[str, Any] = {
        "X": generator.integers(0, 256, (32, 32, 3, count), dtype=np.uint8),
        "y": (np.arange(count) % 10 + 1).astype(np.uint8)[:, None],
    }
    held |= changes
    savemat(path, {name: value for name, value in held.items() if value is not None}, do_compression=True)
    return held


def test_label_10_is_the_digit_0_and_pixels_keep_their_place(tmp_path: Path) -> None:
    held = save(tmp_path / "train_32x32.mat")
    images, labels = read_mat(tmp_path / "train_32x32.mat")
    assert labels.tolist() == ([1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 4)
    assert images.shape == (40, 32, 32, 3)
    assert images.flags.c_contiguous
    for n, row, column, channel in [(0, 0, 0, 0), (7, 3, 30, 2), (39, 31, 5, 1)]:
        assert images[n, row, column, channel] == held["X"][row, column, channel, n]


def test_agrees_with_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's reader, its checksums set aside, as an independent reference."""
    from torchvision import datasets

    save(tmp_path / "train_32x32.mat")
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
    official = datasets.SVHN(str(tmp_path), split="train")
    images, labels = read_mat(tmp_path / "train_32x32.mat")
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2), official.data)
    np.testing.assert_array_equal(labels, official.labels)


def test_the_module(tmp_path: Path) -> None:
    save(tmp_path / "train_32x32.mat", 60)
    held = save(tmp_path / "test_32x32.mat", 23)
    module = SVHN(tmp_path, validation=10, batch_size=5, augment=True)
    module.prepare_data()
    module.setup()
    assert (len(module.train_set), len(module.val_set), len(module.test_set), module.flip) == (50, 10, 23, False)
    batch = next(iter(module.test_dataloader()))
    expected = torch.from_numpy(held["X"]).permute(3, 2, 0, 1).to(torch.float32) / 255
    assert torch.equal(batch.images, expected)
    assert batch.labels.tolist() == (held["y"].ravel() % 10).tolist()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_mat(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(path) in message
    return message


@pytest.mark.parametrize("kept", [0, 50, 128, 200, 5_000, -1, -100])
def test_a_truncated_file(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "train_32x32.mat"
    save(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "truncated" in refusal(path) or "is not there" in refusal(path)


def test_random_bytes_and_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refusal(path)
    save(path)
    content = bytearray(path.read_bytes())
    for place in range(3000, 3400):
        content[place] ^= 0x5A
    path.write_bytes(bytes(content))
    refusal(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X": None}, ["`X`", "not there"]),
        ({"y": None}, ["`y`", "not there"]),
        ({"X": np.zeros((40, 32, 32, 3), np.uint8)}, ["`X`", "32 x 32 x 3 x N", "40 x 32 x 32 x 3"]),
        ({"X": np.zeros((32, 32, 3, 40))}, ["`X`", "uint8", "float64"]),
        ({"X": np.zeros((32, 32, 3, 39), np.uint8)}, ["`X`", "`y`", "39", "40"]),
        ({"y": np.zeros((40, 1), np.uint8)}, ["`y`", "1 to 10", "0"]),
        ({"y": np.full((40, 1), 11, np.uint8)}, ["`y`", "1 to 10", "11"]),
        ({"y": np.full((40, 1), 1.5)}, ["`y`", "whole numbers"]),
        ({"y": np.full((20, 2), 1, np.uint8)}, ["`y`", "N x 1", "20 x 2"]),
        ({"y": np.array(["a"] * 40)}, ["`y`"]),
        ({"X": np.array("text")}, ["`X`"]),
    ],
)
def test_bad_variables(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    path = tmp_path / "train_32x32.mat"
    save(path, **changes)
    message = refusal(path)
    assert all(word in message for word in words), message


def test_missing_folder_says_how_to_download(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train_32x32\.mat.*`download: true`"):
        SVHN(tmp_path / "nowhere").setup()


def test_nothing_is_downloaded_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import utils

    asked: list[tuple[str, str]] = []

    def note(url: str, root: Path, name: str, md5: str) -> None:
        asked.append((name, md5))

    monkeypatch.setattr(utils, "download_url", note)
    SVHN(tmp_path).prepare_data()
    assert asked == []
    SVHN(tmp_path, download=True).prepare_data()
    # The checksums with which the files are published.
    assert asked == [("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"), ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3")]


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("File not found or corrupted.")])
def test_a_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from torchvision.datasets import utils

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(utils, "download_url", fail)
    with pytest.raises(InputError, match=r"`download: true`.*(no route|corrupted)"):
        SVHN(tmp_path, download=True).prepare_data()
