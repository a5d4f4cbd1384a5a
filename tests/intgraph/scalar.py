"""A second executor, written from SPEC.md with Python integers and loops only: it shares no code with the first."""

from __future__ import annotations

import itertools
from typing import Any

from qlight.intgraph import Conv2d, Flatten, Graph, Linear, MaxPool, Threshold

Place = tuple[int, ...]


def run(graph: Graph, image: Any) -> dict[str, dict[Place, int]]:
    """Every tensor as a dict from (y, x, c) or (f,) to its stored integer, for one image, H x W x C."""
    pixels = {place: int(image[place]) for place in itertools.product(*map(range, graph.tensors[0].shape))}
    found = {graph.tensors[0].name: pixels}
    for node, source, target in zip(graph.nodes, graph.tensors, graph.tensors[1:], strict=False):
        bipolar = source.encoding == "bipolar"
        found[target.name] = _node(node, source.shape, target.shape, found[node.input], bipolar)
    return found


def _node(node: Any, source: Place, target: Place, stored: dict[Place, int], bipolar: bool) -> dict[Place, int]:
    def integer(code: int) -> int:
        return (-1, 1)[code] if bipolar else code

    def weight(place: Place) -> int:
        code = int(node.weight[place])
        return 2 * code - (2**node.weight_bits - 1) if node.weight_encoding == "odd" else code

    made: dict[Place, int] = {}
    if isinstance(node, Conv2d):
        for y, x, o in itertools.product(*map(range, target)):
            total = 0
            for i, j, c in itertools.product(range(node.kernel[0]), range(node.kernel[1]), range(source[2])):
                row, column = y * node.stride[0] + i - node.padding[0], x * node.stride[1] + j - node.padding[2]
                inside = 0 <= row < source[0] and 0 <= column < source[1]
                total += weight((o, i, j, c)) * integer(stored[row, column, c] if inside else node.pad_code)
            made[y, x, o] = total
    elif isinstance(node, Linear):
        for o in range(target[0]):
            made[(o,)] = sum(weight((o, f)) * integer(stored[(f,)]) for f in range(source[0]))
    elif isinstance(node, MaxPool):
        for y, x, c in itertools.product(*map(range, target)):
            rows = range(y * node.stride[0], y * node.stride[0] + node.kernel[0])
            columns = range(x * node.stride[1], x * node.stride[1] + node.kernel[1])
            made[y, x, c] = max(stored[row, column, c] for row in rows for column in columns)
    elif isinstance(node, Threshold):
        for place, total in stored.items():
            levels = [int(level) for level in node.thresholds[place[-1]]]
            made[place] = sum(total >= level if node.direction[place[-1]] == 1 else total <= level for level in levels)
    else:
        assert isinstance(node, Flatten)
        for (y, x, c), code in stored.items():
            made[((y * source[1] + x) * source[2] + c,)] = code
    return made
