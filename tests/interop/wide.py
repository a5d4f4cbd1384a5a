"""A graph whose accumulators pass 2^24, where float32 has no longer all integers."""

from __future__ import annotations

import numpy as np

from qlight.intgraph import Graph, GraphBuilder


def wide_graph(encoding: str, seed: int = 0) -> Graph:
    """Layers of 8-bit weights, most of them the largest, on 8-bit codes.

    Thresholds lie among the sums that are reached, or are saturated. There are convolutions with padding, with another code as padding,
    with a pool before the threshold and with Flatten before it; and a dense layer.
    """
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((6, 6, 3))

    def weight(*shape: int) -> np.ndarray:
        low, high = (0, 256) if encoding == "odd" else (-128, 128)
        codes = np.where(rng.random(shape) < 0.9, high - 1, rng.integers(low, high, shape))
        return codes.astype(np.uint8 if encoding == "odd" else np.int8)

    def threshold(name: str, bits: int) -> None:
        operand = builder.operand
        low, high, channels = operand.low, operand.high + 1, operand.type.channels
        levels = rng.normal(0.6 * high, 0.2 * high, (channels, 2**bits - 1)).clip(low, high).astype(np.int64)
        levels[:, 0], levels[:, -1] = low, high
        levels = np.sort(levels, axis=1)
        direction = rng.choice([-1, 1], channels)
        ordered = np.where(direction[:, None] > 0, levels, levels[:, ::-1] - 1)
        builder.threshold(name, ordered.astype(np.int32), direction.astype(np.int8), bits=bits)

    settings = {"bits": 8, "encoding": encoding}
    builder.conv2d("conv0", weight(70, 3, 3, 3), padding=(1, 1, 1, 1), **settings)
    threshold("act0", 8)
    builder.conv2d("conv1", weight(70, 3, 3, 70), padding=(1, 1, 1, 1), pad_code=3, **settings)
    builder.max_pool("pool1")
    threshold("act1", 8)
    builder.conv2d("conv2", weight(70, 3, 3, 70), padding=(1, 1, 1, 1), **settings)
    builder.flatten("flat")
    threshold("act2", 8)
    builder.linear("dense", weight(40, builder.operand.type.channels), **settings)
    threshold("denseact", 4)
    builder.linear("output", weight(10, 40), **settings)
    return builder.build(np.linspace(0.1, 1, 10), np.linspace(-1, 1, 10), {"network": "wide"})
