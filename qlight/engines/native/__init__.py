"""The packed engine's kernels: C++ that is compiled when it is first used, and kept in the user's cache folder.

The library is compiled for the processor at hand (``-march=native``); its file is named by a hash of the source, the compiler and the
processor, so a home folder may be shared by different machines. The compiler is the first of ``$CXX``, g++, clang++ and c++ that works.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import shlex
import subprocess
import sys
from pathlib import Path

from qlight.engines import compiling
from qlight.engines.compiling import UnavailableError
from qlight.files import cache_folder

SOURCES = ("vectors.hpp", "engine.cpp")
FLAGS = ("-std=c++17", "-O3", "-fwrapv", "-ffp-contract=off", "-fPIC", "-shared", "-Wno-psabi")
_TIME_LIMIT = 300

_int, _pointer = ctypes.c_int64, ctypes.c_void_p
#: of `Layer` in engine.cpp, in its order
_FIELDS: tuple[tuple[str, type], ...] = (
    *((name, _int) for name in ("kind", "source", "target", "source_stride", "target_stride")),
    *((name, _int) for name in ("operation", "pooled", "pixels", "vectors", "outputs", "groups")),
    *((name, _pointer) for name in ("group_steps", "step_offset", "weights", "source_offset", "target_offset")),
    *((name, _int) for name in ("output", "factor")),
    ("offset", _pointer),
    ("rule", _pointer),
    *((name, _int) for name in ("levels", "planes", "plane_bytes")),
    *((name, _pointer) for name in ("ladder", "sentried", "slope", "shift", "fine_slope", "fine_shift", "flip")),
    *((name, _int) for name in ("height", "width", "channels", "kernel_height", "kernel_width", "down", "across")),
    *((name, _int) for name in ("row_offset", "row_stride", "pixel_stride")),
)


class Layer(ctypes.Structure):
    """One step of a plan, as engine.cpp reads it."""

    _fields_ = list(_FIELDS)


class Library:
    """The compiled kernels.

    Attributes:
        path: of the shared library.
        lanes: output channels of a vector; weights and thresholds are packed by it.
        plane_pairs: up to how many pairs of bit planes are quicker than products of bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        library = ctypes.CDLL(str(path))
        for name in ("qlight_lanes", "qlight_layer_bytes", "qlight_plane_pairs"):
            getattr(library, name).restype = _int
        self.run = library.qlight_run
        self.run.restype = None
        self.run.argtypes = (_pointer, _int, _pointer, _int, _pointer, _pointer)
        self.lanes = int(library.qlight_lanes())
        self.plane_pairs = int(library.qlight_plane_pairs())
        if library.qlight_layer_bytes() != ctypes.sizeof(Layer):
            raise UnavailableError(f"{path} was compiled from another source; delete it.")


@functools.cache
def library(architecture: str = "native") -> Library:
    """The kernels for this processor, compiled now if the cache folder does not hold them yet.

    Args:
        architecture: what the compiler's ``-march`` gets; tests compile for older processors than the one at hand.

    Raises:
        UnavailableError: there is no compiler, it fails, or the machine is big-endian.
    """
    if sys.byteorder != "little":
        raise UnavailableError("The packed kernels are for little-endian machines.")
    command = compiling.cxx()
    sources = {name: (Path(__file__).parent / name).read_bytes() for name in SOURCES}
    flags = (*FLAGS, f"-march={architecture}")
    parts = [
        *sources.values(),
        shlex.join((*command, *flags)).encode(),
        compiling.version_of(command).encode(),
        compiling.processor().encode(),
    ]
    key = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:24]
    path = cache_folder() / f"packed-{key}.so"
    if not path.exists():
        try:
            _compile((*command, *flags), path)
        except UnavailableError:
            if architecture != "native":
                raise
            _compile((*command, *FLAGS), path)  # some compilers know no native; portable vectors are still quick
    try:
        return Library(path)
    except OSError as error:
        raise UnavailableError(f"The compiled kernels do not load: {error}.") from error


def _compile(command: tuple[str, ...], path: Path) -> None:
    try:
        compiling.compile_to(path, [*command, str(Path(__file__).parent / "engine.cpp")], _TIME_LIMIT)
    except compiling.CompileError as error:
        raise UnavailableError(f"{command[0]} cannot compile the packed kernels: {error}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{command[0]} cannot compile the packed kernels: {error}.") from error
