"""The RTL in simulation: from a checkpoint to logits, milliseconds an image, and simulated cycles against the model and its bound.

    python benchmarks/simulation.py [--networks w1a1 w2a2 w3a3 w4a4 w2a32] [--width 0.125] [--images 12] [--rounds 5] [--ckpt FILE ...]
    python benchmarks/simulation.py --full

Networks are the CIFAR10 one with random weights and the batch norms of random images, saved as checkpoints first; `--ckpt` takes trained
ones instead. For each, in an empty cache folder and with the default folding:

* build s: verilator and the C++ compiler; logits s: all from reading the checkpoint to the logits of the first image.
* ms/image: steady state, processor time of the one thread, the fastest of the rounds.
* cycles: between two images, simulated, and those of the model, which must be equal. bound: products of the slowest layer over PE * SIMD.
* busy: the share of cycles in which the busiest MVTU reads a row of its weights, counted by the driver while images stream.

`--full` runs one image of the w1a1 network at the paper's width, and compares its integers with the reference executor.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import lightning as L
import numpy as np
import torch

from qlight.engines.rtlsim import RunCycles
from qlight.evaluation import read_checkpoint
from qlight.hardware import cycles, write_build
from qlight.intgraph import execute
from qlight.lowering import lower
from qlight.models import Classifier
from qlight.models.checkpoint import load_classifier
from qlight.noise import quiet
from qlight.targets import RtlSimEngine

NETWORKS = ("w1a1", "w2a2", "w3a3", "w4a4", "w2a32")


class Row(NamedTuple):
    """What is printed of a network."""

    build: float
    logits: float
    milliseconds: float
    cycles: int
    model: int
    bound: int
    busy: float


def make_checkpoint(name: str, width: float, path: Path) -> None:
    """Save a network with random weights; its batch norms have seen random images."""
    found = re.fullmatch(r"w(\d+)a(\d+)", name)
    if found is None:
        raise SystemExit(f"Expected `--networks` like w2a2, but got {name!r}.")
    torch.manual_seed(0)
    model = Classifier(network="cifar10", width=width, weight_bit_width=int(found[1]), activation_bit_width=int(found[2]))
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(16, 3, 32, 32))
    with quiet():
        trainer = L.Trainer(accelerator="cpu", logger=False, enable_model_summary=False, enable_progress_bar=False)
        trainer.strategy.connect(model.eval())
        trainer.save_checkpoint(path)


def busy_share(spent: RunCycles) -> float:
    """Of the busiest MVTU, from the first image's end until the last word of the last image went in."""
    last = int(np.searchsorted(spent.done, spent.taken[-1], side="right")) - 1
    assert last > 0, "too few images to reach a steady state"
    return float((spent.issued[last] - spent.issued[0]).max() / (spent.done[last] - spent.done[0]))


def measure(checkpoint: Path, folder: Path, images: np.ndarray, rounds: int) -> Row:
    """One network, built in an empty folder; `images` are uint8, N x 32 x 32 x 3."""
    os.environ["XDG_CACHE_HOME"] = str(folder)
    start = time.perf_counter()
    network = load_classifier(checkpoint, read_checkpoint(checkpoint))
    graph = lower(network, torch.from_numpy(images[:4])).graph
    build = write_build(graph, folder / "build")
    engine = RtlSimEngine(build.folder, threads=1)
    engine(images[:1])
    logits = time.perf_counter() - start
    model = cycles(build.pipeline)
    found, spent = engine.run(images)
    np.testing.assert_array_equal(found, execute(graph, images))
    few = len(images) // 3
    best = {few: float("inf"), len(images): float("inf")}  # starting and draining take as long for few images as for many
    for count in [few, len(images)] * rounds:
        before = time.thread_time()
        engine.run(images[:count])
        best[count] = min(best[count], time.thread_time() - before)
    simulated = set(np.diff(spent.done).tolist())
    if simulated != {model.image}:
        raise SystemExit(f"The simulation takes {simulated} cycles an image, the model {model.image}.")
    milliseconds = 1000 * (best[len(images)] - best[few]) / (len(images) - few)
    return Row(engine.build_seconds, logits, milliseconds, simulated.pop(), model.image, model.products, busy_share(spent))


def full(folder: Path) -> None:
    """One image of the w1a1 network at full width."""
    make_checkpoint("w1a1", 1.0, folder / "full.ckpt")
    images = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    start = time.perf_counter()
    graph = lower(load_classifier(folder / "full.ckpt", read_checkpoint(folder / "full.ckpt")), torch.from_numpy(images)).graph
    engine = RtlSimEngine(write_build(graph, folder / "build").folder, threads=1)
    built = time.perf_counter()
    found, spent = engine.run(images[:1])
    took = time.perf_counter() - built
    np.testing.assert_array_equal(found, execute(graph, images[:1]))
    print(
        f"w1a1, width 1: {built - start:.0f} s to the simulation, {took:.2f} s for an image of {spent.done[0]:,} cycles; all integers equal"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The RTL in simulation.")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ckpt", nargs="+", type=Path, default=[], help="checkpoints instead of `--networks`")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if arguments.full:
        with tempfile.TemporaryDirectory() as folder:
            full(Path(folder))
        return
    images = np.random.default_rng(0).integers(0, 256, (arguments.images, 32, 32, 3), dtype=np.uint8)
    print(f"{'network':24} {'build s':>8} {'logits s':>8} {'ms/image':>8} {'cycles':>9} {'model':>9} {'bound':>9} {'ratio':>6} {'busy':>6}")
    for name in arguments.ckpt or arguments.networks:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(name)
            if not arguments.ckpt:
                path = Path(folder) / f"{name}.ckpt"
                make_checkpoint(name, arguments.width, path)
            row = measure(path, Path(folder), images, arguments.rounds)
        print(
            f"{path.stem:24} {row.build:8.1f} {row.logits:8.1f} {row.milliseconds:8.1f} {row.cycles:9,} {row.model:9,} {row.bound:9,} "
            f"{row.cycles / row.bound:6.3f} {row.busy:6.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
