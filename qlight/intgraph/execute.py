"""The reference executor: SPEC.md section 5 to the letter, in int64. Every other engine must give the same integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qlight.errors import InputError
from qlight.intgraph.encodings import activation_integers, weight_integers
from qlight.intgraph.graph import Graph
from qlight.intgraph.nodes import Array, Conv2d, Flatten, Linear, MaxPool, Node, TensorType, Threshold

#: images at a time: bounds the memory of `execute`, and keeps it in cache
BLOCK = 8


def execute(graph: Graph, images: Array) -> Array:
    """The accumulators of the logits.

    Args:
        images: uint8, N x H x W x C.

    Returns:
        int32, N x classes.

    Raises:
        InputError: ``images`` are not pixels of the graph's input shape.
    """
    check_images(graph, images)
    found = np.empty((len(images), *graph.output.shape), np.int32)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK].astype(np.int64)
        for node, source in zip(graph.nodes, graph.tensors, strict=False):
            block = run_node(node, source, block)
        found[start : start + BLOCK] = block
    return found


def trace(graph: Graph, images: Array) -> dict[str, Array]:
    """Every tensor of the graph by name, N x its shape: codes as uint8, accumulators as int32. All are held in memory at once.

    Raises:
        InputError: ``images`` are not pixels of the graph's input shape.
    """
    check_images(graph, images)
    found = {graph.input.name: images.copy()}
    for node, source, target in zip(graph.nodes, graph.tensors, graph.tensors[1:], strict=False):
        stored = np.int32 if target.signed else np.uint8
        found[target.name] = run_node(node, source, found[source.name].astype(np.int64)).astype(stored)
    return found


def logits(graph: Graph, accumulators: Array) -> Array:
    """float64, N x classes: float64(accumulator) * scale, rounded, + bias, rounded (SPEC.md section 4, no fused multiply-add).

    The prediction is ``logits.argmax(-1)``: the first of equal ones.

    Args:
        accumulators: integers, N x classes (or any leading axes), as `execute` gives them.

    Raises:
        InputError: ``accumulators`` are not integers of the graph's classes.
    """
    classes = graph.output.shape
    if not isinstance(accumulators, np.ndarray) or accumulators.dtype.kind not in "iu" or accumulators.shape[-1:] != classes:
        raise InputError(
            f"Expected `accumulators` to be integers N x {classes[0]}, but got {_described(accumulators)}; give what `execute` returned."
        )
    scaled = accumulators.astype(np.float64) * graph.logit_scale
    return scaled + graph.logit_bias


def check_images(graph: Graph, images: Any) -> None:
    """Refuse what is not a batch of the graph's input.

    Raises:
        InputError: ``images`` are not uint8, N x H x W x C.
    """
    shape = graph.input.shape
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
        wanted = " x ".join(str(size) for size in shape)
        raise InputError(
            f"Expected `images` to be uint8 pixels N x {wanted} (channels last), but got {_described(images)}; "
            "convert images in [0, 1] with round(255 * image)."
        )


def run_node(node: Node, source: TensorType, codes: Array) -> Array:
    """One operation on int64 codes or accumulators, N x the shape of ``source`` -> int64, N x the output's shape."""
    return _RUN[type(node)](node, source, codes)


def _conv2d(node: Conv2d, source: TensorType, codes: Array) -> Array:
    top, bottom, left, right = node.padding
    padded = np.pad(codes, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=node.pad_code)
    values = activation_integers(padded, source.encoding)
    weights = weight_integers(node).reshape(len(node.weight), -1)
    # N x H' x W' windows of C x kh x kw, read as kh, kw, C: the order of the weights
    windows = sliding_window_view(values, node.kernel, (1, 2))[:, :: node.stride[0], :: node.stride[1]].transpose(0, 1, 2, 4, 5, 3)
    found = np.empty((*windows.shape[:3], len(weights)), np.int64)
    for index, image in enumerate(windows):  # one by one: the rows are a copy, kernel-size times the image
        rows = image.reshape(-1, weights.shape[1])
        found[index] = np.einsum("pk,ok->po", rows, weights).reshape(found.shape[1:])
    return found


def _linear(node: Linear, source: TensorType, codes: Array) -> Array:
    return np.einsum("nf,of->no", activation_integers(codes, source.encoding), weight_integers(node))


def _max_pool(node: MaxPool, source: TensorType, codes: Array) -> Array:
    # a code of either encoding is the larger the larger its integer, so codes are compared as they are
    windows = sliding_window_view(codes, node.kernel, (1, 2))[:, :: node.stride[0], :: node.stride[1]]
    return windows.max((-2, -1))


def _threshold(node: Threshold, source: TensorType, codes: Array) -> Array:
    direction = node.direction.astype(np.int64)
    directed = direction * codes
    count = np.zeros(codes.shape, np.int64)
    for level in (direction[:, None] * node.thresholds).T:
        count += directed >= level
    return count


def _flatten(node: Flatten, source: TensorType, codes: Array) -> Array:
    return codes.reshape(len(codes), math.prod(source.shape))


_RUN: dict[type[Node], Callable[[Any, TensorType, Array], Array]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    MaxPool: _max_pool,
    Threshold: _threshold,
    Flatten: _flatten,
}


def _described(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
