"""The flow vivado: `vivado/build.tcl` of a build folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlight.bitstream.made import Made, run_tool
from qlight.errors import HardwareError, InputError
from qlight.hardware.vivado import BUILD_SCRIPT, VIVADO
from qlight.hardware.vivado_reports import BITSTREAM, record_implementation

_HANDOFF, _LOG = "qlight.hwh", "build.log"


def build_with_vivado(build: Path, stated: Mapping[str, Any]) -> Made:
    """Run the script in the build folder; what Vivado says goes into a log beside it.

    Args:
        stated: the folder's manifest.

    Raises:
        InputError: the folder has no such script.
        HardwareError: there is no Vivado, it failed (its first error is quoted), or the timing is not met.
    """
    if not (build / VIVADO / BUILD_SCRIPT).is_file():
        raise InputError(f"Expected `build` to be one for a board, but {str(build)!r} is not; export it with --board.")
    tool = shutil.which("vivado")
    if tool is None:
        raise HardwareError("The flow vivado needs `vivado`, which is not on PATH; install AMD Vivado and source its settings64.sh.")
    log = build / VIVADO / _LOG
    log.unlink(missing_ok=True)
    command = [tool, "-mode", "batch", "-nojournal", "-nolog", "-source", f"{VIVADO}/{BUILD_SCRIPT}"]
    run_tool("Vivado", command, build, log, "ERROR")
    try:
        found = record_implementation(build)
    except InputError as error:
        raise HardwareError(f"Vivado finished, but its reports are not right: {error}") from error
    if not found["timing"]["met"]:
        raise HardwareError(f"Vivado finished, but the timing is not met (WNS {found['timing']['wns_ns']:g} ns); lower the board's clock.")
    missing = [name for name in (BITSTREAM, _HANDOFF) if not (build / name).is_file()]
    if missing:
        raise HardwareError(f"Vivado finished, but {' and '.join(missing)} is not there; see {log}.")
    return Made(
        bitstream=build / BITSTREAM,
        handoff=build / _HANDOFF,
        built_by=f"{VIVADO}/{BUILD_SCRIPT} of qlight {stated.get('qlight')}",
        tool=found["tool"],
        clock_mhz=found["clock_mhz"],
        timing=found["timing"],
        resources=found["utilization"],
    )
