"""Data modules: images in [0, 1] with labels and stable indices, for one process or many."""

from qlight.data.arrays import Arrays
from qlight.data.batch import Batch
from qlight.data.module import ImageDataModule

__all__ = ["Arrays", "Batch", "ImageDataModule"]
