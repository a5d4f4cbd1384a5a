"""An environment of its own for pynq, which wants numpy 1 and a certain gRPC: ``python -m qlight.board.environment`` makes it with pip.

It is kept in the user's cache folder and made once (one to three minutes); the qlight that runs in it is this one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

from qlight.board.locking import alone
from qlight.errors import HardwareError
from qlight.files import cache_folder

#: what is installed: pynq as it is published, and what reads a graph
REQUIREMENTS = ("pynq==4.0.0", "safetensors>=0.4")
_READY, _SECONDS = "qlight-ready", 900
#: what pip says where it cannot ask a registry at all
_UNREACHABLE = ("ConnectionError", "NewConnectionError", "Temporary failure in name resolution", "Max retries exceeded", "ReadTimeoutError")


class UnreachableError(HardwareError):
    """No package registry can be reached."""


def pynq_python() -> Path:
    """The interpreter of the environment, which is made first where it is not there yet.

    Raises:
        UnreachableError: it is not there, and no registry can be reached.
        HardwareError: pip cannot make it.
    """
    key = hashlib.sha256("\0".join((*REQUIREMENTS, sys.version, sysconfig.get_platform())).encode()).hexdigest()[:16]
    folder = cache_folder() / f"pynq-{key}"
    python = folder / "bin" / "python"
    with alone(folder.with_suffix(".lock")):
        if not (folder / _READY).exists():
            shutil.rmtree(folder, ignore_errors=True)  # one that was cut off
            venv.create(folder, with_pip=True)
            _install(python)
            (folder / _READY).touch()
    return python


def pynq_command(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[list[str], dict[str, str]]:
    """What runs ``python -m module arguments`` in the environment: a command and its environment variables.

    Raises:
        HardwareError: as `pynq_python`.
    """
    python = pynq_python()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYNQ", "VIRTUAL_ENV"))}
    variables |= {"PYTHONPATH": str(_path(python)), "PYTHONUNBUFFERED": "1", **(environment or {})}
    return [str(python), "-m", module, *arguments], variables


def _path(python: Path) -> Path:
    """A folder with this qlight: the checkout, or where qlight is installed among other packages, one with a link to it alone."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parent / "numpy").exists():
        return package.parent
    folder = python.parents[1] / f"qlight-{hashlib.sha256(str(package).encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / package.name).symlink_to(package)
    return folder


def _install(python: Path) -> None:
    command = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS)
    try:
        found = subprocess.run(
            command, env={**os.environ, "PYNQ_REMOTE": "1"}, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HardwareError(f"The environment for pynq cannot be made: pip does not end ({error}).") from error
    if found.returncode:
        lines = [line for line in found.stderr.splitlines() if "ERROR" in line or "rror:" in line] or found.stderr.splitlines()[-1:]
        text = f"The environment for pynq cannot be made: pip install {' '.join(REQUIREMENTS)} failed: {' '.join(lines[:2])}"
        raise UnreachableError(text) if any(word in found.stderr for word in _UNREACHABLE) else HardwareError(text)


if __name__ == "__main__":
    print(pynq_python())
