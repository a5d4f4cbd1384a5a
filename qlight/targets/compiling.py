"""The C++ compiler and the processor that engines are compiled with and for, and the user's cache folder, where what they make is kept."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

_TIME_LIMIT = 300


class UnavailableError(RuntimeError):
    """What is compiled cannot be compiled or loaded here; the message says why."""


def cxx() -> tuple[str, ...]:
    """The C++ compiler's command: the first of ``$CXX``, g++, clang++ and c++ that works.

    Raises:
        UnavailableError: there is none.
    """
    candidates = [shlex.split(os.environ.get("CXX", "")), ["g++"], ["clang++"], ["c++"]]
    for candidate in candidates:
        if candidate and shutil.which(candidate[0]):
            return tuple(candidate)
    raise UnavailableError("There is no C++ compiler; install g++ or clang++, or name one in the environment variable CXX.")


def cxx_version(command: tuple[str, ...]) -> str:
    """What the compiler says that it is.

    Raises:
        UnavailableError: it does not run.
    """
    try:
        return subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=_TIME_LIMIT, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"The C++ compiler {command[0]} does not run: {error}.") from error


def processor() -> str:
    """What tells processors apart for which ``-march=native`` means different things."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = ("flags", "Features", "model name", "cpu family", "model\t")
    return "\n".join([platform.machine(), platform.processor(), *sorted({line for line in lines if line.startswith(wanted)})])


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/qlight`` or ``~/.cache/qlight``; where that cannot be written, a folder of this process."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "qlight"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    return Path(_own_folder().name)


@functools.cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="qlight-")
