"""The C++ compiler that engines are compiled with, and the processor that they are compiled for."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from qlight.errors import HardwareError
from qlight.files import whole_file

_TIME_LIMIT = 300


class CompileError(Exception):
    """The compiler refuses the source; the message is its first error."""


class UnavailableError(HardwareError):
    """What is compiled cannot be compiled or loaded here; the message says why."""


def cxx() -> tuple[str, ...]:
    """The C++ compiler's command: the first of ``$CXX``, g++, clang++ and c++ that is there.

    Raises:
        UnavailableError: there is none.
    """
    candidates = [shlex.split(os.environ.get("CXX", "")), ["g++"], ["clang++"], ["c++"]]
    for candidate in candidates:
        if candidate and shutil.which(candidate[0]):
            return tuple(candidate)
    raise UnavailableError("There is no C++ compiler; install g++ or clang++, or name one in the environment variable CXX.")


def version_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What a tool says that it is.

    Args:
        environment: variables that it needs beside those of this process.

    Raises:
        UnavailableError: it does not run.
    """
    variables = {**os.environ, **(environment or {})}
    try:
        found = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=_TIME_LIMIT, check=False, env=variables)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"The tool {command[0]} does not run: {error}.") from error
    return found.stdout


def compile_to(path: Path, command: Sequence[str], seconds: float) -> None:
    """Run a compiler's command with ``-o`` to make `path`, which appears whole or not at all.

    Raises:
        CompileError: it refuses the source.
        OSError, subprocess.SubprocessError: it does not run, or takes longer than this.
    """
    with whole_file(path) as part:
        found = subprocess.run([*command, "-o", str(part)], capture_output=True, text=True, timeout=seconds, check=False)
        if found.returncode:
            errors = [line for line in found.stderr.splitlines() if "rror" in line] or [*found.stderr.splitlines(), "no message"]
            raise CompileError(errors[0])


def processor() -> str:
    """What tells processors apart for which ``-march=native`` means different things."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = ("flags", "Features", "model name", "cpu family", "model\t")
    return "\n".join([platform.machine(), platform.processor(), *sorted({line for line in lines if line.startswith(wanted)})])
