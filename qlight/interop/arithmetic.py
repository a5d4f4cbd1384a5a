"""The floating-point arithmetic of a QONNX graph on numpy arrays, as onnxruntime and the qonnx package's executor do it.

Each function is monotone in its input, rounding included, so that a code's thresholds can be found by bisection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qlight.intgraph.nodes import Array


class Quantizer(Protocol):
    """Reals to codes 0, 1, ..., ``largest``; code a is worth (a + ``shift``) * ``scale``."""

    @property
    def scale(self) -> float: ...

    @property
    def shift(self) -> float: ...

    @property
    def largest(self) -> int: ...

    def codes(self, x: Array) -> Array:
        """int64 codes of reals P x channels."""
        ...


@dataclass(frozen=True)
class Step:
    """One elementwise operation; ``value`` is an array of channels, or empty.

    op: "Mul", "Div", "Add" (all with a value), "Relu", "float64" or "float32" (a Cast).
    """

    op: str
    value: Array

    def __call__(self, x: Array) -> Array:
        """P x channels -> P x channels, in the type of ``x``."""
        if self.op in ("float32", "float64"):
            return x.astype(self.op)
        if self.op == "Relu":
            return np.maximum(x, 0)
        value = self.value.astype(x.dtype)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return x * value if self.op == "Mul" else x / value if self.op == "Div" else x + value

    def taken(self, order: Array) -> Step:
        """The step for other channels: channel i becomes the one at ``order[i]``."""
        return self if not self.value.size else Step(self.op, self.value[order])


def batch_norm(weight: Array, bias: Array, mean: Array, variance: Array, epsilon: float) -> list[Step]:
    """BatchNormalization as onnxruntime does it in float32: x * a + b, a = 1 / sqrt(variance + epsilon) * weight, b = bias - mean * a."""
    with np.errstate(all="ignore"):
        factor = (np.float32(1) / np.sqrt(variance + np.float32(epsilon))) * weight
        return [Step("Mul", factor), Step("Add", bias - mean * factor)]


@dataclass(frozen=True)
class IntQuantizer:
    """QONNX's Quant of unsigned or two's complement integers: round(clamp(x / scale + zero)), worth (q - zero) * scale."""

    scale: float
    zero: float
    low: int
    high: int
    rounding: str

    @property
    def shift(self) -> float:
        return self.low - self.zero

    @property
    def largest(self) -> int:
        return self.high - self.low

    def codes(self, x: Array) -> Array:
        return quantized(x, np.array(self.scale), np.array(self.zero), self.low, self.high, self.rounding).astype(np.int64) - self.low


@dataclass(frozen=True)
class BinaryQuantizer:
    """BipolarQuant: x >= 0 is +scale (code 1), else -scale (code 0); as integers -1 and +1."""

    scale: float
    shift: float = -0.5
    largest: int = 1

    def codes(self, x: Array) -> Array:
        return (x >= 0).astype(np.int64)


@dataclass(frozen=True)
class CountQuantizer:
    """MultiThreshold: how many thresholds (channels x levels) are not above x; worth (count + shift) * scale."""

    thresholds: Array
    scale: float
    shift: float

    @property
    def largest(self) -> int:
        return self.thresholds.shape[1]

    def codes(self, x: Array) -> Array:
        return (x[:, :, None] >= self.thresholds).sum(-1)


def quantized(x: Array, scale: Array, zero: Array, low: int, high: int, rounding: str) -> Array:
    """The integers of Quant, in the type of ``x``."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        integers = x / scale.astype(x.dtype) + zero.astype(x.dtype)
    return ROUNDINGS[rounding](np.clip(integers, low, high))


#: QONNX's rounding modes
ROUNDINGS = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}
