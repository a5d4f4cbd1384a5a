"""The flow openxc7, for Zynq-7000: Yosys, nextpnr, and Project X-Ray's fasm2frames and xc7frames2bit. No vendor tool takes part.

It works in the folder openxc7/ of a build folder, which keeps its sources, scripts and log:

qlight_zynq.sv   generated: the accelerator and the cells between it and the processing system (qlight.bitstream.ps7)
qlight_*.sv      those cells, copied from hw/rtl
synthesize.ys    Yosys' script
qlight.xdc, qlight.json, qlight.fasm, qlight.frames, qlight.bit, qlight.hwh, build.log

A file that the tools made is there only as long as every step before it was right.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlight.bitstream.fabric_clock import fabric_clock
from qlight.bitstream.made import Made, run_tool
from qlight.bitstream.nextpnr import ESTIMATES, command, read_report
from qlight.bitstream.open_tools import OpenTools, find_tools
from qlight.bitstream.ps7 import PORT_BITS, WEIGHT_PORTS, ZYNQ, constraints, zynq_top
from qlight.bitstream.zynq_handoff import zynq_handoff
from qlight.errors import HardwareError, InputError
from qlight.files import whole_file
from qlight.hardware.boards import SERIES_7, Board
from qlight.hardware.sources import shell_sources
from qlight.hardware.top import TOP_FILE

OPEN = "openxc7"
_SCRIPT, _LOG = "synthesize.ys", "build.log"
_ACCELERATOR = "rtl"


def build_with_open_tools(
    build: Path, stated: Mapping[str, Any], board: Board, database: str | Path | None = None, chipdb: str | Path | None = None
) -> Made:
    """Run the flow on a build folder.

    Args:
        stated: the folder's manifest.
        database, chipdb: see `find_tools`.

    Raises:
        InputError: the board is no Zynq-7000, or the accelerator reads weights over more or other memory ports than there are.
        HardwareError: a tool or a part of the database is missing (all are named), a tool fails, or the timing is not met.
    """
    if board.family != SERIES_7:
        raise InputError(f"Expected `flow` openxc7 for a board of Zynq-7000, but {board.name} has {board.part}; take --flow vivado.")
    streamed = stated.get("dram") or []
    if len(streamed) > WEIGHT_PORTS or any(each.get("port_bits") != PORT_BITS for each in streamed):
        layers = ", ".join(f"{each.get('layer')} ({each.get('port_bits')} bits)" for each in streamed)
        raise InputError(
            f"Expected `build` to read the weights of at most {WEIGHT_PORTS} layers from DRAM, over {PORT_BITS} bits each, as the open "
            f"flow shares no memory port, but got {layers}; take --flow vivado, or export with another folding."
        )
    _, _, mhz = fabric_clock(board.clock_mhz)
    sources = written_sources(build, stated, mhz)
    tools = find_tools(board.part, database, chipdb)
    folder, log = build / OPEN, build / OPEN / _LOG
    try:
        said = _run(tools, build, board.part, mhz, sources)
        report = read_report(said)
    except (HardwareError, ValueError) as error:
        clear(build)
        if isinstance(error, HardwareError):
            raise
        raise HardwareError(f"{tools.nextpnr_name} finished, but its log is not right ({error}); see {log}.") from error
    if report.fmax_mhz < mhz or report.hold_violations:
        clear(build)
        raise HardwareError(
            f"{tools.nextpnr_name} finished, but the timing is not met ({report.fmax_mhz:g} MHz where {mhz:g} are needed, "
            f"{report.hold_violations} paths too short); lower the board's clock."
        )
    with whole_file(folder / "qlight.hwh") as part:
        part.write_bytes(zynq_handoff(board, len(streamed)))
    timing = {"met": True, "fmax_mhz": report.fmax_mhz, "hold_violations": report.hold_violations, "note": ESTIMATES[tools.nextpnr_name]}
    return Made(
        bitstream=folder / "qlight.bit",
        handoff=folder / "qlight.hwh",
        built_by=f"qlight {stated.get('qlight')}",
        tool=f"{tools.yosys_version}, {tools.nextpnr_name}, fasm2frames, xc7frames2bit",
        clock_mhz=mhz,
        timing=timing,
        resources=report.resources,
    )


def written_sources(build: Path, stated: Mapping[str, Any], mhz: float) -> list[str]:
    """Write openxc7/ anew: the sources, scripts and constraints. Names of all SystemVerilog files, from the build folder."""
    folder = build / OPEN
    texts = {f"{ZYNQ}.sv": zynq_top((build / _ACCELERATOR / TOP_FILE).read_text(encoding="utf-8")), **shell_sources()}
    sources = sorted(name for name in stated["files"] if name.startswith(f"{_ACCELERATOR}/")) + [f"{OPEN}/{name}" for name in sorted(texts)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in {**texts, "qlight.xdc": constraints(mhz), _SCRIPT: synthesis_script(sources)}.items():
        with whole_file(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return sources


def synthesis_script(sources: list[str]) -> str:
    """Yosys' commands, run in the build folder: memory files are named from there.

    Primitives are read first, so that read_slang knows them. `$scopeinfo` cells, which tell where a flattened cell was, would stop nextpnr.
    """
    lines = [
        "read_verilog -lib -specify +/xilinx/cells_sim.v",
        "read_verilog -lib +/xilinx/cells_xtra.v",
        f"read_slang --top {ZYNQ} {' '.join(sources)}",
        f"synth_xilinx -family xc7 -flatten -top {ZYNQ}",
        "delete */t:$scopeinfo",
        "check -assert -mapped",
        "stat",
        f"write_json {OPEN}/qlight.json",
    ]
    return "\n".join([*lines, ""])


def clear(build: Path) -> None:
    """Delete what the tools made, but the log."""
    for name in ("qlight.json", "qlight.fasm", "qlight.frames", "qlight.bit", "qlight.hwh"):
        (build / OPEN / name).unlink(missing_ok=True)


def _run(tools: OpenTools, build: Path, part: str, mhz: float, sources: list[str]) -> str:
    """All tools, one after the other; what nextpnr said.

    Raises:
        HardwareError: one fails, or does not write its file.
    """
    log = build / OPEN / _LOG
    run_tool("Yosys", tools.yosys, build, log, "ERROR", build / OPEN / _SCRIPT)
    _made(build, "Yosys", "qlight.json")
    said = run_tool(tools.nextpnr_name, command(tools.nextpnr, tools.nextpnr_name, part, mhz, OPEN, tools.chipdb), build, log, "ERROR")
    _made(build, tools.nextpnr_name, "qlight.fasm")
    frames = [tools.fasm2frames, "--db-root", str(tools.database), "--part", part, f"{OPEN}/qlight.fasm", f"{OPEN}/qlight.frames"]
    run_tool("fasm2frames", frames, build, log, "ERROR")
    _made(build, "fasm2frames", "qlight.frames")
    bits = [tools.xc7frames2bit, "--part_file", str(tools.part_file(part)), "--part_name", part]
    run_tool("xc7frames2bit", [*bits, "--frm_file", f"{OPEN}/qlight.frames", "--output_file", f"{OPEN}/qlight.bit"], build, log, "ERROR")
    _made(build, "xc7frames2bit", "qlight.bit")
    return said


def _made(build: Path, tool: str, name: str) -> None:
    """See that a tool wrote its file; xc7frames2bit ends well where it could not."""
    path = build / OPEN / name
    if not path.is_file() or not path.stat().st_size:
        raise HardwareError(f"{tool} finished, but {OPEN}/{name} is not there; see {build / OPEN / _LOG}.")
