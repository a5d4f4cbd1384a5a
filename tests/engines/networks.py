"""Integer graphs with random weights: the paper's network with thresholds of several kinds, and one that waits for its weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from qlight.intgraph import Graph, GraphBuilder

#: thresholds of batch norms, the same with some moved by one as rounding would, anywhere, and all at the ends of the range
THRESHOLDS = ("lines", "ties", "random", "saturated")


def network_graph(
    weight_bits: int,
    activation_bits: int,
    *,
    weights: str = "odd",
    thresholds: str = "lines",
    width: float = 0.125,
    side: int = 32,
    seed: int = 0,
) -> Graph:
    """The CIFAR10 network: six 3x3 convolutions, every second one pooled, two dense blocks and an output layer.

    Args:
        weight_bits, activation_bits: of the inner layers; 1 and 1 make bipolar activations. The boundary layers have 8-bit weights.
        weights: encoding of the inner layers' weights.
        thresholds: one of `THRESHOLDS`.
        width: multiplier of the channels.
        side: of the images, a multiple of 8.
        seed: of weights and thresholds.
    """
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((side, side, 3))

    def codes(shape: tuple[int, ...], bits: int, encoding: str) -> np.ndarray:
        if encoding == "odd":
            return rng.integers(0, 2**bits, shape).astype(np.uint8)
        return rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape).astype(np.int8)

    def threshold(name: str, fan_in: int, bits: int, largest: int) -> None:
        levels, direction = _levels(rng, builder, thresholds, 2**activation_bits - 1, fan_in**0.5 * 2**bits * largest / 2)
        encoding = "bipolar" if weight_bits == activation_bits == 1 else "unsigned"
        builder.threshold(name, levels, direction, bits=activation_bits, encoding=encoding)

    for index, wanted in enumerate((128, 128, 256, 256, 512, 512)):
        inputs, largest = builder.operand.type.channels, builder.operand.high
        bits, encoding = (8, "signed") if index == 0 else (weight_bits, weights)
        shape = (int(wanted * width), 3, 3, inputs)
        builder.conv2d(f"conv{index}", codes(shape, bits, encoding), bits=bits, encoding=encoding, padding=(1, 1, 1, 1))
        if index % 2:
            builder.max_pool(f"pool{index}")
        threshold(f"act{index}", 9 * inputs, bits, largest)
    builder.flatten("flat")
    for index in range(2):
        inputs, largest = builder.operand.type.channels, builder.operand.high
        shape = (int(1024 * width), inputs)
        builder.linear(f"dense{index}", codes(shape, weight_bits, weights), bits=weight_bits, encoding=weights)
        threshold(f"denseact{index}", inputs, weight_bits, largest)
    builder.linear("output", codes((10, builder.operand.type.channels), 8, "signed"), bits=8, encoding="signed")
    return builder.build(np.ones(10), np.zeros(10))


def starved_network() -> tuple[Graph, dict[str, Any]]:
    """A dense layer whose rows come from DRAM more slowly than they could be used, and its folding: 1152 bits, 32 a cycle."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder((2, 2, 4))
    builder.flatten("flat")
    builder.linear("dense", rng.integers(0, 8, (24, 16)).astype(np.uint8), bits=3, encoding="odd")
    builder.threshold("act", np.zeros((24, 1), np.int32), np.ones(24, np.int8), bits=1)
    builder.linear("output", rng.integers(-128, 128, (3, 24)).astype(np.int8), bits=8, encoding="signed")
    folding = {"dense": {"pe": 8, "simd": 16, "weights": "streamed", "port_bits": 32}, "output": (1, 24)}
    return builder.build(np.ones(3), np.zeros(3)), folding


def _levels(rng: np.random.Generator, builder: GraphBuilder, kind: str, count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    operand = builder.operand
    outputs, low, high = operand.type.channels, operand.low, operand.high + 1
    direction = rng.choice([-1, 1], outputs)
    if kind == "saturated":
        levels = np.sort(rng.choice([low, high], (outputs, count)), axis=1)
    elif kind == "random":
        levels = np.sort(rng.normal(0, spread, (outputs, count)).round(), axis=1)
    else:
        step = rng.uniform(0.01, 2, (outputs, 1)) * spread / count
        levels = np.ceil(rng.normal(0, spread, (outputs, 1)) - step * count / 2 + step * np.arange(count))
        if kind == "ties":
            levels = np.sort(levels - (rng.random(levels.shape) < 0.02), axis=1)
    levels = levels.clip(low, high).astype(np.int64)
    ordered = np.where(direction[:, None] > 0, levels, levels[:, ::-1] - 1)
    return ordered.astype(np.int32), direction.astype(np.int8)
