"""The base of all data modules: splits, subsets, loaders for one process or many."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from qlight.data.batch import Batch
from qlight.data.counter import Stream, random_bits
from qlight.data.dataset import Augmentation, ImageDataset
from qlight.data.sampler import EvalSampler, TrainLoader, TrainSampler
from qlight.errors import InputError


class Source(NamedTuple):
    """What a data module reads: images uint8 N x 32 x 32 x 3, labels integer N, 0 to 9."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.integer]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.integer]


class ImageDataModule(LightningDataModule):
    """Base class: a subclass implements `load`.

    Every order and every random choice is a pure function of `seed`, the epoch and the image's index.

    Args:
        batch_size: Images of a training step, over all processes together.
        eval_batch_size: Images of an evaluation step, over all processes together.
        validation: Size of the validation split, which is taken from the training images by `seed`, each class by its share: a number
            of images, or a fraction below 1. The same split for the same `seed`; 0 for none.
        limit: Evaluate on this many test images, chosen by `seed` (a smaller choice is part of a larger one); None for all.
            Training and validation do not change.
        augment: Random crop after `crop` pixels of zero padding and, where `flip`, a random horizontal flip, on training images.
        crop: Pixels by which `augment` may shift images; 0 for no shift.
        flip: Whether `augment` may mirror images.
        seed: Of the split, the subset, the order and the augmentation.
        num_workers: Processes that prepare batches; 0 prepares them in the training process, which is fast enough for these data sets.
    """

    num_classes: int = 10
    class_names: tuple[str, ...] = tuple("0123456789")

    def __init__(
        self,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        validation: int | float = 0.1,
        limit: int | None = None,
        augment: bool = False,
        crop: int = 4,
        flip: bool = False,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
            ("crop", crop, 0),
            ("limit", 1 if limit is None else limit, 1),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"Expected `{name}` to be a whole number of at least {least}, but got {value!r}.")
        if isinstance(validation, bool) or not ((isinstance(validation, int) and validation >= 0) or 0 <= validation < 1):
            raise InputError(f"Expected `validation` to be a number of images or a fraction in [0, 1), but got {validation!r}.")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.validation = validation
        self.limit = limit
        self.augment = augment
        self.crop = crop
        self.flip = flip
        self.seed = seed
        self.num_workers = num_workers
        self._train: ImageDataset | None = None
        self._val: ImageDataset | None = None
        self._test: ImageDataset | None = None

    @abstractmethod
    def load(self) -> Source:
        """Read or make the images. Called once, by `setup`. Raises `InputError` with a sentence that says what is wrong."""

    def setup(self, stage: str | None = None) -> None:
        """Load the images and split them, once."""
        if self._train is not None:
            return
        source = self.load()
        val_index = validation_index(source.y_train, self.validation, self.seed)
        train_index = np.setdiff1d(np.arange(len(source.y_train)), val_index)
        augmentation = Augmentation(self.seed, self.flip, self.crop) if self.augment else None
        self._val = ImageDataset(source.x_train, source.y_train, val_index)
        self._test = ImageDataset(source.x_test, source.y_test, limit_index(len(source.y_test), self.limit, self.seed))
        self._train = ImageDataset(source.x_train, source.y_train, train_index, augmentation)

    @property
    def train_set(self) -> ImageDataset:
        """The training split, augmented where asked for; after `setup`."""
        return _ready(self._train)

    @property
    def val_set(self) -> ImageDataset:
        """The validation split; after `setup`."""
        return _ready(self._val)

    @property
    def test_set(self) -> ImageDataset:
        """The test split, its subset where `limit` is set; after `setup`."""
        return _ready(self._test)

    def _replicas(self) -> tuple[int, int]:
        """The number of processes that share the data, and which of them this is."""
        keywords = self.trainer.distributed_sampler_kwargs if self.trainer is not None else None
        return (keywords["num_replicas"], keywords["rank"]) if keywords else (1, 0)

    def _options(self) -> dict[str, Any]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        # Its own generator, so that making an iterator does not advance the generator of the network.
        generator = torch.Generator().manual_seed(self.seed & 0x7FFFFFFF)
        return {"num_workers": self.num_workers, "collate_fn": _identity, "pin_memory": on_gpu, "generator": generator}

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of `batch_size` / processes images, the same number in every process and epoch; resumable in mid-epoch."""
        replicas, rank = self._replicas()
        sampler = TrainSampler(self.train_set, self.batch_size, replicas, rank, self.seed)
        return TrainLoader(self.train_set, batch_size=self.batch_size // replicas, sampler=sampler, **self._options())

    def _eval_dataloader(self, dataset: ImageDataset) -> DataLoader[Batch]:
        replicas, rank = self._replicas()
        if len(dataset) < replicas:  # a process without a batch would leave the others waiting at the end of the epoch
            raise InputError(f"Expected an evaluation image for each process, but got {len(dataset)} for {replicas}; use fewer processes.")
        size = -(-self.eval_batch_size // replicas)
        return DataLoader(dataset, batch_size=size, sampler=EvalSampler(dataset, replicas, rank), **self._options())

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Each validation image once; no loader where `validation` is 0."""
        return self._eval_dataloader(self.val_set) if len(self.val_set) else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Each test image (of the subset, where `limit` is set) once."""
        return self._eval_dataloader(self.test_set)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The same as `test_dataloader`."""
        return self.test_dataloader()


def _identity(batch: Batch) -> Batch:
    return batch


def _ready(dataset: ImageDataset | None) -> ImageDataset:
    if dataset is None:
        raise RuntimeError("Call `setup` of the data module first; a Trainer does.")
    return dataset


def validation_index(labels: NDArray[np.integer], validation: int | float, seed: int) -> NDArray[np.int64]:
    """The positions of the validation images, ascending: of each class its share, rounded so that the total is exact.

    >>> validation_index(np.repeat([0, 1], [30, 10]), 0.2, seed=0).tolist()
    [3, 5, 6, 20, 21, 22, 30, 37]
    """
    count = round(len(labels) * validation) if isinstance(validation, float) else validation
    if count >= len(labels):
        raise InputError(f"Expected `validation` to be less than the number of training images, {len(labels)}, but got {validation}.")
    keys = random_bits(seed, Stream.VALIDATION, np.arange(len(labels)))
    # Rank of each image within its class, in random order. Taking all images by (rank + 1/2) / class size, smallest first, takes
    # from every class in proportion to its size.
    order = np.lexsort((keys, labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts[labels[order]]
    return np.sort(np.lexsort((keys, (rank + 0.5) / sizes[labels]))[:count])


def limit_index(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """The positions of the test images to use, ascending: all, or `limit` of them, a smaller choice within a larger one.

    >>> limit_index(10, 3, seed=0).tolist()
    [5, 8, 9]
    """
    if limit is None:
        return np.arange(count)
    if limit > count:
        raise InputError(f"Expected `limit` to be at most the number of test images, {count}, but got {limit}.")
    return np.sort(np.argsort(random_bits(seed, Stream.LIMIT, np.arange(count)), kind="stable")[:limit])
