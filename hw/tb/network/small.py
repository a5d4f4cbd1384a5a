"""Small networks, each of which folds, pads, pools or converts in a way that the paper's networks do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qlight.intgraph import Graph, GraphBuilder
from tests.hardware.affine import affine_graph

__all__ = ["SMALL", "Conv", "Dense", "Shape", "small_graph", "small_images"]


@dataclass(frozen=True)
class Dense:
    """A dense layer: outputs; bits of its weights, odd, or signed where negative; bits of its codes, 0 for bipolar."""

    outputs: int
    weights: int
    codes: int = 0


@dataclass(frozen=True)
class Conv(Dense):
    """A convolution; `pool` is "" for none, "before" or "after" the thresholds."""

    kernel: tuple[int, int] = (3, 3)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    pad_code: int = 0
    pool: str = ""


@dataclass(frozen=True)
class Shape:
    """Input height, width and channels; layers, the last of which is dense and has no thresholds; and of each, at least PE and SIMD of its
    PE, SIMD, "multiply", "weights", "port_bits" and "requantize"; whether thresholds are affine functions of the accumulator."""

    image: tuple[int, int, int]
    layers: tuple[Dense, ...]
    folds: tuple[tuple[int | str, ...], ...]
    affine: bool = False

    @property
    def folding(self) -> Mapping[str, Mapping[str, int | str]]:
        """By the names of `small_graph`."""
        names = ("pe", "simd", "multiply", "weights", "port_bits", "requantize")
        return {f"layer{index}": dict(zip(names, fold, strict=False)) for index, fold in enumerate(self.folds)}


def small_graph(shape: Shape, seed: int) -> Graph:
    """Random weights, thresholds about as far apart as sums spread, directions of both signs."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder(shape.image)
    for index, layer in enumerate(shape.layers):
        name, bits = f"layer{index}", abs(layer.weights)
        if not isinstance(layer, Conv) and len(builder.operand.type.shape) == 3:
            builder.flatten(f"flat{index}")
        source = builder.operand
        size = (*layer.kernel, source.type.channels) if isinstance(layer, Conv) else (source.type.channels,)
        low = -(1 << (bits - 1)) if layer.weights < 0 else 0
        weight = rng.integers(low, low + (1 << bits), (layer.outputs, *size)).astype(np.int8 if layer.weights < 0 else np.uint8)
        encoding = "signed" if layer.weights < 0 else "odd"
        if isinstance(layer, Conv):
            builder.conv2d(name, weight, bits=bits, encoding=encoding, padding=layer.padding, pad_code=layer.pad_code)
        else:
            builder.linear(name, weight, bits=bits, encoding=encoding)
        if index == len(shape.layers) - 1:
            break
        pool = layer.pool if isinstance(layer, Conv) else ""
        if pool == "before":
            builder.max_pool(f"pool{index}")
        largest = (1 << bits) / 2 * (1 if layer.weights < 0 else 2)
        _threshold(builder, rng, f"act{index}", layer.codes, np.prod(size) ** 0.5 * largest * source.high / 2)
        if pool == "after":
            builder.max_pool(f"pool{index}")
    classes = builder.operand.type.channels
    graph = builder.build(np.ones(classes), np.zeros(classes))
    return affine_graph(graph, seed) if shape.affine else graph


def _threshold(builder: GraphBuilder, rng: np.random.Generator, name: str, codes: int, spread: float) -> None:
    bits, channels = codes or 1, builder.operand.type.channels
    levels = np.sort(rng.normal(0, spread, (channels, 2**bits - 1)).round(), axis=1)
    levels = levels.clip(builder.operand.low, builder.operand.high).astype(np.int32)
    direction = rng.choice([-1, 1], channels).astype(np.int8)
    levels = np.where(direction[:, None] > 0, levels, levels[:, ::-1])
    builder.threshold(name, levels, direction, bits=bits, encoding="unsigned" if codes else "bipolar")


