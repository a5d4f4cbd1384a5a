"""The packed CPU engine: an integer graph at full speed, with the integers of the reference executor."""

from __future__ import annotations

import itertools
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from qlight.engines.blas import NumpyPlan
from qlight.engines.native import Library, UnavailableError, library
from qlight.engines.plan import make_plan
from qlight.engines.threads import thread_count
from qlight.errors import InputError
from qlight.intgraph import Graph
from qlight.intgraph.execute import check_images
from qlight.intgraph.nodes import Array

BACKENDS = ("auto", "native", "numpy")


class PackedEngine:
    """Runs an integer graph on the CPU: uint8 images in, int32 accumulators of the logits out, equal to `qlight.intgraph.execute`.

    1-bit layers are xor and popcount, 2-bit layers four pairs of bit planes or byte products, wider ones byte products; thresholds and 2x2
    max-pools run in registers behind them. The kernels are C++ and compiled for this processor at first use (seconds, once a machine);
    without a compiler the same numbers come from numpy's matrix products, many times as slowly.

    An engine may be called by several threads at once, and be pickled. Memory does not grow with the batch.

    Args:
        graph: a valid graph.
        threads: how many the images are shared by; None is one for each processor that this process may use.
        backend: "native", "numpy", or "auto": numpy, with a warning, only where the kernels cannot be compiled.

    Attributes:
        backend: "native" or "numpy".
        build_seconds: that it took to compile or load the kernels and to pack the weights.

    Raises:
        InputError: ``graph`` is no graph, ``threads`` no positive number, ``backend`` unknown, or "native" where that does not work.

    >>> from qlight.intgraph import GraphBuilder, execute
    >>> builder = GraphBuilder((1, 2, 1))
    >>> builder.flatten("flat")
    >>> builder.linear("output", np.array([[1, -2], [3, 0]], np.int8), bits=3, encoding="signed")
    >>> engine = PackedEngine(builder.build(np.ones(2), np.zeros(2)), threads=1, backend="numpy")
    >>> engine(np.array([[[[10], [255]]]], np.uint8))
    array([[-500,   30]], dtype=int32)
    """

    def __init__(self, graph: Graph, threads: int | None = None, backend: str = "auto") -> None:
        if not isinstance(graph, Graph):
            raise InputError(f"Expected `graph` to be a Graph, but got {type(graph).__name__}; read one with Graph.load(folder).")
        self.threads = thread_count(threads)
        if backend not in BACKENDS:
            raise InputError(f"Expected `backend` to be one of {', '.join(BACKENDS)}, but got {backend!r}.")
        start = time.perf_counter()
        self.graph = graph
        self._asked = (threads, backend)
        self._run: Callable[[Array, Array], None]
        kernels = None if backend == "numpy" else _kernels(backend)
        self._build(kernels)
        self.backend = "native" if kernels else "numpy"
        self.build_seconds = time.perf_counter() - start

    def __call__(self, images: Array) -> Array:
        """The accumulators of the logits.

        Args:
            images: uint8, N x H x W x C; N may be 0.

        Returns:
            int32, N x classes.

        Raises:
            InputError: ``images`` are not pixels of the graph's input shape.
        """
        check_images(self.graph, images)
        found = np.empty((len(images), *self.graph.output.shape), np.int32)
        # smaller pieces where some thread would be without one
        size = max(1, min(self._block, -(-len(images) // self.threads)))
        pieces = -(-len(images) // size)
        taken = itertools.count()  # shared: next() is one step of the interpreter

        def work() -> None:
            while (piece := next(taken)) < pieces:
                at = slice(piece * size, (piece + 1) * size)
                self._run(np.ascontiguousarray(images[at]), found[at])

        helpers = min(self.threads, pieces) - 1
        waiting = [self._helpers().submit(work) for _ in range(helpers)] if helpers > 0 else []
        work()
        for each in waiting:
            each.result()
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedEngine, (self.graph, *self._asked)

    def __repr__(self) -> str:
        return f"PackedEngine({self.graph.content_hash[:12]}, threads={self.threads}, backend={self.backend!r})"

    def _build(self, kernels: Library | None) -> None:
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._lock = threading.Lock()
        if kernels is None:
            numpy_plan = NumpyPlan(self.graph)
            self._block = numpy_plan.block

            def run_numpy(images: Array, found: Array) -> None:
                found[:] = numpy_plan(images)

            self._run = run_numpy
            return
        plan = make_plan(self.graph, kernels)
        self.plan = plan
        self._block = plan.block
        free: list[Array] = []  # append and pop are one step of the interpreter each

        def run_native(images: Array, found: Array) -> None:
            try:
                scratch = free.pop()
            except IndexError:
                scratch = plan.new_scratch()
            kernels.run(plan.layers, len(plan.layers), images.ctypes.data, len(images), scratch.ctypes.data, found.ctypes.data)
            free.append(scratch)

        self._run = run_native

    def _helpers(self) -> ThreadPoolExecutor:
        """Threads of this process: those of a parent do not survive a fork."""
        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = os.getpid(), ThreadPoolExecutor(self.threads, "packed-engine")
            return self._pool[1]


def _kernels(backend: str) -> Library | None:
    try:
        return library()
    except UnavailableError as error:
        if backend == "native":
            raise InputError(f"Expected `backend` 'native' to work, but it does not: {error} Use 'numpy' meanwhile.") from error
        warnings.warn(f"The packed engine falls back to numpy, many times as slow: {error}", RuntimeWarning, stacklevel=3)
        return None
