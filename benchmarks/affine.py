"""How many channels have thresholds that are an affine function of the accumulator, and how many thresholds move to make all so.

    python benchmarks/affine.py [--networks w1a32 w2a32 w3a32 w4a32 float] [--width 1]

The CIFAR-10 network, untrained, with batch norms that random images settled and scales of either sign; lowered with 8-bit activations, and
the float network with 8-bit weights. Takes a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from qlight.data.rendering import render
from qlight.hardware.affine_fit import fit_thresholds
from qlight.hardware.layers import layers
from qlight.lowering import lower
from qlight.models import Classifier
from tests.models.networks import settled

NETWORKS = {**{f"w{bits}a32": bits for bits in range(1, 5)}, "float": 32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--width", type=float, default=1.0)
    options = parser.parse_args()
    for name in options.networks:
        torch.manual_seed(0)
        network = Classifier(network="cifar10", width=options.width, weight_bit_width=NETWORKS[name], activation_bit_width=32)
        settled(network)
        graph = lower(network, torch.from_numpy(render(1, 0, 4))).graph
        found = [(layer, layer.affine.missing) for layer in layers(graph) if layer.affine is not None]
        fitted = fit_thresholds(graph)
        without = ", ".join(f"{len(missing)} of {layer.outputs} in {layer.name}" for layer, missing in found if missing)
        total = sum(layer.outputs * layer.levels for layer, _ in found if layer.name in fitted.moved)
        print(f"{name}: channels without an affine form: {without or 'none'}")
        print(f"  {sum(fitted.moved.values()):,} of {total:,} {fitted.summary}", flush=True)


if __name__ == "__main__":
    main()
