"""`python -m qlight.zoo CKPT --config YAML --data NPZ`: measure a trained network and store it in the zoo (for who maintains qlight)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from qlight.evaluation import read_checkpoint
from qlight.models.checkpoint import load_classifier
from qlight.zoo.packed import pack, unpack
from qlight.zoo.store import NETWORKS, save

LICENSE = "Apache-2.0"


def main() -> None:
    """Accuracy is that of the stored network: what is packed, unpacked again."""
    parser = argparse.ArgumentParser(prog="python -m qlight.zoo", description="Store a trained network in the zoo.")
    parser.add_argument("checkpoint", type=Path, help="what `fit` wrote")
    parser.add_argument("--config", type=Path, required=True, help="the YAML file that it was trained with")
    parser.add_argument("--data", type=Path, required=True, help=".npz with x_test (uint8 N x 32 x 32 x 3) and y_test")
    parser.add_argument("--dataset", default="CIFAR-10", help="its name")
    options = parser.parse_args()
    model = load_classifier(options.checkpoint, read_checkpoint(options.checkpoint))
    unpack(model, *pack(model))
    with np.load(options.data) as held:
        images, labels = torch.from_numpy(held["x_test"]).permute(0, 3, 1, 2), torch.from_numpy(held["y_test"].astype(np.int64))
    right = 0
    with torch.no_grad():
        for part, truth in zip(images.split(500), labels.split(500), strict=True):
            right += int((model(part / 255).argmax(1) == truth).sum())
    accuracy = right / len(labels)
    made = f"Trained by the authors of qlight on the training split of {options.dataset}, with this configuration, on a CPU."
    path = save(
        model,
        NETWORKS,
        accuracy=accuracy,
        test_images=len(labels),
        dataset=options.dataset,
        configuration=options.config.read_text(encoding="utf-8"),
        license=LICENSE,
        provenance=made,
    )
    print(f"{path.stem}: accuracy {accuracy:.4f} on {len(labels)} images, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
