"""Engines that simulate the hardware of a build folder: instances that share a batch, each in a thread of its own, and are loaded anew."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from qlight.engines.threads import thread_count
from qlight.errors import HardwareError, InputError
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.intgraph import Graph
from qlight.intgraph.execute import check_images
from qlight.intgraph.nodes import Array

#: images that an instance takes at a time: the next piece goes to whichever is free
_PIECE = 8


class SimulationError(HardwareError):
    """The simulated hardware does not do what a stream or register must: a fault of the design, not of the input."""


class Simulation(Protocol):
    """One simulated accelerator, for one thread at a time."""

    def run(self, images: Array) -> tuple[Array, Any]:
        """Accumulators int32 N x classes of uint8 images N x H x W x C, and what that took."""
        ...


class SimulatedBuild(Protocol):
    """A build folder of any kind."""

    @property
    def folder(self) -> Path: ...
    @property
    def pipeline(self) -> Pipeline: ...
    @property
    def geometry_hash(self) -> str: ...
    @property
    def graph(self) -> Graph: ...


B = TypeVar("B", bound=SimulatedBuild)
S = TypeVar("S", bound=Simulation)


class SimulatedEngine(ABC, Generic[B, S]):
    """Runs the hardware of a build folder in simulation: equal to `qlight.intgraph.execute` in every integer, or the hardware is wrong.

    An engine may be called by several threads at once, and be pickled.

    Args:
        build: what is simulated.
        threads: how many instances the images are shared by; None is one for each processor that this process may use.

    Attributes:
        build: as given.
        graph: of the network that is loaded.

    Raises:
        InputError: ``threads`` is no positive number.
    """

    def __init__(self, build: B, threads: int | None) -> None:
        self.build = build
        self.graph = build.graph
        self.threads = thread_count(threads)
        self._asked = threads
        self._loaded: Pipeline | None = None  # of another network
        self._lock = threading.Lock()
        self._version = 0
        self._free: list[tuple[int, S]] = []

    def __call__(self, images: Array) -> Array:
        """The accumulators of the logits.

        Args:
            images: uint8, N x H x W x C; N may be 0.

        Returns:
            int32, N x classes.

        Raises:
            InputError: ``images`` are not pixels of the graph's input shape.
            SimulationError: the simulation stops or breaks the stream's rules.
        """
        check_images(self.graph, images)
        found = np.empty((len(images), *self.graph.output.shape), np.int32)
        size = max(1, min(_PIECE, -(-len(images) // self.threads)))
        pieces = -(-len(images) // size)
        taken = itertools.count()  # shared: next() is one step of the interpreter

        def work() -> None:
            with self._lent() as instance:
                while (piece := next(taken)) < pieces:
                    at = slice(piece * size, (piece + 1) * size)
                    found[at] = instance.run(images[at])[0]

        helpers = min(self.threads, pieces)
        if helpers == 1:
            work()
        elif helpers > 1:
            with ThreadPoolExecutor(helpers, "simulation") as pool:
                for each in [pool.submit(work) for _ in range(helpers)]:
                    each.result()
        return found

    def load(self, graph: Graph) -> None:
        """Load the weights and thresholds of another network of the same geometry at run time, as parameter words.

        Raises:
            InputError: ``graph`` is none, or of another geometry.
        """
        if not isinstance(graph, Graph):
            raise InputError(f"Expected `graph` to be a Graph, but got {type(graph).__name__}; read one with Graph.load(folder).")
        try:
            pipeline = make_pipeline(graph, self.build.pipeline.folding)
        except InputError:  # a graph that the cells cannot run, or not in this folding
            pipeline = None
        if pipeline is None or pipeline.units != self.build.pipeline.units:
            raise InputError(
                f"Expected `graph` to have the geometry {self.build.geometry_hash[:12]} of {str(self.build.folder)!r}, but got another; "
                "export it with the same folding to a folder of its own."
            )
        with self._lock:
            self.graph, self._loaded = graph, pipeline
            self._version += 1
            self._free.clear()

    @abstractmethod
    def _instance(self) -> S:
        """A new instance that holds the parameters of `graph`: those of the build folder, or else of the pipeline `_loaded`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), str(self.build.folder), self._asked, None if self._loaded is None else self.graph)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.graph.content_hash[:12]}, threads={self.threads})"

    def _checked_run(self, images: Array) -> None:
        """Raises InputError for images that a single run does not take."""
        check_images(self.graph, images)
        if not len(images):
            raise InputError("Expected `images` to hold at least one image, but got none.")

    def _lent(self) -> _Lent[B, S]:
        return _Lent(self)


class _Lent(Generic[B, S]):
    """An instance of an engine that no other thread uses; it goes back unless it failed or another network was loaded meanwhile."""

    def __init__(self, engine: SimulatedEngine[B, S]) -> None:
        self._engine = engine

    def __enter__(self) -> S:
        engine = self._engine
        with engine._lock:
            held = engine._free.pop() if engine._free else None
            version = engine._version
        self._held = (version, engine._instance()) if held is None else held
        return self._held[1]

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        engine = self._engine
        if kind is None:
            with engine._lock:
                if self._held[0] == engine._version:
                    engine._free.append(self._held)


def _again(engine: Any, folder: str, threads: int | None, graph: Graph | None) -> Any:
    found = engine(folder, threads)
    if graph is not None:
        found.load(graph)
    return found
