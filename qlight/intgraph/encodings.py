"""Codes as integers, and the ranges that follow from them: SPEC.md sections 2 and 3. All arithmetic of a graph is on these integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlight.intgraph.nodes import BIPOLAR, ODD, Array, Conv2d, Linear, TensorType

#: the largest accumulator; a device sends logits as int32
MAX_ACCUMULATOR_BITS = 32


@dataclass(frozen=True)
class Operand:
    """What a node reads: a tensor's type, and the smallest and the largest integer that an element can stand for."""

    type: TensorType
    low: int
    high: int


def code_range(encoding: str, bits: int) -> tuple[int, int]:
    """The smallest and largest integer that a code of an activation stands for.

    >>> code_range("unsigned", 2), code_range("bipolar", 1)
    ((0, 3), (-1, 1))
    """
    return (-1, 1) if encoding == BIPOLAR else (0, 2**bits - 1)


def weight_range(encoding: str, bits: int) -> tuple[int, int]:
    """The smallest and largest integer that a weight code stands for.

    >>> weight_range("odd", 2), weight_range("signed", 8)
    ((-3, 3), (-128, 127))
    """
    return (1 - 2**bits, 2**bits - 1) if encoding == ODD else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def weight_codes(encoding: str, bits: int) -> tuple[int, int]:
    """The smallest and largest weight code.

    >>> weight_codes("odd", 2), weight_codes("signed", 2)
    ((0, 3), (-2, 1))
    """
    return (0, 2**bits - 1) if encoding == ODD else weight_range(encoding, bits)


def accumulator_range(fan_in: int, weight: tuple[int, int], low: int, high: int) -> tuple[int, int]:
    """What a sum of ``fan_in`` products can reach, whatever the weights are: by the types alone.

    >>> accumulator_range(4, weight_range("odd", 2), 0, 255)
    (-3060, 3060)
    """
    products = [w * a for w in weight for a in (low, high)]
    return fan_in * min(products), fan_in * max(products)


def accumulator_bits(low: int, high: int) -> int:
    """The width of a two's complement integer that holds low - 1 to high + 1, so that thresholds outside of the range fit as well.

    >>> accumulator_bits(-3060, 3060), accumulator_bits(-6, 6), accumulator_bits(-7, 7)
    (13, 4, 5)
    """
    return 1 + max((-low).bit_length(), (high + 1).bit_length())


def activation_integers(codes: Array, encoding: str) -> Array:
    """int64: the integers that the codes of a tensor stand for; accumulators stand for themselves.

    >>> activation_integers(np.array([0, 1]), "bipolar")
    array([-1,  1])
    """
    codes = codes.astype(np.int64)
    return 2 * codes - 1 if encoding == BIPOLAR else codes


def weight_integers(node: Conv2d | Linear) -> Array:
    """int64: the integers that a layer's weight codes stand for, in the shape of ``node.weight``."""
    codes = node.weight.astype(np.int64)
    return 2 * codes - (2**node.weight_bits - 1) if node.weight_encoding == ODD else codes
