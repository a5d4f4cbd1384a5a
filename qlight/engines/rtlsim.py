"""The RTL of a build folder in simulation, as an engine: uint8 images in, int32 accumulators out, and how many cycles that took."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qlight.engines import native_rtlsim
from qlight.engines.rtlsim_memory import MemoryTiming, Traffic, WeightMemory
from qlight.engines.simulated import SimulatedEngine, SimulationError
from qlight.hardware.build import DRAM, Build, load_build
from qlight.hardware.packing import dram_file, dram_weights, parameter_words
from qlight.hardware.registers import CONTROL, GRAPH_HASH, LOAD_MODE, LOADED, RUN
from qlight.hardware.units import Mvtu
from qlight.intgraph.nodes import Array

#: cycles that words take through the parameter chain, per unit; a load waits for so many
_CHAIN = 4


class RunCycles(NamedTuple):
    """What a run took, in cycles from the first word in: int64 per image, to its last word in and to its last accumulator out.

    ``traffic``: of every memory port from the run's start until all weights that fit were fetched for the next image.
    ``issued``: int64, images x MVTUs: cycles in which each MVTU worked, counted up to an image's last accumulator.
    """

    taken: Array
    done: Array
    issued: Array
    traffic: tuple[Traffic, ...] = ()


class RtlSimEngine(SimulatedEngine[Build, "Instance"]):
    """Runs the RTL of a build folder, verilated: equal to `qlight.intgraph.execute` in every integer, or the RTL is wrong.

    Images stream back to back, as many in flight as the pipeline holds. The first engine of a geometry compiles it (10 to 60 seconds);
    later ones, other networks of the geometry too, load the compiled library.

    Args:
        folder: that `python -m qlight export --format rtl` wrote.
        threads: see `SimulatedEngine`.

    Attributes:
        build_seconds: that it took to compile or load the library, and to make the first instance.

    Raises:
        InputError: there is no whole build in the folder, or ``threads`` is no positive number.
        HardwareError: verilator or a compiler is missing, or does not compile it; the message says what to install.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        start = time.perf_counter()
        super().__init__(load_build(folder), threads)
        pipeline = self.build.pipeline
        units = [unit.name for unit in pipeline.units if isinstance(unit, Mvtu)]
        library = native_rtlsim.compiled(self.build.sources, self.build.geometry_hash, len(pipeline.streamed), units)
        self._library = native_rtlsim.load(library)
        with self._lent():
            pass
        self.build_seconds = time.perf_counter() - start

    def run(self, images: Array, stall: int = 0, memory: MemoryTiming | None = None) -> tuple[Array, RunCycles]:
        """The accumulators of images that one instance takes back to back after a reset, and its cycles.

        Args:
            images: uint8, N x H x W x C, N at least 1.
            stall: 0, or the receiver is not ready every so many cycles.
            memory: of streamed weights; None: one that answers at once.

        Raises:
            InputError: ``images`` are not pixels of the graph's input shape.
            SimulationError: as in a call.
        """
        self._checked_run(images)
        return self._instance(memory).run(images, stall)

    def read_register(self, address: int) -> int:
        """An AXI4-Lite register (`qlight.hardware.registers`) of an instance that ran since it was loaded, or of a new one.

        Raises:
            SimulationError: there is no such register.
        """
        with self._lent() as instance:
            return instance.read(address)

    def _instance(self, memory: MemoryTiming | None = None) -> Instance:
        instance = Instance(self._library, self.build, memory)
        pipeline = self.build.pipeline if self._loaded is None else self._loaded
        if self._loaded is not None or not pipeline.preset:
            instance.load(parameter_words(pipeline), [content for _, content in dram_weights(pipeline)])
        instance.name_graph(self.graph.content_hash)
        return instance


class Instance:
    """One verilated top level after reset, its memories those of the build folder; for one thread at a time.

    Weights in UltraRAM have no content until `load`, as on a board.

    Args:
        start: put the folder's weights behind the memory ports, and start their readers; else that is left to who writes the registers.
    """

    def __init__(self, library: ctypes.CDLL, build: Build, memory: MemoryTiming | None = None, start: bool = True) -> None:
        self._library, self._handle = library, None
        self._words, self._classes = build.pipeline.image_bytes // 4, build.pipeline.classes
        self._units = len(build.pipeline.units)
        self._mvtus = sum(isinstance(unit, Mvtu) for unit in build.pipeline.units)
        self._patience = 20_000 + 4 * int(build.manifest["cycles"]["latency"])
        problem = ctypes.create_string_buffer(500)
        self._handle = library.qlight_new(str(build.folder.resolve()).encode(), problem, len(problem))
        if not self._handle:
            raise SimulationError(f"The simulation of {str(build.folder)!r} does not start: {problem.value.decode(errors='replace')}.")
        streamed = build.pipeline.streamed
        self.weights = WeightMemory(streamed, library, self._handle, self, self._checked, memory or MemoryTiming())
        if start:
            self.weights.fill([np.fromfile(build.folder / DRAM / dram_file(unit), np.uint8) for unit in streamed])
            self.weights.start()

    def run(self, images: Array, stall: int = 0) -> tuple[Array, RunCycles]:
        """Accumulators int32 N x classes of uint8 images N x H x W x C, and the cycles."""
        words = np.ascontiguousarray(images)
        found = np.empty((len(images), self._classes), np.int32)
        taken, done, issued = (np.zeros(shape, np.int64) for shape in (len(images), len(images), (len(images), self._mvtus)))
        results = (each.ctypes.data for each in (found, done, taken, issued))
        arguments = (words.ctypes.data, len(images), self._words, self._classes, *results)
        before = self.weights.traffic()
        self._checked(self._library.qlight_run(self._handle, *arguments, stall, self._patience))
        self.weights.settle()
        traffic = (Traffic(*(b - a for a, b in zip(*each, strict=True))) for each in zip(before, self.weights.traffic(), strict=True))
        return found, RunCycles(taken, done, issued, tuple(traffic))

    def transfer(self, words: Array, expected: int) -> tuple[Array, Array]:
        """Send words, uint32, and take `expected` words, uint32, with their TLAST, bool, as a DMA does."""
        data = np.ascontiguousarray(words, np.uint32)
        found, last = np.empty(expected, np.uint32), np.empty(expected, np.bool_)
        arguments = (data.ctypes.data, len(data), found.ctypes.data, last.ctypes.data, expected, self._patience)
        self._checked(self._library.qlight_transfer(self._handle, *arguments))
        return found, last

    def step(self, cycles: int) -> None:
        """Let cycles pass, with idle streams."""
        self._checked(self._library.qlight_step(self._handle, cycles))

    def load(self, words: Array, weights: Sequence[Array] = ()) -> None:
        """Load parameter words, uint32, and what lies behind the memory ports."""
        self.write(CONTROL, LOAD_MODE)
        data = np.ascontiguousarray(words, np.uint32)
        self._checked(self._library.qlight_send(self._handle, data.ctypes.data, len(data)))
        self.step(_CHAIN * self._units + 16)
        taken = self.read(LOADED)
        if taken != len(data):
            raise SimulationError(f"The simulation took {taken} of {len(data)} parameter words.")
        self.weights.fill(weights)
        self.write(CONTROL, RUN)
        self.weights.settle()

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
