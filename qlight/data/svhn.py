"""SVHN in its cropped format (http://ufldl.stanford.edu/housenumbers/)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from qlight.data.arrays import check_images, first_line
from qlight.data.download import fetching
from qlight.data.module import ImageDataModule, Source
from qlight.errors import InputError

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


class SVHN(ImageDataModule):
    """73,257 training and 26,032 test images of digits from house numbers, without the `extra` part; Netzer et al., Reading digits in
    natural images with unsupervised feature learning, 2011.

    Args:
        root: The folder that holds, or will hold, `train_32x32.mat` and `test_32x32.mat`.
        download: Fetch the data into `root` where it is missing (246 MB).
        validation: See `ImageDataModule`.
        **kwargs: See `ImageDataModule`. A mirrored digit is no digit, so `augment` only crops.
    """

    def __init__(
        self, root: str | os.PathLike[str] = "data", download: bool = False, validation: int | float = 5000, **kwargs: Any
    ) -> None:
        super().__init__(validation=validation, flip=False, **kwargs)
        self.root = Path(root)
        self.download = download

    def prepare_data(self) -> None:
        """Download, where asked for; Lightning calls this in one process of a machine."""
        if self.download:
            from torchvision import datasets

            for split in FILES:
                url, name, md5 = datasets.SVHN.split_list[split]
                with fetching("SVHN", self.root):
                    datasets.utils.download_url(url, self.root, name, md5)

    def load(self) -> Source:
        arrays = [array for name in FILES.values() for array in read_mat(self.root / name)]
        return Source(*arrays)


def read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of the cropped format: `X`, uint8, 32 x 32 x 3 x N, and `y`, N x 1, 1 to 10, where 10 is the digit 0.

    Returns images, uint8, N x 32 x 32 x 3, and labels, int64, N, 0 to 9. Raises `InputError` that names the file and the variable.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"Expected `root` to hold {path.name}, but {path} is not there; pass `download: true` or correct `root`.")
    try:
        held = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # Damaged files make scipy raise whatever the wrong bytes lead to.
        raise InputError(
            f"Expected {path} to be a MATLAB file, but it is not one or is truncated ({first_line(error)}); "
            "remove it and pass `download: true`."
        ) from error
    for name in ("X", "y"):
        if name not in held:
            raise InputError(f"Expected the variable `{name}` in {path}, but it is not there; use the cropped-digits format of SVHN.")
    images, labels = np.asarray(held["X"]), np.asarray(held["y"])
    if images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        shape = " x ".join(map(str, images.shape))
        raise InputError(f"Expected `X` of {path} to have shape 32 x 32 x 3 x N, but got {shape}; use the cropped-digits format of SVHN.")
    if labels.ndim != 2 or 1 not in labels.shape or labels.dtype.kind not in "uif" or not np.array_equal(labels, np.round(labels)):
        shape = " x ".join(map(str, labels.shape))
        raise InputError(f"Expected `y` of {path} to be N x 1 whole numbers, but got {labels.dtype} of shape {shape}.")
    numbers = labels.ravel().astype(np.int64)
    wrong = numbers[(numbers < 1) | (numbers > 10)]
    if len(wrong):
        raise InputError(f"Expected `y` of {path} to hold labels from 1 to 10 (10 is the digit 0), but got {wrong[0]}; correct the file.")
    images = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
    check_images("X", images, "y", numbers % 10, path)
    return images, numbers % 10
