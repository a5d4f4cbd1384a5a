"""Random valid integer graphs and images for them, for the tests of every engine.

@given(st.data())
def test_my_engine(data):
    graph = data.draw(graphs())
    images = data.draw(image_batches(graph))
    assert (my_engine(graph, images) == execute(graph, images)).all()
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from qlight.intgraph import Graph, GraphBuilder

Draw = st.DrawFn
WEIGHTS = ("odd", "signed")
ACTIVATIONS = ("unsigned", "bipolar")


@st.composite
def graphs(
    draw: Draw,
    *,
    max_side: int = 7,
    max_channels: int = 5,
    max_blocks: int = 2,
    max_bits: int = 8,
    weights: Sequence[str] = WEIGHTS,
    activations: Sequence[str] = ACTIVATIONS,
    code_pools: bool = True,
    same_padding: bool = False,
) -> Graph:
    """A valid graph: convolution blocks, Flatten, dense blocks, an output layer.

    Args:
        max_side: of the image.
        max_channels: of hidden layers; also the most classes.
        max_blocks: of convolution blocks, and of dense blocks.
        max_bits: of weights and activations.
        weights, activations: the encodings to draw from.
        code_pools: also pool codes, and flatten accumulators before their threshold; the paper's networks do neither.
        same_padding: only convolutions as in the paper: odd square kernels, stride 1, output as large as the input.
    """
    shape = (draw(st.integers(1, max_side)), draw(st.integers(1, max_side)), draw(st.integers(1, 3)))
    builder = GraphBuilder(shape)
    count = draw(st.integers(0, max_blocks))
    late = code_pools and count > 0 and draw(st.booleans())  # the last convolution's threshold comes after Flatten
    for block in range(count):
        _convolution(draw, builder, f"conv{block}", max_channels, max_bits, weights, same_padding)
        if draw(st.booleans()):
            _pool(draw, builder, f"pool{block}")
        if late and block == count - 1:
            break
        _threshold(draw, builder, f"act{block}", max_bits, activations)
        if code_pools and draw(st.integers(0, 3)) == 0:
            _pool(draw, builder, f"codepool{block}")
    builder.flatten("flat")
    if late:
        _threshold(draw, builder, "late", max_bits, activations)
    for block in range(draw(st.integers(0, max_blocks))):
        _linear(draw, builder, f"dense{block}", max_channels, max_bits, weights)
        _threshold(draw, builder, f"denseact{block}", max_bits, activations)
    _linear(draw, builder, "output", max_channels, max_bits, weights)
    classes = builder.operand.type.channels
    rng = _rng(draw)
    return builder.build(2.0 ** rng.uniform(-20, 4, classes), rng.normal(size=classes), {"network": "random"})


@st.composite
def image_batches(draw: Draw, graph: Graph, max_images: int = 3) -> np.ndarray:
    """uint8, N x H x W x C: all 0, all 255, both, or any pixels."""
    shape = (draw(st.integers(1, max_images)), *graph.input.shape)
    kind = draw(st.sampled_from(("random", "black", "white", "extreme")))
    rng = _rng(draw)
    if kind == "random":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "extreme":
        return rng.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)
    return np.full(shape, 0 if kind == "black" else 255, np.uint8)


def _rng(draw: Draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def _codes(draw: Draw, shape: tuple[int, ...], max_bits: int, encodings: Sequence[str]) -> tuple[np.ndarray, int, str]:
    """Weight codes, their bits and their encoding; sometimes all at one end of the range, for the widest accumulators."""
    encoding = draw(st.sampled_from([each for each in encodings if each == "odd" or max_bits > 1]))
    bits = draw(st.integers(1 if encoding == "odd" else 2, max_bits))
    low, high = (0, 2**bits - 1) if encoding == "odd" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    kind = draw(st.sampled_from(("random", "random", "low", "high", "ends")))
    codes = _rng(draw).integers(low, high + 1, shape)
    if kind == "ends":
        codes = np.where(codes > (low + high) / 2, high, low)
    elif kind != "random":
        codes = np.full(shape, low if kind == "low" else high)
    return codes.astype(np.uint8 if encoding == "odd" else np.int8), bits, encoding


def _scale(draw: Draw, size: int) -> np.ndarray | None:
    return 2.0 ** _rng(draw).uniform(-8, 0, size) if draw(st.booleans()) else None


def _convolution(
    draw: Draw, builder: GraphBuilder, name: str, max_channels: int, max_bits: int, weights: Sequence[str], same_padding: bool
) -> None:
    source = builder.operand.type
    height, width, channels = source.shape
    if same_padding:
        side = draw(st.sampled_from((1, 3)))
        kernel, stride, padding = (side, side), (1, 1), (side // 2, side // 2, side // 2, side // 2)
    else:
        tall, wide = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        top, bottom = draw(st.integers(max(0, tall - height), tall - 1)), draw(st.integers(0, tall - 1))
        left, right = draw(st.integers(max(0, wide - width), wide - 1)), draw(st.integers(0, wide - 1))
        kernel, padding = (tall, wide), (top, bottom, left, right)
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    outputs = draw(st.integers(1, max_channels))
    codes, bits, encoding = _codes(draw, (outputs, *kernel, channels), max_bits, weights)
    pad_code = draw(st.sampled_from((0, 0, 2**source.bits - 1, draw(st.integers(0, 2**source.bits - 1)))))
    scale = _scale(draw, outputs)
    builder.conv2d(name, codes, bits=bits, encoding=encoding, stride=stride, padding=padding, pad_code=pad_code, weight_scale=scale)


def _linear(draw: Draw, builder: GraphBuilder, name: str, max_channels: int, max_bits: int, weights: Sequence[str]) -> None:
    outputs = draw(st.integers(1, max_channels))
    codes, bits, encoding = _codes(draw, (outputs, builder.operand.type.channels), max_bits, weights)
    builder.linear(name, codes, bits=bits, encoding=encoding, weight_scale=_scale(draw, outputs))


def _pool(draw: Draw, builder: GraphBuilder, name: str) -> None:
    height, width, _ = builder.operand.type.shape
    kernel = (draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width))))
    stride = kernel if draw(st.booleans()) else (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    builder.max_pool(name, kernel, stride)


def _threshold(draw: Draw, builder: GraphBuilder, name: str, max_bits: int, activations: Sequence[str]) -> None:
    """Thresholds anywhere in the range, close to 0 (where accumulators are), all equal, or saturated, in both directions."""
    operand = builder.operand
    encoding = draw(st.sampled_from(activations))
    bits = 1 if encoding == "bipolar" else draw(st.integers(1, max_bits))
    shape = (operand.type.channels, 2**bits - 1)
    low, high = operand.low, operand.high + 1
    rng = _rng(draw)
    kind = draw(st.sampled_from(("near", "near", "spread", "equal", "saturated")))
    if kind == "saturated":
        thresholds = rng.choice([low, high], shape)
    elif kind == "near":
        reach = (high - low) ** rng.uniform(0, 1)
        thresholds = np.clip(rng.normal(0, reach, shape).round(), low, high).astype(np.int64)
    else:
        thresholds = rng.integers(low, high + 1, shape if kind == "spread" else (shape[0], 1)) + np.zeros(shape, np.int64)
    direction = rng.choice([-1, 1], shape[0])
    ascending = np.sort(thresholds, axis=1)
    ordered = np.where(direction[:, None] > 0, ascending, ascending[:, ::-1] - 1)
    scale = _scale(draw, 1)
    builder.threshold(name, ordered.astype(np.int32), direction.astype(np.int8), bits=bits, encoding=encoding, output_scale=scale)
