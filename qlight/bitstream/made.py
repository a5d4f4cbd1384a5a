"""What a flow hands over: the files of an overlay, and what its tools say of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qlight.errors import HardwareError


@dataclass(frozen=True)
class Made:
    """Files and facts of a build that finished; nothing of it is checked yet.

    Attributes:
        bitstream, handoff: the files.
        built_by: which script or flow of which qlight.
        tool: names and versions.
        clock_mhz, timing, resources: as in the manifest of an overlay; ``timing`` is met.
    """

    bitstream: Path
    handoff: Path
    built_by: str
    tool: str
    clock_mhz: float
    timing: Mapping[str, Any]
    resources: Mapping[str, Any]


def run_tool(name: str, command: Sequence[str], folder: Path, log: Path, errors: str, script: Path | None = None) -> str:
    """Run a tool in a folder; what it says is added to a log, and returned.

    Args:
        name: of the tool, for messages.
        errors: what its error lines begin with; the first is quoted.
        script: its standard input; None: it has none.

    Raises:
        HardwareError: it fails.
    """
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file, (script or Path("/dev/null")).open("rb") as given:
        done = subprocess.run(command, cwd=folder, stdin=given, stdout=file, stderr=subprocess.STDOUT, check=False)
    said = log.read_bytes()[start:].decode("utf-8", "replace")
    if done.returncode:
        lines = said.splitlines()
        quoted = next((line for line in lines if line.startswith(errors)), lines[-1] if lines else "it says nothing")
        raise HardwareError(f"{name} failed ({quoted.strip()}); {log} has all that it said.")
    return said
