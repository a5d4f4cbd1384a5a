"""Data modules: images in [0, 1] with labels and stable indices, for one process or many."""

from qlight.data.arrays import Arrays
from qlight.data.batch import Batch
from qlight.data.cifar10 import CIFAR10
from qlight.data.digits import SyntheticDigits
from qlight.data.module import ImageDataModule
from qlight.data.svhn import SVHN

__all__ = ["CIFAR10", "SVHN", "Arrays", "Batch", "ImageDataModule", "SyntheticDigits"]
