"""One training step of w1a1 and w2a2 against float, and against Brevitas with the same network.

    pip install -e '.[bench]'
    python benchmarks/training_step.py [--width 0.25] [--batch 100] [--rounds 15] [--threads 2]

Every round runs one step (forward, backward, Adam) of each network on the same images, so that a change of the machine's speed meets all
of them; printed are medians over the rounds and their ratios to the float network. The float network, plain torch, has the same layers.
Brevitas' quantizers are its own for these bit widths: binary weights and activations of constant scale 1, and 2-bit integers with scales
from the weights' and activations' statistics. Its convolutions pad with 0.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.models import Precision, build_network
from qlight.models.classifier import clip_latent_weights


def step_of(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """A training step of a network, as `fit` runs it."""
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        logits = network(images)
        F.cross_entropy(getattr(logits, "value", logits), labels).backward()
        optimizer.step()
        clip_latent_weights(network)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")
    images = torch.rand(options.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (options.batch,))
    networks: dict[str, nn.Module] = {
        "float": build_network("cifar10", options.width),
        "qlight w1a1": build_network("cifar10", options.width, Precision(1, 1)),
        "qlight w2a2": build_network("cifar10", options.width, Precision(2, 2)),
    }
    try:
        from brevitas_network import brevitas_network

        networks["brevitas w1a1"] = brevitas_network(1, options.width)
        networks["brevitas w2a2"] = brevitas_network(2, options.width)
    except ImportError:
        print("Brevitas is not installed: pip install -e '.[bench]'")
    steps = {name: step_of(network, images, labels) for name, network in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(options.rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if round_ >= 2:  # the first rounds warm up
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"width {options.width}, batch {options.batch}, {options.threads} threads, medians of {options.rounds} interleaved rounds")
    for name, median in medians.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["float"], strict=True))
        print(f"{name:<14} {1e3 * median:8.1f} ms   {ratio:5.2f} x float")


if __name__ == "__main__":
    main()
