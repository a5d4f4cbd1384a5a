"""What Vivado reports of a design that it implemented, put into the manifest of its build folder.

Written for the texts of `report_utilization` and `report_timing_summary` (AMD UG835, UG906); not tried with the vendor's tools.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qlight.errors import InputError
from qlight.files import whole_file
from qlight.hardware.folders import KINDS, MANIFEST, read_manifest
from qlight.hardware.vivado import VIVADO

#: in the folder vivado/ of a build folder, and in the build folder itself
UTILIZATION, TIMING, BITSTREAM = "reports/utilization.rpt", "reports/timing.rpt", "qlight.bit"
#: how the rows of resources are called, on Zynq-7000 and UltraScale+, before and after the place step
_ROWS = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "ff": ("Slice Registers", "CLB Registers"),
    "bram36": ("Block RAM Tile",),
    "uram": ("URAM",),
    "dsp": ("DSPs",),
}
#: parts without UltraRAM have no row of it
_ABSENT = ("uram",)
_SLACKS = {"wns_ns": "WNS(ns)", "tns_ns": "TNS(ns)", "whs_ns": "WHS(ns)", "ths_ns": "THS(ns)", "wpws_ns": "WPWS(ns)"}
#: part of the name of the clock that the block design makes for the accelerator
_CLOCK = "clk_out1"
#: how far the clock may be from the board's: what the script allows
_TOLERANCE = 0.01
_MOST_BYTES = 2**26


def parse_utilization(text: str) -> dict[str, Any]:
    """Resources of a report of utilization: ``tool``, ``device``, and ``utilization``, by kind ``used`` and ``available``.

    Raises:
        InputError: it is none, or a resource is missing.
    """
    header = dict(re.findall(r"^\| (Tool Version|Device) +: (.+?) *$", text, re.MULTILINE))
    found: dict[str, dict[str, float]] = {}
    for cells in _tables(text):
        name = cells[next(iter(cells))].strip().rstrip("*").strip()
        kind = next((kind for kind, rows in _ROWS.items() if name in rows), None)
        if kind is None or kind in found or "Used" not in cells or "Available" not in cells:
            continue
        found[kind] = {"used": _number(cells["Used"], name), "available": _number(cells["Available"], name)}
    for kind in _ABSENT:
        found.setdefault(kind, {"used": 0, "available": 0})
    missing = [kind for kind in _ROWS if kind not in found]
    if missing or set(header) != {"Tool Version", "Device"}:
        raise _no_report("report_utilization", ", ".join(missing) or "the tool's version or the device")
    tool = header["Tool Version"].partition(" (")[0]
    return {"tool": tool, "device": header["Device"], "utilization": {kind: found[kind] for kind in _ROWS}}


def parse_timing(text: str) -> dict[str, Any]:
    """Slacks of a report of timing in ns (setup WNS, TNS; hold WHS, THS; pulse width WPWS), whether all constraints are met, and the
    frequency in MHz of every clock by name.

    Raises:
        InputError: it is none, or has no slack.
    """
    lines = text.splitlines()
    heading = next((index for index, line in enumerate(lines) if "WNS(ns)" in line and "WHS(ns)" in line), None)
    if heading is None or heading + 2 >= len(lines):
        raise _no_report("report_timing_summary", "WNS(ns)")
    names = re.split(r" {2,}", lines[heading].strip())
    values = lines[heading + 2].split()
    # names of columns have spaces, so numbers are counted from the left as columns are: every column has one
    row = dict(zip(names, values, strict=False))
    if len(names) != len(values):
        raise _no_report("report_timing_summary", "a number for every column of slacks")
    slacks = {key: _number(row.get(name, ""), name) for key, name in _SLACKS.items()}
    failing = sum(int(_number(value, name)) for name, value in row.items() if name.endswith("Failing Endpoints"))
    met = failing == 0 and all(value >= 0 for value in slacks.values()) and "Timing constraints are not met" not in text
    clocks = dict(_clocks(lines))
    return {**slacks, "failing_endpoints": failing, "met": met, "clocks_mhz": clocks}


def record_implementation(folder: str | Path) -> dict[str, Any]:
    """Put what the reports in ``vivado/reports`` of a build folder say into its manifest, as ``implementation``, and return it.

    Raises:
        InputError: the folder is no build for a board, there are no reports, or they are of another part or clock than the board's.
    """
    folder = Path(folder).expanduser()
    manifest = dict(_manifest(folder))
    board = manifest.get("board")
    if not isinstance(board, Mapping) or not isinstance(board.get("part"), str) or type(board.get("clock_mhz")) not in (int, float):
        raise InputError(f"Expected `build` to be one for a board, but {str(folder)!r} is not; export it with --board.")
    found = {**parse_utilization(_report(folder, UTILIZATION)), "timing": parse_timing(_report(folder, TIMING))}
    if _plain(board["part"]) not in _plain(found["device"]) and _plain(found["device"]) not in _plain(board["part"]):
        raise InputError(f"Expected reports of the part {board['part']}, but they are of {found['device']}; run vivado/build.tcl again.")
    clocks = [mhz for name, mhz in found["timing"]["clocks_mhz"].items() if _CLOCK in name]
    if len(clocks) != 1 or abs(clocks[0] - board["clock_mhz"]) > _TOLERANCE * board["clock_mhz"]:
        got = ", ".join(f"{mhz:g}" for mhz in clocks) or "none"
        raise InputError(f"Expected reports of a clock {_CLOCK} of {board['clock_mhz']:g} MHz, but got {got}; run vivado/build.tcl again.")
    found["clock_mhz"] = clocks[0]
    bitstream = folder / BITSTREAM
    found["bitstream_sha256"] = hashlib.sha256(bitstream.read_bytes()).hexdigest() if bitstream.is_file() else None
    manifest["implementation"] = found
    with whole_file(folder / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="ascii")
    return found


def summary(found: Mapping[str, Any]) -> str:
    """One line of what `record_implementation` found."""
    used = ", ".join(
        f"{kind} {held['used']:g} of {held['available']:g} ({held['used'] / held['available']:.0%})"
        for kind, held in found["utilization"].items()
        if held["available"]
    )
    timing = f"timing {'met' if found['timing']['met'] else 'NOT met'} (WNS {found['timing']['wns_ns']:g} ns)"
    return f"{found['tool']}, {found['device']}, {found['clock_mhz']:g} MHz: {timing}; {used}"


def _manifest(folder: Path) -> Mapping[str, Any]:
    """Of a build of any kind."""
    try:
        kind = json.loads((folder / MANIFEST).read_text(encoding="ascii")).get("format")
    except (OSError, ValueError, AttributeError, RecursionError):
        kind = None
    return read_manifest(folder, KINDS.get(str(kind), "rtl"))


def _report(folder: Path, name: str) -> str:
    path = folder / VIVADO / name
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"Expected {str(path)!r} to be a report of Vivado, but it has {path.stat().st_size} bytes.")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"Expected {str(path)!r}, but it cannot be read ({error.strerror}); run vivado/build.tcl in Vivado.") from error


def _tables(text: str) -> Iterator[dict[str, str]]:
    """Rows of the tables with vertical bars, by their column's heading, which stands between two rules."""
    heading: list[str] | None = None
    rules = 0
    for line in text.splitlines():
        if line.startswith("+-"):
            rules += 1
            continue
        if not line.startswith("|"):
            heading, rules = None, 0
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if rules == 1:
            heading = cells
        elif heading is not None and len(cells) == len(heading):
            yield dict(zip(heading, cells, strict=True))


def _clocks(lines: list[str]) -> Iterator[tuple[str, float]]:
    """Name and MHz of the rows of the clock summary."""
    start = next((index for index, line in enumerate(lines) if re.match(r"Clock +Waveform\(ns\)", line)), None)
    for line in lines[start + 2 :] if start is not None else []:
        row = re.match(r" *(\S+) +\{[^}]*\} +([\d.]+) +([\d.]+)", line)
        if row is None:
            return
        yield row[1], float(row[3])


def _number(text: str, what: str) -> float:
    """A number; whole ones as int."""
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"Expected a number in the report of Vivado at {what}, but got {text!r}; run vivado/build.tcl again.") from error
    return int(value) if value == int(value) and "." not in text else value


def _plain(part: str) -> str:
    return re.sub(r"[^a-z0-9]", "", part.lower())


def _no_report(command: str, missing: str) -> InputError:
    return InputError(f"Expected a report of Vivado's {command}, but {missing} is missing; run vivado/build.tcl again.")
