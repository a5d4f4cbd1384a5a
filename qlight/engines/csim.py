"""The HLS twin of a build folder in C-simulation, as an engine: uint8 images in, int32 accumulators out, and how many calls that took."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from _ctypes import dlclose
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qlight.engines import native_csim
from qlight.engines.simulated import SimulatedEngine, SimulationError
from qlight.errors import HardwareError
from qlight.hardware.hls_build import HlsBuild, load_hls_build
from qlight.hardware.hls_streamed import word_stream
from qlight.hardware.hls_top import stream_name
from qlight.hardware.packing import dram_weights, parameter_words
from qlight.intgraph.nodes import Array


class RunCalls(NamedTuple):
    """What a run took, in calls from the first on: int64 per image, to its last word in and to its last accumulator out.

    ``traffic``: bytes that each memory port gave, from the run's start until all weights that fit were fetched for the next image.
    """

    taken: Array
    done: Array
    traffic: tuple[int, ...] = ()


class CSimEngine(SimulatedEngine[HlsBuild, "CSimInstance"]):
    """Runs the HLS C++ of a build folder, compiled: equal to `qlight.intgraph.execute` in every integer, or the C++ is wrong.

    A call of the top function is a clock cycle at the initiation interval 1 that the pragmas ask for. The first engine of a geometry
    compiles it (5 to 20 seconds); later ones, other networks of the geometry too, load the compiled library. Parameters are loaded as
    words, as on a board.

    Args:
        folder: that `python -m qlight export --format hls` wrote.
        threads: see `SimulatedEngine`.

    Attributes:
        build_seconds: that it took to compile or load the library, and to make the first instance.

    Raises:
        InputError: there is no whole build in the folder, or ``threads`` is no positive number.
        HardwareError: ap_int.h or a compiler is missing, or does not compile it; the message says what to install.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        start = time.perf_counter()
        super().__init__(load_hls_build(folder), threads)
        self._library = native_csim.compiled(self.build.sources, self.build.geometry_hash)
        with self._lent():
            pass
        self.build_seconds = time.perf_counter() - start

    def run(self, images: Array) -> tuple[Array, RunCalls]:
        """The accumulators of images that one new instance takes back to back, and its calls.

        Args:
            images: uint8, N x H x W x C, N at least 1.

        Raises:
            InputError: ``images`` are not pixels of the graph's input shape.
            SimulationError: as in a call.
        """
        self._checked_run(images)
        return self._instance().run(images)

    def trace(self, images: Array) -> dict[str, Array]:
        """What every unit of the pipeline that is a process gives for images, by its name: uint8, beats x bytes of a beat, little-endian.

        Args:
            images: as of `run`.

        Raises:
            InputError, SimulationError: as of `run`.
        """
        self._checked_run(images)
        instance = self._instance()
        instance.record()
        instance.run(images)
        units = {unit.name: unit.target for unit in self.build.pipeline.units}
        found = {name: instance.recorded(name) for name in units}
        return {name: bytes_.reshape(-1, -(-units[name].width // 8)) for name, bytes_ in found.items() if bytes_ is not None}

    def _instance(self) -> CSimInstance:
        instance = CSimInstance(self._library, self.build)
        if self._loaded is None:
            instance.load(self.build.words(), self.build.weights())
        else:
            instance.load(parameter_words(self._loaded), [content for _, content in dram_weights(self._loaded)])
        return instance


class CSimInstance:
    """A copy of the compiled library, whose state is static as HLS wants it; for one thread at a time."""

    def __init__(self, path: Path, build: HlsBuild) -> None:
        self._handle: int | None = None
        self._classes = build.pipeline.classes
        self._ports = [(word_stream(unit).encode(), unit.port_bits // 8) for unit in build.pipeline.streamed]
        self._patience = 20_000 + 4 * int(build.manifest["cycles"]["latency"])
        try:
            with tempfile.TemporaryDirectory(prefix="qlight-csim-") as folder:  # the loader knows a file by its place and number
                copy = Path(folder) / path.name
                shutil.copyfile(path, copy)
                self._library = native_csim.load(copy)
        except OSError as error:
            raise HardwareError(f"The compiled C-simulation does not load ({error}); delete {path}.") from error
        self._handle = self._library._handle

    def run(self, images: Array) -> tuple[Array, RunCalls]:
        """Accumulators int32 N x classes of uint8 images N x H x W x C, and the calls."""
        words = np.ascontiguousarray(images)
        found = np.empty((len(images), self._classes), np.int32)
        taken, done = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
        arguments = (words.ctypes.data, len(images), found.ctypes.data, done.ctypes.data, taken.ctypes.data)
        before = self._read()
        result = self._library.qlight_run(*arguments, self._patience)
        if result < 0:
            what = "stands still" if result == -1 else "has beats left over behind the last accumulator"
            raise SimulationError(f"The C-simulation {what}: nothing moved for {self._patience} calls.")
        return found, RunCalls(taken, done, tuple(after - start for start, after in zip(before, self._read(), strict=True)))

    def load(self, words: Array, weights: Sequence[Array] = ()) -> None:
        """Load parameter words, uint32, and what lies behind the memory ports, uint8."""
        data = np.ascontiguousarray(words, np.uint32)
        self._library.qlight_load(data.ctypes.data, len(data))
        for port, content in enumerate(weights):
            data = np.ascontiguousarray(content).view("<u4").astype(np.uint32)
            self._library.qlight_put(port, data.ctypes.data)
        if self._ports:
            self._library.qlight_fetch()

    def _read(self) -> list[int]:
        """Bytes that each memory port has given."""
        return [self._library.qlight_written(name) * size for name, size in self._ports]

    def record(self) -> None:
        """Keep what goes over the streams from now on."""
        self._library.qlight_record()

    def recorded(self, unit: str) -> Array | None:
        """uint8: the bytes of what a unit gave; None where it has no stream of its own."""
        name = stream_name(unit).encode()
        size = self._library.qlight_recorded(name, None)
        if size < 0:
            return None
        found = np.empty(size, np.uint8)
        self._library.qlight_recorded(name, found.ctypes.data)
        return found

    def __del__(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                dlclose(self._handle)
            self._handle = None
