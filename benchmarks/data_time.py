"""What a batch of training data costs, against a training step of the float network it feeds.

    python benchmarks/data_time.py [--network svhn] [--width 0.25] [--batch-size 128] [--steps 20] [--threads 1]

Prints milliseconds a batch without and with augmentation, those of a step, their ratio (to stay below 5 %), and what rendering
`SyntheticDigits` costs. Batches and steps take turns, medians are compared. Images: 50,000 random ones in memory, as many as CIFAR-10's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from statistics import median

import numpy as np
import torch
from torch.nn import functional

from qlight.data import Batch, ImageDataModule
from qlight.data.module import Source
from qlight.data.rendering import glyphs, render

IMAGES = 50_000


class RandomImages(ImageDataModule):
    """`IMAGES` random images for training."""

    def load(self) -> Source:
        images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
        return Source(images, np.arange(IMAGES) % 10, images[:10], np.arange(10))


def batches(batch_size: int, augment: bool) -> Iterator[Batch]:
    """Training batches without end, epoch after epoch."""
    module = RandomImages(batch_size=batch_size, validation=0, augment=augment, flip=True)
    module.setup()
    loader = module.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]
        yield from loader
        epoch += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--network", default="svhn", choices=["svhn", "cifar10"])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    from qlight.models.registry import build_network

    network = build_network(options.network, options.width).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.Adam(network.parameters())
    sources = {"plain": batches(options.batch_size, augment=False), "augmented": batches(options.batch_size, augment=True)}
    times: dict[str, list[float]] = {"plain": [], "augmented": [], "step": []}
    batch = Batch(*(torch.empty(0),) * 3)
    for _ in range(options.steps + 3):
        for name, source in sources.items():
            start = time.perf_counter()
            batch = next(source)
            times[name].append(time.perf_counter() - start)
        start = time.perf_counter()
        optimizer.zero_grad()
        functional.cross_entropy(network(batch.images), batch.labels).backward()
        optimizer.step()
        times["step"].append(time.perf_counter() - start)

    step = median(times["step"][3:])
    print(f"step of the float {options.network} network, width {options.width}, batch {options.batch_size}: {step * 1e3:.1f} ms")
    for name in sources:
        cost = median(times[name][3:])
        print(f"batch, {name}: {cost * 1e3:.2f} ms, {cost / step:.2%} of a step")

    glyphs()
    start = time.perf_counter()
    render(0, 0, 5120)
    print(f"rendering SyntheticDigits: {(time.perf_counter() - start) / 5120 * 1e3:.3f} ms an image, once")


if __name__ == "__main__":
    main()
