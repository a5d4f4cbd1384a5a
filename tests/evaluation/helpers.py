"""Tiny networks, data and attacks for the tests of the evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchattacks.attack import Attack

from qlight.evaluation import RecordFolder

SHAPE = (3, 8, 8)

#: What Lightning warns of when a tiny test set is read in this process, and a deprecation inside it.
QUIET = (
    "ignore:.*does not have many workers",
    "ignore:.*LeafSpec",
    "ignore:.*GPU available but not used",
)


def tiny_network(seed: int = 0, classes: int = 10) -> nn.Sequential:
    """A conv net of three layers with batch norm and dropout, in training mode, with random weights."""
    with torch.random.fork_rng(()):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, classes))


def random_images(count: int, seed: int = 0) -> Tensor:
    """N x 3 x 8 x 8, multiples of 1/255."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *SHAPE))).float() / 255


def mostly_right_labels(network: nn.Module, images: Tensor) -> Tensor:
    """What `network` predicts in eval mode, changed for every third image."""
    was = network.training
    network.eval()
    with torch.no_grad():
        labels = network(images).argmax(1)
    network.train(was)
    labels[::3] = (labels[::3] + 1) % 10
    return labels


class Indexed(Dataset):
    """(images, labels), or (images, labels, index) with an index that is not the position."""

    def __init__(self, images: Tensor, labels: Tensor, with_index: bool = False) -> None:
        self.images, self.labels, self.with_index = images, labels, with_index

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Any, ...]:
        index = (1000 + position,) if self.with_index else ()
        return (self.images[position], self.labels[position], *index)


def loader(images: Tensor, labels: Tensor, batch_size: int = 4, with_index: bool = False) -> DataLoader:
    return DataLoader(Indexed(images, labels, with_index), batch_size=batch_size)


def trainer(**settings: Any) -> Trainer:
    """A Trainer on the CPU that prints nothing and writes nothing."""
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "barebones": False,
    }
    return Trainer(**{"accelerator": "cpu", "devices": 1, "inference_mode": False, **quiet, **settings})


class Noise(Attack):
    """Uniform noise from torch, NumPy and Python, inside [0, 1]; leaves a mess behind on purpose."""

    def __init__(self, model: nn.Module, eps: float = 0.1) -> None:
        super().__init__("Noise", model)
        self.eps = eps

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        import random

        self.model.train()
        for parameter in self.model.parameters():
            parameter.requires_grad_(True)
        self.model(inputs).sum().backward()
        noise = torch.rand_like(inputs) + np.random.rand() + random.random()  # noqa: NPY002 - as Pixle does
        inputs += self.eps * (noise - 1.5)  # in place: the caller's images must not move
        return inputs.clamp_(0, 1)


class Wrong(Attack):
    """Returns or raises what `how` says."""

    def __init__(self, model: nn.Module, how: str = "nan") -> None:
        super().__init__("Wrong", model)
        self.how = how

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Any:
        if self.how == "value error":
            raise ValueError("norm must be one of L2 and Linf")
        if self.how == "runtime error":
            raise RuntimeError("out of luck")
        bad = inputs.clone()
        bad[0, 0, 0, 0] = {"nan": float("nan"), "inf": float("inf"), "above": 1.0001, "below": -1e-7}.get(self.how, 0.5)
        return {"shape": bad[:, :1], "integers": (bad * 255).byte(), "list": [bad], "batch": bad[1:]}.get(self.how, bad)


class ExactNetwork(nn.Module):
    """8-bit pixels and small integer weights: every sum is a whole number below 2^24, so logits do not depend on the batch."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(()):
            torch.manual_seed(seed)
            self.first = nn.Parameter(torch.randint(-2, 3, (16, 192)).float())
            self.last = nn.Parameter(torch.randint(-3, 4, (10, 16)).float())

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1) * 255
        pixels = pixels + (pixels.round() - pixels).detach()
        hidden = pixels @ self.first.T / 64
        hidden = hidden + (hidden.floor() - hidden).detach()
        return hidden.clamp(-20, 20) @ self.last.T


@contextlib.contextmanager
def interrupted(records: int) -> Iterator[None]:
    """The evaluation within ends before its `records`-th image is written down, without any chance to tidy up."""
    left, append = records, RecordFolder.append

    def fails(self: RecordFolder, attack: str, found: Any) -> None:
        nonlocal left
        for number in range(len(found)):
            left -= 1
            if left == 0:
                raise KeyError("stop")
            append(self, attack, found[number : number + 1])

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError, match="stop"):  # noqa: PT012 - the caller's block is what raises
        patch.setattr(RecordFolder, "append", fails)
        yield
