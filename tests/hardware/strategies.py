"""Random graphs that the hardware runs, and random legal foldings."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from qlight.hardware.dram import PORT_BITS
from qlight.hardware.folding import AFFINE, AUTO, STREAMED, THRESHOLDS, Fold, Folding, divisors
from qlight.hardware.layers import Layer, layers
from qlight.intgraph import Graph, GraphBuilder
from tests.hardware.affine import affine_graph
from tests.intgraph.strategies import ACTIVATIONS, WEIGHTS, _codes, _linear, _threshold

Draw = st.DrawFn


@st.composite
def supported_graphs(draw: Draw, *, max_side: int = 7, max_channels: int = 6, max_blocks: int = 2, max_bits: int = 8) -> Graph:
    """A graph that the cells run: convolutions of stride 1 with any padding, pools of 2 x 2 before or after thresholds, dense layers.

    Of half of the graphs all thresholds are affine functions of the accumulator.
    """
    height, width = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    channels = draw(st.sampled_from([c for c in (1, 2, 3, 4) if height * width * c % 4 == 0]))
    builder = GraphBuilder((height, width, channels))
    for block in range(draw(st.integers(0, max_blocks))):
        _stride_one(draw, builder, f"conv{block}", max_channels, max_bits)
        if min(builder.operand.type.shape[:2]) > 1 and draw(st.booleans()):
            builder.max_pool(f"pool{block}")
        _threshold(draw, builder, f"act{block}", max_bits, ACTIVATIONS)
        if min(builder.operand.type.shape[:2]) > 1 and draw(st.integers(0, 3)) == 0:
            builder.max_pool(f"codepool{block}")
    builder.flatten("flat")
    for block in range(draw(st.integers(0, max_blocks))):
        _linear(draw, builder, f"dense{block}", max_channels, max_bits, WEIGHTS)
        _threshold(draw, builder, f"denseact{block}", max_bits, ACTIVATIONS)
    _linear(draw, builder, "output", max_channels, max_bits, WEIGHTS)
    classes = builder.operand.type.channels
    graph = builder.build(np.ones(classes), np.zeros(classes))
    return affine_graph(graph, draw(st.integers(0, 9))) if draw(st.booleans()) else graph


@st.composite
def foldings(draw: Draw, graph: Graph, *, streamed: bool = False) -> Folding:
    """Any legal folding of a graph; with all weights on chip, or some or all from DRAM; affine functions where they can be."""

    def fold(layer: Layer) -> Fold:
        pe, simd = draw(st.sampled_from(divisors(layer.outputs))), draw(st.sampled_from(divisors(layer.inputs)))
        fitting = layer.affine is not None and not layer.affine.missing
        how = draw(st.sampled_from([AUTO, THRESHOLDS, AFFINE])) if fitting else AUTO
        if streamed and draw(st.integers(0, 2)):
            return Fold(pe, simd, STREAMED, port_bits=draw(st.sampled_from(PORT_BITS)), requantize=how)
        return Fold(pe, simd, requantize=how)

    return {layer.name: fold(layer) for layer in layers(graph)}


def _stride_one(draw: Draw, builder: GraphBuilder, name: str, max_channels: int, max_bits: int) -> None:
    source = builder.operand.type
    height, width, channels = source.shape
    kernel = draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width)))
    top, bottom, left, right = (draw(st.integers(0, size - 1)) for size in (kernel[0], kernel[0], kernel[1], kernel[1]))
    codes, bits, encoding = _codes(draw, (draw(st.integers(1, max_channels)), *kernel, channels), max_bits, WEIGHTS)
    pad_code = draw(st.integers(0, 2**source.bits - 1))
    builder.conv2d(name, codes, bits=bits, encoding=encoding, padding=(top, bottom, left, right), pad_code=pad_code)


def random_graph(seed: int, side: int = 8, channels: int = 8, bits: int = 2, pool: bool = True) -> Graph:
    """Two convolutions of ``channels`` on ``side`` x ``side`` pixels of 4 channels, a pool, a dense layer of 5 classes."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((side, side, 4))
    encoding = "bipolar" if bits == 1 else "unsigned"
    for index in range(2):
        signed = index == 0
        shape = (channels, 3, 3, builder.operand.type.channels)
        weight = rng.integers(-128, 128, shape).astype(np.int8) if signed else rng.integers(0, 2**bits, shape).astype(np.uint8)
        builder.conv2d(f"conv{index}", weight, bits=8 if signed else bits, encoding="signed" if signed else "odd", padding=(1, 1, 1, 1))
        if index and pool:
            builder.max_pool("pool")
        reach = math.sqrt(math.prod(shape[1:])) * (2e4 if signed else 4**bits / 3)
        levels = np.sort(rng.normal(0, reach, (channels, 2**bits - 1)).round().astype(np.int32), axis=1)
        levels = levels.clip(builder.operand.low, builder.operand.high)
        direction = rng.choice([-1, 1], channels).astype(np.int8)
        levels = np.where(direction[:, None] > 0, levels, levels[:, ::-1])
        builder.threshold(f"act{index}", levels, direction, bits=bits, encoding=encoding)
    builder.flatten("flat")
    builder.linear("output", rng.integers(-128, 128, (5, builder.operand.type.channels)).astype(np.int8), bits=8, encoding="signed")
    return builder.build(np.ones(5), np.zeros(5), {"network": "random"})


def random_images(seed: int, graph: Graph, count: int) -> np.ndarray:
    """uint8, count x the graph's input."""
    return np.random.default_rng(seed).integers(0, 256, (count, *graph.input.shape), dtype=np.uint8)
