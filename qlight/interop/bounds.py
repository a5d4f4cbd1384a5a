"""What sums a layer can really reach with the weights at hand, for formats whose numbers have 24 bits."""

from __future__ import annotations

import numpy as np

from qlight.intgraph import Operand, weight_integers
from qlight.intgraph.nodes import Conv2d, Linear

#: float32 holds every integer of a smaller magnitude, so sums in any order are exact below it
FLOAT32_INTEGERS = 2**24


def largest_partial_sum(node: Conv2d | Linear, operand: Operand) -> int:
    """The largest magnitude that any partial sum of any output channel, in any order of summation, can reach.

    SPEC.md's ranges are proven from types. Here the weights are known: only inputs of one sign can add up.

    Args:
        operand: what ``node`` reads.

    >>> from qlight.intgraph import GraphBuilder
    >>> builder = GraphBuilder((1, 1, 2))
    >>> builder.flatten("flat")
    >>> flat = builder.operand
    >>> builder.linear("output", np.array([[3, -4]], np.int8), bits=8, encoding="signed")
    >>> graph = builder.build(np.ones(1), np.zeros(1))
    >>> largest_partial_sum(graph.nodes[-1], flat), builder.operand.low
    (1020, -65280)
    """
    integers = weight_integers(node).reshape(len(node.weight), -1)
    products = np.stack([integers * operand.low, integers * operand.high])
    above = np.maximum(products.max(0), 0).sum(1)
    below = np.minimum(products.min(0), 0).sum(1)
    return int(max(above.max(), -below.min()))


def exact_in_float32(node: Conv2d | Linear, operand: Operand) -> bool:
    """Whether float32 arithmetic gives the accumulators of ``node`` exactly, whatever the order of its sums."""
    return largest_partial_sum(node, operand) < FLOAT32_INTEGERS
