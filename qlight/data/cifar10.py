"""CIFAR-10 in the form in which its authors publish it (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from qlight.data.arrays import check_images
from qlight.data.download import fetching
from qlight.data.module import ImageDataModule, Source
from qlight.errors import InputError


class CIFAR10(ImageDataModule):
    """50,000 training and 10,000 test images of ten kinds of objects.

    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.

    Args:
        root: The folder that holds, or will hold, `cifar-10-batches-py`.
        download: Fetch the data into `root` where it is missing (170 MB).
        validation: See `ImageDataModule`.
        flip: Whether `augment` mirrors images.
        **kwargs: See `ImageDataModule`.
    """

    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        root: str | os.PathLike[str] = "data",
        download: bool = False,
        validation: int | float = 5000,
        flip: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(validation=validation, flip=flip, **kwargs)
        self.root = Path(root)
        self.download = download

    def prepare_data(self) -> None:
        """Download, where asked for; Lightning calls this in one process of a machine."""
        if self.download:
            from torchvision import datasets

            with fetching("CIFAR-10", self.root):
                datasets.CIFAR10(self.root, download=True)

    def load(self) -> Source:
        from torchvision import datasets

        published = datasets.CIFAR10
        folder = self.root / published.base_folder
        for name, _ in published.train_list + published.test_list:
            if not (folder / name).is_file():
                raise InputError(f"Expected `root` to hold {published.base_folder}/{name}, but {folder} does not; pass `download: true`.")
        arrays: list[np.ndarray] = []
        for train in (True, False):
            try:
                # The files are pickles: torchvision compares their MD5 with the published ones before it opens them.
                official = published(self.root, train=train, download=False)
            except RuntimeError as error:
                raise InputError(
                    f"Expected the files of {folder} to be those that the authors of CIFAR-10 publish, but a checksum differs, "
                    "as after an interrupted download; remove the folder and pass `download: true`."
                ) from error
            arrays += [official.data, np.asarray(official.targets, dtype=np.int64)]
            check_images("data", arrays[-2], "labels", arrays[-1], folder)
        return Source(*arrays)
