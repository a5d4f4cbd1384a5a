"""Networks, data and attacks on which analyses are quick."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from qlight.evaluation.analysis import Network
from tests.evaluation.helpers import ExactNetwork, loader, mostly_right_labels, random_images

FGSM: dict[str, Any] = {"FGSM": {"class_path": "FGSM", "init_args": {"eps": 0.02}}}
CW: dict[str, Any] = {"CW": {"class_path": "CarliniWagnerL2", "init_args": {"steps": 12, "search_steps": 3}}}


class Data(LightningDataModule):
    """Random images with the labels of an `ExactNetwork`, most of them."""

    def __init__(self, count: int = 10, seed: int = 0) -> None:
        super().__init__()
        self.count, self.seed = count, seed
        self.images = random_images(count, seed)
        self.labels = mostly_right_labels(ExactNetwork(), self.images)

    def test_dataloader(self) -> DataLoader:
        return loader(self.images, self.labels, batch_size=4, with_index=True)


def networks(count: int = 3) -> list[Network]:
    """Networks of whole numbers: logits, and so all results, do not depend on batches."""
    return [Network(f"net{seed}", ExactNetwork(seed)) for seed in range(count)]


class Linear(nn.Module):
    """Logits W x of flattened images."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


def random_linear(seed: int, classes: int = 10, size: float = 1.0) -> Linear:
    return Linear(size * torch.randn(classes, 192, generator=torch.Generator().manual_seed(seed)))
