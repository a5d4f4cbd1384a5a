"""Images from a NumPy archive."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qlight.data.module import ImageDataModule, Source
from qlight.errors import InputError

NAMES = Source._fields

#: What zipfile, zlib and NumPy raise on damaged files, on compression they do not know, and on sizes that the damage made up.
_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError)


class Arrays(ImageDataModule):
    """Any 32x32 colour images with ten classes, from an `.npz` file.

    Args:
        path: The file, with the arrays `x_train`, `y_train`, `x_test`, `y_test`: images uint8 N x 32 x 32 x 3, labels integers 0 to 9.
        flip: Whether `augment` may mirror images; false where a mirrored image is another class, as for digits.
        **kwargs: See `ImageDataModule`.
    """

    def __init__(self, path: str | os.PathLike[str], flip: bool = True, **kwargs: Any) -> None:
        super().__init__(flip=flip, **kwargs)
        self.path = Path(path)

    def load(self) -> Source:
        return read_npz(self.path)


def read_npz(path: Path) -> Source:
    """Read and check the four arrays. Nothing is ever unpickled. Raises `InputError` that names the file and the array."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file" if path.parent.is_dir() else f"no folder {path.parent}"
        raise InputError(f"Expected `path` to be an .npz file, but {path} is not there ({what}); correct the path.")
    # Opened here, because np.load leaves the file open where it fails.
    with path.open("rb") as stream:
        source = Source(**_read_arrays(stream, path))
    check_images("x_train", source.x_train, "y_train", source.y_train, path)
    check_images("x_test", source.x_test, "y_test", source.y_test, path)
    return source


def _read_arrays(stream: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    try:
        archive = np.load(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise InputError(f"Expected `path` to be an .npz file, but {path} is not one or is truncated ({first_line(error)}).") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"Expected `path` to be an .npz file with the arrays {', '.join(NAMES)}, but {path} holds a single array.")
    with archive:
        if missing := [name for name in NAMES if name not in archive.files]:
            held = ", ".join(archive.files) or "nothing"
            raise InputError(f"Expected `{missing[0]}` among the arrays of {path}, but it holds {held}; save the array under that name.")
        arrays = {}
        for name in NAMES:
            try:
                arrays[name] = archive[name]
            except _DAMAGE as error:
                raise InputError(
                    f"Expected `{name}` of {path} to be a readable array, but got: {first_line(error)}; write the file again."
                ) from error
    return arrays


def check_images(x_name: str, images: np.ndarray, y_name: str, labels: np.ndarray, path: Path) -> None:
    """Raise `InputError` unless `images` is uint8 N x 32 x 32 x 3 and `labels` integer N, 0 to 9, N > 0."""
    if images.dtype != np.uint8:
        raise InputError(f"Expected `{x_name}` of {path} to have dtype uint8, but got {images.dtype}; store pixels as 0 to 255.")
    if images.ndim != 4 or images.shape[1:] != (32, 32, 3):
        raise InputError(f"Expected `{x_name}` of {path} to have shape N x 32 x 32 x 3, but got {_shape(images)}; reshape it.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"Expected `{y_name}` of {path} to hold integers, but got dtype {labels.dtype}; convert it to int64.")
    if labels.ndim != 1:
        raise InputError(f"Expected `{y_name}` of {path} to have one dimension, but got {_shape(labels)}; flatten it.")
    if len(images) != len(labels):
        raise InputError(f"Expected `{y_name}` of {path} to be as long as `{x_name}`, {len(images)}, but got {len(labels)} labels.")
    if len(images) == 0:
        raise InputError(f"Expected `{x_name}` of {path} to hold images, but it is empty.")
    wrong = labels[(labels < 0) | (labels > 9)]
    if len(wrong):
        raise InputError(f"Expected `{y_name}` of {path} to hold labels from 0 to 9, but got {wrong[0]}; relabel or drop these images.")


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) or "a single number"


def first_line(error: BaseException) -> str:
    """The message of an error on one line, without a full stop; its type where it has none."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
