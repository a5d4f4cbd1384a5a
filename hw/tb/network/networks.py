"""The networks that the accelerators under test run: the five of the paper at an eighth of its width, and small ones for other folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from hw.tb.network.small import SMALL, small_graph, small_images
from qlight.intgraph import Graph
from tests.engines.networks import network_graph

__all__ = ["FAST", "NETWORKS", "Network"]


@dataclass(frozen=True)
class Network:
    """A network and how it is folded.

    Attributes:
        name: of what.
        graph: of a seed; graphs of any seed have one geometry.
        images: uint8, N x H x W x C, of an input shape.
        folding: as `make_pipeline` takes it, or None: chosen for `target_cycles`, or as by default.
    """

    name: str
    graph: Callable[[int], Graph]
    images: Callable[[tuple[int, ...]], np.ndarray]
    folding: Mapping[str, Any] | None = None
    target_cycles: int | None = None


def digits(shape: tuple[int, ...]) -> np.ndarray:
    """Two rendered digits and an image of noise."""
    from qlight.data.rendering import render  # needs torch, which simulations do without

    noise = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)
    return np.concatenate([render(0, 1, 2), noise])


@cache
def deployed(weights: int, activations: int, seed: int) -> Graph:
    """A network of torch with settled batch norms, lowered: float activations become 8-bit codes."""
    import torch

    from qlight.data.rendering import render
    from qlight.lowering import lower
    from tests.models.networks import classifier

    return lower(classifier(weights, activations, seed=seed, network="cifar10"), torch.from_numpy(render(1, 0, 8))).graph


def _of_the_paper(weights: int, activations: int, seed: int) -> Graph:
    return network_graph(weights, activations, thresholds="ties", seed=seed)


#: name of a simulation -> the networks whose accelerators are its cases
NETWORKS: dict[str, list[Network]] = {
    "w1a1": [Network("w1a1", partial(_of_the_paper, 1, 1), digits, target_cycles=9216)],
    "w2a2": [Network("w2a2", partial(_of_the_paper, 2, 2), digits)],
    "w3a3": [Network("w3a3", partial(_of_the_paper, 3, 3), digits, target_cycles=9216)],
    "w4a4": [Network("w4a4", partial(_of_the_paper, 4, 4), digits, target_cycles=12288)],
    "w2a32": [Network("w2a32", partial(deployed, 2, 32), digits, target_cycles=9216)],
    "small": [Network(name, partial(small_graph, shape), small_images, shape.folding) for name, shape in SMALL.items()],
}
#: those that are not too slow to run all the time
FAST = ("w1a1",)
