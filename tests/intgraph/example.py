"""The worked example of SPEC.md section 8."""

from __future__ import annotations

import numpy as np

from qlight.intgraph import Graph, GraphBuilder

PIXELS = np.array([[[[10], [200]], [[255], [0]]]], np.uint8)


def worked_example() -> Graph:
    builder = GraphBuilder((2, 2, 1))
    codes = np.array([[[3, 0], [1, 2]], [[0, 1], [2, 3]]], np.uint8)[..., None]
    builder.conv2d("conv", codes, bits=2, encoding="odd", padding=(1, 0, 1, 0))
    builder.max_pool("pool")
    thresholds = np.array([[100, 225, 3061], [3060, 754, 0]], np.int32)
    builder.threshold("act", thresholds, np.array([1, -1], np.int8), bits=2)
    builder.flatten("flat")
    builder.linear("output", np.array([[5, -7], [-128, 127]], np.int8), bits=8, encoding="signed")
    return builder.build(np.array([0.5, 0.25]), np.array([1.0, 40.0]), {"network": "worked example"})