def small_images(shape: tuple[int, ...]) -> np.ndarray:
    """Four images: noise, all 255, noise, a gradient."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
    images[1] = 255
    images[3] = np.linspace(0, 255, images[3].size).reshape(shape).astype(np.uint8)
    return images


SMALL = {
    "xnor": Shape(
        (8, 8, 4),
        (Conv(6, -8, pool="before"), Conv(8, 1, pad_code=1), Dense(12, 1), Dense(5, 1)),
        ((3, 6), (8, 6), (12, 32), (5, 12)),
    ),
    "planes": Shape(
        (6, 6, 2),
        (
            Conv(4, -8, 2, kernel=(1, 3), padding=(0, 0, 0, 0)),
            Conv(6, 1, 2, kernel=(3, 1), padding=(2, 0, 0, 0), pad_code=3, pool="after"),
            Dense(4, 2, 2),
            Dense(4, 2),
        ),
        ((2, 3), (3, 4), (4, 18), (2, 4)),
    ),
    "packed": Shape(
        (7, 5, 4),
        (
            Conv(8, -8, 3, kernel=(2, 2), padding=(1, 0, 0, 1), pool="before"),
            Conv(6, 3, 4, kernel=(3, 2), padding=(1, 1, 0, 0), pad_code=5),
            Dense(9, 4, 3),
            Dense(6, 4),
        ),
        ((4, 1), (3, 4), (9, 9), (3, 9)),
    ),
    "four": Shape((4, 4, 4), (Conv(6, -8, 4), Conv(8, 4, 3, pool="after"), Dense(5, 3)), ((2, 9, "dsp"), (8, 6, "dsp4"), (5, 4, "dsp4"))),
    "streamed": Shape(
        (6, 6, 2),
        (
            Conv(4, -8, 2),
            Conv(8, 2, 3, kernel=(2, 3), padding=(1, 0, 1, 1), pad_code=2, pool="before"),
            Conv(6, 1, 2, kernel=(1, 1), padding=(0, 0, 0, 0)),
            Dense(12, 2, 2),
            Dense(5, -8),
        ),
        (
            *((2, 6, "auto", "streamed", 128), (2, 4, "auto", "streamed"), (6, 4, "auto", "streamed", 32), (3, 9, "auto", "streamed")),
            (5, 4, "auto", "streamed", 32),
        ),
    ),
    "affine": Shape(
        (6, 6, 2),
        (Conv(4, -8, 8), Conv(6, 2, 5, pool="before"), Dense(12, 2, 3), Dense(5, -8)),
        ((4, 18), (3, 12), (6, 27, "auto", "resident", 64, "affine"), (5, 4)),
        affine=True,
    ),
    "affine streamed": Shape(
        (6, 6, 2),
        (Conv(4, -8, 8), Conv(8, 2, 6, pool="after"), Dense(12, 2, 5), Dense(5, -8)),
        ((2, 6, "auto", "streamed", 128), (2, 36, "auto", "streamed"), (3, 9, "auto", "streamed"), (5, 4)),
        affine=True,
    ),
    "dense": Shape((2, 2, 3), (Dense(10, -8), Dense(6, 3), Dense(3, -8)), ((5, 12), (1, 5), (3, 2))),
    "eight bits": Shape(
        (4, 8, 1),
        (
            Conv(4, -8, 8, kernel=(4, 4), padding=(1, 2, 2, 1)),
            Conv(3, 2, 8, padding=(2, 2, 2, 2), pad_code=255, pool="after"),
            Dense(7, 2, 4),
            Dense(2, -8),
        ),
        ((1, 8), (1, 6), (7, 5), (1, 7)),
    ),
    "pixelwise": Shape(
        (4, 4, 4),
        (Conv(6, -8, 1, kernel=(1, 1), padding=(0, 0, 0, 0)), Conv(8, 1, 1, pool="before"), Dense(5, 4)),
        ((6, 4), (2, 27), (5, 2)),
    ),
}
