"""A graph as steps for the kernels: which nodes run as one, where every map lies in scratch memory, and packed weights."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qlight.engines.dots import Dots, geometry, make_dots
from qlight.engines.layouts import Layout
from qlight.engines.native import Layer, Library
from qlight.engines.thresholds import Ascending, ascending, fit
from qlight.intgraph import Graph, Operand, operands
from qlight.intgraph.nodes import Array, Conv2d, Flatten, Linear, MaxPool, Node, Threshold

# of engine.cpp
DOT, PACK, POOL_BYTES, POOL_SUMS, THRESHOLD = range(5)
SUMS, BYTE_CODES, PLANE_CODES = range(3)
COMPARE, LINE, FINE_LINE, NEAR, SEARCH = range(5)
OUTSIDE = -1
#: compares of all levels are quicker than a line up to here, and than gathers up to `_MANY_LEVELS`
_FEW_LEVELS, _MANY_LEVELS = 3, 15
_SCRATCH_BYTES, _MOST_IMAGES = 4 << 20, 16
_CACHE_LINE = 64
_INT32 = np.iinfo(np.int32)


@dataclass
class Step:
    """One call of a kernel: the fields of a `Layer`, with arrays in place of pointers."""

    name: str
    fields: dict[str, Any]
    macs: int = 0


@dataclass
class Plan:
    """What the kernels run.

    Attributes:
        steps: in order.
        block: images at a time.
        scratch: uint8, a new scratch memory: borders are written, the rest is 0.
    """

    steps: list[Step]
    block: int
    maps: list[tuple[int, Layout]] = field(default_factory=list)
    scratch_bytes: int = 0

    def __post_init__(self) -> None:
        self._kept: list[Array] = []
        layers = [self._layer(step) for step in self.steps]
        self.layers = (Layer * len(layers))(*layers)

    def new_scratch(self) -> Array:
        """uint8: memory for one call at a time."""
        whole = np.zeros(self.scratch_bytes + 2 * _CACHE_LINE, np.uint8)
        start = -whole.ctypes.data % _CACHE_LINE
        scratch = whole[start : start + self.scratch_bytes + _CACHE_LINE]
        for place, layout in self.maps:
            if any(layout.padding):
                scratch[place : place + self.block * layout.image_bytes].reshape(self.block, -1)[:] = layout.empty_image()
        return scratch

    def _layer(self, step: Step) -> Layer:
        values = {}
        for name, value in step.fields.items():
            if isinstance(value, np.ndarray):
                value = _aligned(value)
                self._kept.append(value)
                value = ctypes.c_void_p(value.ctypes.data)
            values[name] = value
        return Layer(**values)


def make_plan(graph: Graph, library: Library) -> Plan:
    """Steps for ``graph``: a convolution or dense layer takes a 2x2 max-pool and a Threshold behind it along."""
    return _Planner(graph, library).plan()


class _Planner:
    def __init__(self, graph: Graph, library: Library) -> None:
        self.graph, self.library = graph, library
        self.operands: list[Operand] = list(operands(graph).values())
        self.steps: list[Step] = []
        self.maps: list[Layout] = []

    def plan(self) -> Plan:
        height, width, channels = self.graph.input.shape
        self.layout, self.where = Layout((height, width, channels)), OUTSIDE
        index = 0
        while index < len(self.graph.nodes):
            index = self._next(index)
        sizes = [layout.image_bytes for layout in self.maps]
        block = int(np.clip(_SCRATCH_BYTES // max(1, sum(sizes)), 1, _MOST_IMAGES))
        places = np.concatenate([[0], np.cumsum([block * size for size in sizes])]).astype(int)
        for step in self.steps:
            for side in ("source", "target"):
                if step.fields[side] != OUTSIDE:
                    step.fields[side] = int(places[step.fields[side]])
        return Plan(self.steps, block, list(zip(map(int, places), self.maps, strict=False)), int(places[-1]))

    def _next(self, index: int) -> int:
        """Plan the node at ``index`` and those that run with it; the index of the next one."""
        node = self.graph.nodes[index]
        if isinstance(node, Conv2d | Linear):
            return self._dot(index, node)
        if isinstance(node, MaxPool):
            shape = self.graph.tensors[index + 1].shape
            self._step(node, POOL_SUMS if self.layout.item == 4 else POOL_BYTES, Layout(_map(shape), self.layout.item), _pool_fields(node))
        elif isinstance(node, Threshold):
            rising = ascending(node)
            shape = self.graph.tensors[index].shape
            fields = {"levels": rising.levels.shape[1], "sentried": _sentried(rising.levels), "flip": rising.flip}
            self._step(node, THRESHOLD, Layout(_map(shape)), fields)
        else:
            assert isinstance(node, Flatten)
            if index + 1 < len(self.graph.nodes) and not isinstance(self.graph.nodes[index + 1], Linear):
                self.layout = Layout(_map(self.graph.tensors[index + 1].shape), self.layout.item)
        return index + 1

    def _step(self, node: Node, kind: int, target: Layout, fields: dict[str, Any]) -> None:
        height, width, channels = self.layout.shape
        found = {"kind": kind, "height": height, "width": width, "channels": channels, **self._move(target), **fields}
        self.steps.append(Step(node.name, found))

    def _move(self, target: Layout, outside: bool = False) -> dict[str, int]:
        """Where a step reads and writes; the next one reads what it wrote."""
        pixels = self.graph.input.shape
        source_stride = pixels[0] * pixels[1] * pixels[2] if self.where == OUTSIDE else self.layout.image_bytes
        fields = {"source": self.where, "source_stride": source_stride}
        if outside:
            return {**fields, "target": OUTSIDE, "target_stride": 4 * self.graph.output.channels}
        self.maps.append(target)
        self.layout, self.where = target, len(self.maps) - 1
        return {**fields, "target": self.where, "target_stride": target.image_bytes}

    def _dots(self, index: int, node: Conv2d | Linear) -> Dots:
        shape = self.graph.tensors[index].shape
        if index > 0 and isinstance(self.graph.nodes[index - 1], Flatten):
            before = self.graph.nodes[index - 2] if index > 1 else None
            flat = isinstance(before, Flatten)
            shape = shape if flat else self.graph.tensors[index - 1].shape
        return make_dots(node, self.operands[index], geometry(node, shape, self.graph.tensors[index + 1].shape), self.library.plane_pairs)

    def _dot(self, index: int, node: Conv2d | Linear) -> int:
        dots = self._dots(index, node)
        if self.where == OUTSIDE or self.layout != dots.layout:
            self._pack(node, dots.layout)
        end, pool, threshold = index + 1, None, None
        nodes = self.graph.nodes
        if end < len(nodes) and isinstance(nodes[end], MaxPool) and _fusible(nodes[end]):
            pool, end = nodes[end], end + 1
        if end < len(nodes) and isinstance(nodes[end], Threshold):
            threshold, end = nodes[end], end + 1
        outputs = len(node.weight)
        vectors = -(-outputs // self.library.lanes)
        shape = _map(self.graph.tensors[end].shape)
        target = Layout(shape, 4) if threshold is None else self._wanted(end, shape)
        sums = _map(self.graph.tensors[index + 1].shape)
        where = geometry(node, dots.layout.shape, sums)
        fields = {
            "kind": DOT,
            "operation": dots.operation,
            "pooled": int(pool is not None),
            "pixels": (4 if pool else 1) * shape[0] * shape[1],
            "vectors": vectors,
            "outputs": outputs,
            "groups": len(dots.group_steps),
            "group_steps": np.array(dots.group_steps, np.int64),
            "step_offset": dots.step_offset,
            "weights": _by_vectors(dots.words, vectors, self.library.lanes),
            "source_offset": _source_places(dots.layout, where.stride, shape, pool is not None),
            "target_offset": target.places(np.arange(shape[0]), np.arange(shape[1])),
            "output": SUMS if threshold is None else PLANE_CODES if target.planes else BYTE_CODES,
            "planes": target.planes,
            "plane_bytes": target.plane_bytes,
        }
        if isinstance(threshold, Threshold):
            fields |= self._threshold_fields(ascending(threshold, dots.factor, dots.offset), dots, self.operands[index + 1], vectors)
        else:
            padded = np.pad(dots.offset, (0, vectors * self.library.lanes - outputs)).astype(np.int32)
            fields |= {"factor": dots.factor, "offset": padded}
        macs = sums[0] * sums[1] * int(np.prod(node.weight.shape))
        last = end == len(nodes)
        self.steps.append(Step(node.name, {**fields, **self._move(target, outside=last)}, macs))
        return end

    def _pack(self, node: Node, layout: Layout) -> None:
        """Copy plain bytes into another layout. (A fused step writes it at once.)"""
        assert self.layout.item == 1
        assert self.layout.plain
        fields = {
            "planes": layout.planes,
            "plane_bytes": layout.plane_bytes,
            "row_offset": int(layout.places(np.arange(1), np.arange(1))[0]),
            "row_stride": layout.row_bytes,
            "pixel_stride": layout.pixel_bytes,
        }
        self.layout = Layout(layout.shape)
        self._step(node, PACK, layout, fields)

    def _wanted(self, end: int, shape: tuple[int, int, int]) -> Layout:
        """The layout in which what reads the tensor before node ``end`` wants it."""
        nodes = self.graph.nodes
        reader = end + 1 if isinstance(nodes[end], Flatten) else end
        node = nodes[reader]
        return self._dots(reader, node).layout if isinstance(node, Conv2d | Linear) else Layout(shape)

    def _threshold_fields(self, rising: Ascending, dots: Dots, operand: Operand, vectors: int) -> dict[str, Any]:
        channels, count = rising.levels.shape
        lanes = self.library.lanes
        rest = vectors * lanes - channels
        levels = np.pad(rising.levels, ((0, rest), (0, 0)), constant_values=_INT32.max)
        fields: dict[str, Any] = {"levels": count, "flip": np.pad(rising.flip, (0, rest)), "rule": np.full(vectors, COMPARE, np.int64)}
        if count <= _FEW_LEVELS:
            return fields | {"ladder": levels.T}
        line = fit(rising.levels, (operand.low - dots.offset) // dots.factor, -((dots.offset - operand.high) // dots.factor))
        far = np.pad(line.distance, (0, rest)).reshape(vectors, lanes).max(1)
        few = count <= _MANY_LEVELS
        rule = np.choose(far, [LINE, COMPARE, COMPARE, COMPARE] if few else [LINE, FINE_LINE, NEAR, SEARCH])
        slope, shift = np.pad(line.slope, (0, rest)), np.pad(line.shift, (0, rest))
        fields |= {"rule": rule.astype(np.int64), "slope": slope.astype(np.float32), "shift": shift.astype(np.float32)}
        if few:
            return fields | {"ladder": levels.T}
        return fields | {"sentried": _sentried(levels), "fine_slope": slope, "fine_shift": shift}


def _sentried(levels: Array) -> Array:
    return np.pad(levels, ((0, 0), (1, 1)), constant_values=((0, 0), (_INT32.min, _INT32.max)))


def _map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape as height, width, channels."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, shape[0])


def _fusible(node: Node) -> bool:
    return isinstance(node, MaxPool) and node.kernel == (2, 2) and node.stride == (2, 2)


def _pool_fields(node: MaxPool) -> dict[str, int]:
    return {"kernel_height": node.kernel[0], "kernel_width": node.kernel[1], "down": node.stride[0], "across": node.stride[1]}


def _source_places(layout: Layout, stride: tuple[int, int], shape: tuple[int, int, int], pooled: bool) -> Array:
    """int64: where the windows of the output pixels begin in the map with borders; pooled, the four of a pool's window together."""
    ys, xs = np.arange((2 if pooled else 1) * shape[0]) * stride[0], np.arange((2 if pooled else 1) * shape[1]) * stride[1]
    places = (ys * layout.row_bytes)[:, None] + xs * layout.pixel_bytes
    if pooled:
        places = places.reshape(shape[0], 2, shape[1], 2).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(places, np.int64).ravel()


def _by_vectors(words: Array, vectors: int, lanes: int) -> Array:
    """int32: steps x outputs -> for every pair of vectors (the last may be single), steps x lanes of the pair."""
    padded = np.pad(words, ((0, 0), (0, vectors * lanes - words.shape[1])))
    pairs = [padded[:, start : start + 2 * lanes].ravel() for start in range(0, vectors * lanes, 2 * lanes)]
    return np.concatenate(pairs).astype(np.int32)


def _aligned(array: Array) -> Array:
    """A C-ordered copy that begins at a cache line."""
    memory = np.empty(array.nbytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
