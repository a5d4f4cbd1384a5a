"""The networks that come with the repository: they load, and they are as accurate as the README says."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qlight.evaluation import read_checkpoint
from qlight.models.checkpoint import load_classifier

ROOT = Path(__file__).parents[1]
CIFAR10 = ROOT.parent / "shared/data/cifar10.zip"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
ACCURACY = {"float": 0.864, "w1a1": 0.764, "w2a2": 0.802, "w2a32": 0.850}  # README, on all 10,000 test images


@pytest.mark.parametrize("name", ACCURACY)
def test_checkpoint_holds_its_network(name: str) -> None:
    path = ROOT / f"checkpoints/cifar10_quarter_{name}.ckpt"
    classifier = load_classifier(path, read_checkpoint(path))
    assert classifier.label == name
    assert classifier(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.skipif(not CIFAR10.exists(), reason="needs the development copy of CIFAR-10")
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_on_real_images(name: str) -> None:
    with zipfile.ZipFile(CIFAR10) as archive:
        members = sorted(member for member in archive.namelist() if member.startswith("test") and member.endswith(".webp"))[::10]
        images = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(member))).convert("RGB")) for member in members])
        labels = torch.tensor([CLASSES.index(member.split("/")[1]) for member in members])
    assert len(images) == 1000
    path = ROOT / f"checkpoints/cifar10_quarter_{name}.ckpt"
    classifier = load_classifier(path, read_checkpoint(path))
    with torch.no_grad():
        predicted = classifier(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(1)
    # four standard deviations of a sample of 1,000
    assert (predicted == labels).float().mean().item() == pytest.approx(ACCURACY[name], abs=4 * (0.25 / 1000) ** 0.5)
