"""nextpnr for 7-series, either program of it: how it is called, and what its log says in the end.

nextpnr-xilinx (openXC7) and nextpnr-himbaechel with its uarch xilinx (YosysHQ); options and formats from their sources (main.cc,
common/timing_log.cc, design_utils.cc). What they know of timing is an estimate, from the same sources (xilinx/arch.cc, xilinx_gen.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

XILINX, HIMBAECHEL = PROGRAMS = ("nextpnr-xilinx", "nextpnr-himbaechel")
#: what a frequency is worth, for the manifest
ESTIMATES = {
    XILINX: "nextpnr's estimate, of paths between flip-flops through LUTs and carries: none of memories, DSP, PS7; hold times unchecked",
    HIMBAECHEL: "nextpnr's estimate, with rounded delays of LUTs and flip-flops: no paths of DSP and PS7",
}
_CLOCK = re.compile(r"Max frequency for clock\s+'([^'\n]+)': ([0-9.]+) MHz \((?:PASS|FAIL) at ([0-9.]+) MHz\)")
_USED = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%$", re.MULTILINE)
_HOLD = re.compile(r"(\d+) Hold/min time violations")
_SEED = 1


@dataclass(frozen=True)
class Report:
    """What a log says after routing.

    Attributes:
        fmax_mhz: the slowest clock's.
        hold_violations: paths that are too short; 0 too where they are not checked.
        resources: {"used", "available"} by nextpnr's name of a kind, of those that are used. SLICE_LUTX counts both outputs of a LUT.
    """

    fmax_mhz: float
    hold_violations: int
    resources: dict[str, dict[str, int]]


def command(program: str, name: str, part: str, mhz: float, folder: str, chipdb: Path | None) -> list[str]:
    """The command that places and routes ``folder/qlight.json`` into ``folder/qlight.fasm``. Missing the frequency is no error of it.

    Args:
        program: where it is.
        name: which of `PROGRAMS` it is.
        chipdb: the chip database file, which nextpnr-xilinx must have.
    """
    files = {"json": f"{folder}/qlight.json", "xdc": f"{folder}/qlight.xdc", "fasm": f"{folder}/qlight.fasm"}
    start = [program, *(["--chipdb", str(chipdb)] if chipdb else []), "--json", files["json"]]
    if name == XILINX:
        start += ["--xdc", files["xdc"], "--fasm", files["fasm"]]
    else:
        start += ["--device", part, "-o", f"xdc={files['xdc']}", "-o", f"fasm={files['fasm']}"]
    return [*start, "--freq", f"{mhz:.6g}", "--seed", str(_SEED), "--timing-allow-fail"]


def read_report(log: str) -> Report:
    """The last figures of a log: those after routing.

    Raises:
        ValueError: it has none.

    >>> read_report('''Info:              SLICE_LUTX:  1234/106400     1%
    ... Info: Max frequency for clock 'clk': 120.50 MHz (PASS at 100.00 MHz)
    ... Info: Max frequency for clock 'clk': 111.11 MHz (PASS at 100.00 MHz)''')
    Report(fmax_mhz=111.11, hold_violations=0, resources={'SLICE_LUTX': {'used': 1234, 'available': 106400}})
    """
    clocks = {name: float(mhz) for name, mhz, _ in _CLOCK.findall(log)}
    used = {kind: {"used": int(count), "available": int(most)} for kind, count, most in _USED.findall(log) if int(count)}
    if not clocks or not used:
        raise ValueError(f"it has no line with {'a frequency' if used else 'the utilisation'}")
    return Report(min(clocks.values()), int((_HOLD.findall(log) or [0])[-1]), used)
