"""Targets that take 8-bit pixels and give integers: what a device does, behind the face of a torch module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qlight.engines.packed import PackedEngine
from qlight.errors import InputError
from qlight.hardware.graphs import load_graph
from qlight.intgraph import Graph, logits
from qlight.intgraph.nodes import Array
from qlight.targets.cache import QueryCache
from qlight.targets.pixels import LEVELS, from_pixels, levels, to_pixels
from qlight.targets.target import Target

CACHE_BYTES = 64 << 20


class PixelTarget(Target):
    """A target that runs an integer graph on 8-bit pixels, wherever: give it what does.

    Images are rounded to u = round(255 x), half to even; those outside [0, 1], as SPSA's probes are, saturate. Logits are float32: those of
    `qlight.intgraph.logits`, rounded. Where rounding makes two logits equal that are not, the larger one is moved to the next float32, so
    that the predicted class is the specification's, always. There is no gradient: who asks for one gets an error, not zeros.

    Args:
        graph: says the shape of images, what accumulators are worth, and the content hash.
        query: uint8 N x H x W x C -> int32 N x classes, the accumulators of ``graph``; N may be 0. Called by several threads at once if the
            target is.
        budget: see `Target`.
        cache_bytes: memory for images asked before, which are not computed again; 0: none. A look takes about a microsecond an image.

    Raises:
        InputError: ``budget`` or ``cache_bytes`` is no whole number from 0.
    """

    kind = "pixels"
    input_levels = LEVELS

    def __init__(self, graph: Graph, query: Callable[[Array], Array], *, budget: int | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        super().__init__(budget)
        self.graph, self.query = graph, query
        self.cache = QueryCache(cache_bytes)
        self.graph_hash = graph.content_hash

    @property
    def label(self) -> str:
        """What the paper calls the network, as the graph's metadata say: w1a1, ...; "graph" where they do not."""
        return self.graph.metadata.get("precision", "graph")

    @property
    def metadata(self) -> dict[str, str]:
        """Where the graph says that it came from."""
        return dict(self.graph.metadata)

    def forward(self, images: Tensor) -> Tensor:
        pixels = to_pixels(images, self.graph.input.shape)
        self.counts.ask(len(pixels))
        found = torch.from_numpy(_as_float32(logits(self.graph, self._accumulators(pixels.cpu().numpy())))).to(images.device)
        if images.requires_grad and torch.is_grad_enabled():
            found = _NoGradient.apply(images, found, self.kind)
        return found

    def rounded(self, images: Tensor) -> Tensor:
        """The images that the target sees in place of ``images``: multiples of 1/255 in the same dtype, on the same device.

        Raises:
            InputError: they are not images for this target.
        """
        return from_pixels(to_pixels(images, self.graph.input.shape), images.dtype)

    def unaffected(self, images: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
        """True where setting one coordinate of an image to a value leaves its 8-bit pixel, and with it the logits, as they are.

        Args:
            images: n x C x H x W.
            coordinates: int64, n x k: positions in the flattened image.
            pixels: n x k, or n x s x k for s values at each coordinate.

        Returns:
            bool, of the shape of ``pixels``.
        """
        old = levels(images.flatten(1).gather(1, coordinates))
        return levels(pixels.to(images.dtype)) == (old[:, None] if pixels.dim() == 3 else old)

    def _accumulators(self, pixels: Array) -> Array:
        if self.cache.limit:
            found, computed = self.cache(pixels, self.query)
        else:
            found, computed = self.query(pixels), len(pixels)
        self.counts.compute(computed)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> PixelTarget:
        """A copy with counts and a cache of its own; the graph and what runs it do not change, and are shared."""
        memo |= {id(self.graph): self.graph, id(self.query): self.query}
        duplicate = type(self).__new__(type(self))
        memo[id(self)] = duplicate
        duplicate.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return duplicate

    def extra_repr(self) -> str:
        return f"graph={self.graph.content_hash[:12]}, queries={self.queries}, computed={self.computed}, budget={self.budget}"


class PackedTarget(PixelTarget):
    """An integer graph on the packed CPU engine.

    Args:
        graph: a graph, or the folder that `python -m qlight export` wrote: of a graph, or a build folder, which holds one.
        threads, backend: see `PackedEngine`.
        budget, cache_bytes: see `PixelTarget`.

    Raises:
        InputError: there is no graph in the folder, or it is damaged, or another argument is wrong.

    >>> from qlight.intgraph import GraphBuilder
    >>> builder = GraphBuilder((1, 2, 1))
    >>> builder.flatten("flat")
    >>> builder.linear("output", np.array([[1, -2], [3, 0]], np.int8), bits=3, encoding="signed")
    >>> target = PackedTarget(builder.build(np.ones(2), np.zeros(2)), threads=1, backend="numpy")
    >>> images = torch.tensor([[[[10 / 255, 1.0]]], [[[0.04, 1.0]]]])
    >>> target(images), target.queries, target.computed
    (tensor([[-500.,   30.],
            [-500.,   30.]]), 2, 1)
    """

    kind = "packed"

    def __init__(
        self,
        graph: Graph | str | Path,
        *,
        threads: int | None = None,
        backend: str = "auto",
        budget: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        graph = load_graph(graph, "target") if isinstance(graph, str | Path) else graph
        super().__init__(graph, PackedEngine(graph, threads, backend), budget=budget, cache_bytes=cache_bytes)


def _as_float32(values: Array) -> Array:
    """float64 logits as float32 with the same first largest class."""
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    wanted = values.argmax(1) if values.size else np.empty(len(values), np.int64)
    lost = np.flatnonzero(short.argmax(1) != wanted) if values.size else wanted[:0]
    short[lost, wanted[lost]] = np.nextafter(short[lost, wanted[lost]], np.float32(np.inf))
    return short


class GradientError(InputError, RuntimeError):
    """A gradient was asked of a target that has none. A RuntimeError as well, as torch raises where there is no derivative."""


class _NoGradient(torch.autograd.Function):
    """Logits that look as if they had a gradient, so that the error comes when one is asked for, and says what to do."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, found: Tensor, kind: str) -> Tensor:
        ctx.kind = kind
        return found.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        raise GradientError(
            f"Expected an attack that only queries, because a {ctx.kind} target has no gradient, but this one asked for it; use SPSA, ZOO, "
            "Square, OnePixel or Pixle, or let it craft on a torch network with `gradients_from` (an attack class of your own says so by "
            "`needs_gradients = True`)."
        )
