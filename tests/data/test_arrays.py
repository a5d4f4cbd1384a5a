"""`.npz` files: what a good one gives, and one clear sentence for each bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qlight.data import Arrays
from qlight.data.module import Source
from qlight.errors import InputError

from .conftest import random_source


def save(path: Path, compressed: bool = False, **changes: Any) -> Path:
    """An archive of `random_source` with some arrays replaced, or left out where None."""
    arrays = random_source()._asdict() | changes
    (np.savez_compressed if compressed else np.savez)(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def refusal(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        Arrays(path).setup()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("compressed", [False, True])
def test_a_good_file(tmp_path: Path, source: Source, compressed: bool) -> None:
    module = Arrays(save(tmp_path / "good.npz", compressed), validation=10, batch_size=5)
    module.setup()
    batch = next(iter(module.test_dataloader()))
    assert torch.equal(batch.images, torch.from_numpy(source.x_test).permute(0, 3, 1, 2).to(torch.float32) / 255)
    assert batch.labels.tolist() == source.y_test.tolist()
    assert (len(module.train_set), len(module.val_set), module.num_classes, len(module.class_names)) == (40, 10, 10, 10)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type(tmp_path: Path, source: Source, dtype: type) -> None:
    module = Arrays(save(tmp_path / "good.npz", y_test=source.y_test.astype(dtype)))
    module.setup()
    assert next(iter(module.test_dataloader())).labels.dtype == torch.int64


def test_mirrors_by_default_where_asked_to_augment(tmp_path: Path) -> None:
    path = save(tmp_path / "good.npz")
    assert Arrays(path).flip
    assert not Arrays(path, flip=False).flip


def test_missing_file_folder_or_a_folder_itself(tmp_path: Path) -> None:
    assert "`path`" in refusal(tmp_path / "none.npz")
    assert "no such file" in refusal(tmp_path / "none.npz")
    assert f"no folder {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere" / "none.npz")
    assert "a folder" in refusal(tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kept", [0, 1, 10, 200, 0.3, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, kept: int | float, compressed: bool) -> None:
    path = save(tmp_path / "cut.npz", compressed)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_array(tmp_path: Path, compressed: bool) -> None:
    """The directory at the end is whole, the bytes of an array are not."""
    path = save(tmp_path / "damaged.npz", compressed)
    content = bytearray(path.read_bytes())
    for place in range(20_000, 20_400):
        content[place] ^= 0x5A
    path.write_bytes(bytes(content))
    message = refusal(path)
    assert "`x_train`" in message
    assert str(path) in message


def test_what_is_no_archive(tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("x_train = 1\n" * 100)
    assert str(text) in refusal(text)
    single = tmp_path / "single.npz"
    with single.open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert "a single array" in refusal(single)


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    bombs = np.empty(23, dtype=object)
    bombs[:] = [Bomb(target)] * 23
    message = refusal(save(tmp_path / "objects.npz", y_test=bombs))
    assert "`y_test`" in message
    assert not target.exists()


GOOD = random_source()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, ["`y_test`", "x_train, y_train, x_test"]),
        ({"x_train": None}, ["`x_train`"]),
        ({"x_train": GOOD.x_train.astype(np.float32)}, ["`x_train`", "uint8", "float32"]),
        ({"x_test": GOOD.x_test.astype(np.int64)}, ["`x_test`", "uint8", "int64"]),
        ({"x_train": GOOD.x_train.transpose(0, 3, 1, 2)}, ["`x_train`", "N x 32 x 32 x 3", "50 x 3 x 32 x 32"]),
        ({"x_test": GOOD.x_test[..., 0]}, ["`x_test`", "23 x 32 x 32"]),
        ({"x_test": np.uint8(3)}, ["`x_test`", "a single number"]),
        ({"y_train": GOOD.y_train[:-1]}, ["`y_train`", "`x_train`", "50", "49"]),
        ({"y_train": GOOD.y_train.astype(np.float64)}, ["`y_train`", "float64"]),
        ({"y_train": GOOD.y_train[:, None]}, ["`y_train`", "one dimension", "50 x 1"]),
        ({"y_test": GOOD.y_test.astype(str)}, ["`y_test`", "integers"]),
        ({"y_test": np.full(23, 11)}, ["`y_test`", "0 to 9", "11"]),
        ({"y_train": GOOD.y_train - 1}, ["`y_train`", "0 to 9", "-1"]),
        ({"x_test": GOOD.x_test[:0], "y_test": GOOD.y_test[:0]}, ["`x_test`", "empty"]),
    ],
)
def test_bad_arrays(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    path = save(tmp_path / "bad.npz", **changes)
    message = refusal(path)
    assert all(word in message for word in [*words, str(path)])
