"""The RTL of a build folder in simulation, as an engine: uint8 images in, int32 accumulators out, and how many cycles that took."""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qlight.errors import HardwareError, InputError
from qlight.hardware.build import Build, load_build
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.registers import CONTROL, GRAPH_HASH, LOAD_MODE, LOADED, RUN
from qlight.intgraph import Graph
from qlight.intgraph.execute import check_images
from qlight.intgraph.nodes import Array
from qlight.targets import native_rtlsim
from qlight.targets.packed import _processors

#: images that an instance takes at a time: the next piece goes to whichever is free
_PIECE = 8
#: cycles that words take through the parameter chain, per unit; a load waits for so many
_CHAIN = 4


class RunCycles(NamedTuple):
    """What a run took, in cycles from the first word in: int64 per image, to its last word in and to its last accumulator out."""

    taken: Array
    done: Array


class RtlSimEngine:
    """Runs the RTL of a build folder, verilated: equal to `qlight.intgraph.execute` in every integer, or the RTL is wrong.

    Images stream back to back, as many in flight as the pipeline holds. Several instances share a batch, each in a thread of its own. The
    first engine of a geometry compiles it (10 to 60 seconds); later ones, other networks of the geometry too, load the compiled library.

    An engine may be called by several threads at once, and be pickled.

    Args:
        folder: that `python -m qlight export --format rtl` wrote.
        threads: how many instances the images are shared by; None is one for each processor that this process may use.

    Attributes:
        build_seconds: that it took to compile or load the library, and to make the first instance.
        graph: of the network that is loaded.

    Raises:
        InputError: there is no whole build in the folder, ``threads`` is no positive number, or verilator or a compiler is missing.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
            raise InputError(f"Expected `threads` to be a whole number from 1, or None for all processors, but got {threads!r}.")
        start = time.perf_counter()
        self.build: Build = load_build(folder)
        self.graph = self.build.graph
        self.threads = _processors() if threads is None else threads
        self._asked = threads
        self._loaded: Array | None = None  # words of another network
        library = native_rtlsim.compiled(self.build.sources, self.build.geometry_hash)
        self._library = native_rtlsim.load(library)
        self._lock = threading.Lock()
        self._version = 0
        self._free: list[Instance] = [self._instance()]
        self.build_seconds = time.perf_counter() - start

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
            with ThreadPoolExecutor(helpers, "rtlsim") as pool:
                for each in [pool.submit(work) for _ in range(helpers)]:
                    each.result()
        return found

    def run(self, images: Array, stall: int = 0) -> tuple[Array, RunCycles]:
        """The accumulators of images that one instance takes back to back after a reset, and its cycles.

        Args:
            images: uint8, N x H x W x C, N at least 1.
            stall: 0, or the receiver is not ready every so many cycles.

        Raises:
            InputError: ``images`` are not pixels of the graph's input shape.
            SimulationError: as in a call.
        """
        check_images(self.graph, images)
        if not len(images):
            raise InputError("Expected `images` to hold at least one image, but got none.")
        return self._instance().run(images, stall)

    def load(self, graph: Graph) -> None:
        """Load the weights and thresholds of another network of the same geometry at run time, through the input stream.

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
            self.graph, self._loaded = graph, parameter_words(pipeline)
            self._version += 1
            self._free.clear()

    def read_register(self, address: int) -> int:
        """An AXI4-Lite register (`qlight.hardware.registers`) of an instance that ran since it was loaded, or of a new one.

        Raises:
            SimulationError: there is no such register.
        """
        with self._lent() as instance:
            return instance.read(address)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (str(self.build.folder), self._asked, None if self._loaded is None else self.graph)

    def __repr__(self) -> str:
        return f"RtlSimEngine({self.graph.content_hash[:12]}, threads={self.threads})"

    def _instance(self) -> Instance:
        instance = Instance(self._library, self.build)
        instance.version = self._version
        if self._loaded is not None:
            instance.load(self._loaded)
        instance.name_graph(self.graph.content_hash)
        return instance

    def _lent(self) -> _Lent:
        return _Lent(self)


class SimulationError(HardwareError):
    """The simulated hardware does not do what a stream or register must: a fault of the RTL, not of the input."""


class Instance:
    """One verilated top level after reset, its memories those of the build folder; for one thread at a time."""

    def __init__(self, library: ctypes.CDLL, build: Build) -> None:
        self._library, self._handle = library, None
        self._words, self._classes = build.pipeline.image_bytes // 4, build.pipeline.classes
        self._units = len(build.pipeline.units)
        self._patience = 20_000 + 4 * int(build.manifest["cycles"]["latency"])
        self.version = 0
        problem = ctypes.create_string_buffer(500)
        self._handle = library.qlight_new(str(build.folder.resolve()).encode(), problem, len(problem))
        if not self._handle:
            raise SimulationError(f"The simulation of {str(build.folder)!r} does not start: {problem.value.decode(errors='replace')}.")

    def run(self, images: Array, stall: int = 0) -> tuple[Array, RunCycles]:
        """Accumulators int32 N x classes of uint8 images N x H x W x C, and the cycles."""
        words = np.ascontiguousarray(images)
        found = np.empty((len(images), self._classes), np.int32)
        taken, done = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
        arguments = (words.ctypes.data, len(images), self._words, self._classes, found.ctypes.data, done.ctypes.data, taken.ctypes.data)
        self._checked(self._library.qlight_run(self._handle, *arguments, stall, self._patience))
        return found, RunCycles(taken, done)

    def load(self, words: Array) -> None:
        """Load parameter words, uint32."""
        self.write(CONTROL, LOAD_MODE)
        data = np.ascontiguousarray(words, np.uint32)
        self._checked(self._library.qlight_send(self._handle, data.ctypes.data, len(data)))
        self._checked(self._library.qlight_step(self._handle, _CHAIN * self._units + 16))
        taken = self.read(LOADED)
        if taken != len(data):
            raise SimulationError(f"The simulation took {taken} of {len(data)} parameter words.")
        self.write(CONTROL, RUN)

    def name_graph(self, content_hash: str) -> None:
        """Write the hash of the network that is loaded."""
        for index, address in enumerate(GRAPH_HASH):
            self.write(address, int(content_hash[8 * index : 8 * index + 8], 16))

    def write(self, address: int, value: int) -> None:
        """Write an AXI4-Lite register."""
        self._checked(self._library.qlight_write(self._handle, address, value))

    def read(self, address: int) -> int:
        """Read an AXI4-Lite register."""
        return self._checked(self._library.qlight_read(self._handle, address))

    def _checked(self, result: int) -> int:
        if result < 0:
            raise SimulationError(f"The simulation failed: {self._library.qlight_problem(self._handle).decode(errors='replace')}.")
        return result

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.qlight_delete(self._handle)
            self._handle = None


class _Lent:
    """An instance of an engine that no other thread uses; it goes back unless it failed or another network was loaded meanwhile."""

    def __init__(self, engine: RtlSimEngine) -> None:
        self._engine = engine

    def __enter__(self) -> Instance:
        engine = self._engine
        with engine._lock:
            instance = engine._free.pop() if engine._free else None
        self._instance = engine._instance() if instance is None else instance
        return self._instance

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        engine = self._engine
        if kind is None:
            with engine._lock:
                if self._instance.version == engine._version:
                    engine._free.append(self._instance)


def _again(folder: str, threads: int | None, graph: Graph | None) -> RtlSimEngine:
    engine = RtlSimEngine(folder, threads)
    if graph is not None:
        engine.load(graph)
    return engine
