"""What the open flow needs of this machine: programs, and Project X-Ray's database of the part. All that is missing is named at once."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qlight.bitstream.bitfile import device_of
from qlight.bitstream.nextpnr import HIMBAECHEL, PROGRAMS, XILINX
from qlight.errors import HardwareError
from qlight.hardware.synthesis import RUN

#: where environment variables name what options do not
DATABASE_VARIABLE, CHIPDB_VARIABLE = "PRJXRAY_DB_DIR", "QLIGHT_CHIPDB"
_FAMILY = "zynq7"
_YOSYS_HELP = "Yosys with read_slang (pip install pyosys)"
_NEXTPNR_HELP = f"{XILINX} (openXC7/nextpnr-xilinx on GitHub) or {HIMBAECHEL} (YosysHQ/nextpnr, HIMBAECHEL_UARCH=xilinx)"
_XRAY_HELP = "(f4pga/prjxray on GitHub)"


@dataclass(frozen=True)
class OpenTools:
    """What was found.

    Attributes:
        yosys: a command that runs the script of its standard input.
        yosys_version: in words.
        nextpnr: where it is; ``nextpnr_name``: which of `PROGRAMS`.
        fasm2frames, xc7frames2bit: where they are.
        database: of the family.
        chipdb: of nextpnr; None: it has one built in.
    """

    yosys: tuple[str, ...]
    yosys_version: str
    nextpnr: str
    nextpnr_name: str
    fasm2frames: str
    xc7frames2bit: str
    database: Path
    chipdb: Path | None

    def part_file(self, part: str) -> Path:
        """The description of a part that xc7frames2bit takes."""
        return self.database / part / "part.yaml"


def find_tools(part: str, database: str | Path | None = None, chipdb: str | Path | None = None) -> OpenTools:
    """Find everything.

    Args:
        part: as the board's file has it.
        database: of Project X-Ray, the folder that holds zynq7; None: what PRJXRAY_DB_DIR names.
        chipdb: nextpnr's chip database file; None: what QLIGHT_CHIPDB names, or the one that is built in.

    Raises:
        HardwareError: something is missing; the message names all of it, and where it is from.
    """
    named, missing = _settings(database, chipdb), []
    yosys = _yosys()
    if yosys is None:
        missing.append(_YOSYS_HELP)
    nextpnr = next(((path, name) for name in PROGRAMS if (path := shutil.which(name))), None)
    if nextpnr is None:
        missing.append(_NEXTPNR_HELP)
    elif nextpnr[1] == XILINX and "chipdb" not in named:
        missing.append(f"the chip database of {XILINX} (its bbaexport.py and bbasm make it; name it with --chipdb or {CHIPDB_VARIABLE})")
    if "chipdb" in named and not named["chipdb"].is_file():
        missing.append(f"the chip database {str(named['chipdb'])!r}, which is no file")
    found = {}
    for name, others in (("fasm2frames", ("fasm2frames.py",)), ("xc7frames2bit", ())):
        found[name] = next((path for each in (name, *others) if (path := shutil.which(each))), "")
        if not found[name]:
            missing.append(f"{name} {_XRAY_HELP}")
    if "database" not in named:
        missing.append(f"Project X-Ray's database (openXC7/prjxray-db on GitHub; name its folder with --prjxray_db or {DATABASE_VARIABLE})")
    else:
        family = named["database"] / _FAMILY
        names = ("mapping/parts.yaml", "mapping/devices.yaml", f"{device_of(part)}/tilegrid.json", f"{part}/part.yaml")
        absent = [f"{_FAMILY}/{name}" for name in names if not (family / name).is_file()]
        if absent:
            missing.append(f"{', '.join(absent)} of the database {str(named['database'])!r} (git submodules and large files included)")
    if missing or yosys is None or nextpnr is None:
        raise HardwareError(f"The flow openxc7 lacks {'; '.join(missing)}: install these and run it again.")
    return OpenTools(*yosys, *nextpnr, found["fasm2frames"], found["xc7frames2bit"], named["database"] / _FAMILY, named.get("chipdb"))


def _settings(database: str | Path | None, chipdb: str | Path | None) -> Mapping[str, Path]:
    """What options and environment variables name."""
    stated = {"database": database or os.environ.get(DATABASE_VARIABLE), "chipdb": chipdb or os.environ.get(CHIPDB_VARIABLE)}
    return {name: Path(path).expanduser().absolute() for name, path in stated.items() if path}


def _yosys() -> tuple[tuple[str, ...], str] | None:
    """pyosys of this environment, in a process of its own (in one that has loaded torch it aborts), or a `yosys` that has read_slang."""
    if importlib.util.find_spec("pyosys") is not None:
        return (sys.executable, "-c", RUN), f"Yosys (pyosys {importlib.metadata.version('pyosys')})"
    program = shutil.which("yosys")
    if program is None:
        return None
    done = subprocess.run([program, "-Q", "-p", "help read_slang; version"], capture_output=True, text=True, check=False)
    if done.returncode or "No such command" in done.stdout:
        return None
    version = next((line for line in done.stdout.splitlines() if line.startswith("Yosys")), "Yosys")
    return (program, "-Q", "-s", "/dev/stdin"), version
