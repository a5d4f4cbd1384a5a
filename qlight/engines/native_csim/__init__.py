"""Compiling the HLS twin of a build folder for C-simulation: one C++ compiler run, its library kept in the user's cache folder.

The library depends on the geometry only: its memories are empty until parameter words are loaded. ``ap_int.h`` comes from an installed
Vitis HLS (``$XILINX_HLS``) or the PyPI package hls4ml (the extra hls: ``pip install -e '.[hls]'`` in the checkout), which is not
imported; ``hls_stream.h`` is that of hw/hls/csim.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from qlight.engines import compiling
from qlight.errors import HardwareError
from qlight.files import cache_folder
from qlight.hardware.sources import hls_folder

#: as Vitis HLS compiles it, with warnings of its headers off; hidden symbols, so that copies of a library share nothing
FLAGS = ("-std=c++17", "-O2", "-march=native", "-fPIC", "-shared", "-fvisibility=hidden", "-w", "-DQLIGHT_EMPTY_MEMORIES")
#: files of ap_int.h below its folder
_AP_INT = ("ap_int.h", "ap_common.h", "ap_decl.h", "ap_int_base.h", "ap_int_ref.h", "ap_int_special.h", "etc/ap_private.h")
_TIME_LIMIT = 1200

_int, _pointer, _text = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
_FUNCTIONS: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "qlight_run": (_int, (_pointer, _int, _pointer, _pointer, _pointer, _int)),
    "qlight_load": (None, (_pointer, _int)),
    "qlight_put": (None, (_int, _pointer)),
    "qlight_fetch": (None, ()),
    "qlight_written": (_int, (_text,)),
    "qlight_record": (None, ()),
    "qlight_recorded": (_int, (_text, _pointer)),
}


def load(path: Path) -> ctypes.CDLL:
    """A compiled library with the types of its functions.

    Raises:
        OSError: it does not load.
    """
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def compiled(sources: Path, key: str) -> Path:
    """The library of a build folder's C++, compiled now if the cache folder does not hold it yet (5 to 20 seconds).

    Args:
        sources: the folder of qlight_hls.cpp.
        key: stands for the files in it: the geometry hash of the build.

    Raises:
        HardwareError: ap_int.h or the compiler is missing (the message says what to install), or the compiler fails.
    """
    headers, compiler = find_ap_int(), compiling.cxx()
    driver, stream = Path(__file__).parent / "driver.cpp", hls_folder() / "csim" / "hls_stream.h"
    parts = (
        *(key.encode(), driver.read_bytes(), stream.read_bytes(), compiling.version_of(compiler).encode()),
        *(shlex.join((*compiler, *FLAGS)).encode(), compiling.processor().encode()),
        *((headers / name).read_bytes() for name in _AP_INT),
    )
    digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:24]
    path = cache_folder() / f"csim-{digest}.so"
    if not path.exists():
        compile_library([driver], path, [sources])
    return path


def compile_library(sources: list[Path], path: Path, include: list[Path]) -> None:
    """Compile C++ with hw/hls, its streams and ap_int.h on the include path; the library appears whole or not at all.

    Raises:
        HardwareError: as `compiled`.
    """
    headers, compiler = find_ap_int(), compiling.cxx()
    # our hls_stream.h comes first: the folder of ap_int.h may have one
    folders = [*include, hls_folder() / "csim", hls_folder(), headers]
    command = (*compiler, *FLAGS, *_unique(compiler), *(f"-I{folder}" for folder in folders), *map(str, sources))
    try:
        compiling.compile_to(path, command, _TIME_LIMIT)
    except compiling.CompileError as error:
        raise HardwareError(f"The C++ compiler {compiler[0]} does not compile the C-simulation: {error}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise HardwareError(f"The tool {compiler[0]} does not run: {error}.") from error


def _unique(compiler: tuple[str, ...]) -> tuple[str, ...]:
    """GCC would share the static variables of templates between all libraries of a process."""
    return ("-fno-gnu-unique",) if "Free Software Foundation" in compiling.version_of(compiler) else ()


def find_ap_int() -> Path:
    """The folder of ap_int.h: of ``$XILINX_HLS``, or of the PyPI package hls4ml.

    Raises:
        HardwareError: there is none.
    """
    for folder in _places():
        if all((folder / name).is_file() for name in _AP_INT):
            return folder
    raise HardwareError(
        "The target csim needs ap_int.h, but there is none; install it with `pip install -e '.[hls]'` in the checkout (package hls4ml)."
    )


def _places() -> Iterator[Path]:
    if os.environ.get("XILINX_HLS"):
        yield Path(os.environ["XILINX_HLS"]) / "include"
    package = importlib.util.find_spec("hls4ml")
    for place in (package and package.submodule_search_locations) or ():
        yield Path(place) / "templates" / "vivado" / "ap_types"
