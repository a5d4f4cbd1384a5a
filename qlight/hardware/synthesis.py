"""Yosys on a cell or a whole accelerator: what it takes, as LUT, FF, BRAM, URAM and DSP, kept in the user's cache.

Yosys runs in a process of its own: in one that has loaded torch it aborts. LUTs are its estimate of logic cells (`stat -tech xilinx`),
in which small functions share a LUT6 where their number allows it, as the vendor's tools do, and those used as memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qlight.errors import HardwareError, InputError
from qlight.files import cache_folder, whole_file
from qlight.hardware.boards import Resources

#: LUTs that a cell of distributed memory or a shift register takes
_LUTS_OF_MEMORY = {"RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8, "RAM32X16DR8": 8}
_LUTS_OF_MEMORY |= {"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}
_LUTS_OF_MEMORY |= {"RAM32X2S": 2, "RAM32X4S": 4, "RAM32X8S": 8, "RAM64X2S": 2, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1}
#: cells that are part of a slice or the clock network and take no resource of their own
_FREE = ("MUXF", "CARRY", "BUFG", "IBUF", "OBUF", "GND", "VCC", "INV")
_INSTANCE = re.compile(r"^\s*(qlight_\w+) #\(", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*")
#: a Python program that runs the lines of its standard input as Yosys commands
RUN = """
import sys, pyosys.libyosys as yosys
design = yosys.Design()
for line in sys.stdin.read().splitlines():
    yosys.run_pass(line, design)
"""


@dataclass(frozen=True)
class Synthesis:
    """What Yosys made of a module.

    Attributes:
        resources: in all; LUTs include those used as memory, which ``memory_luts`` counts by itself.
        lut_cells: cells LUT1 to LUT6 before any share a LUT.
        seconds: that the run took when it was made; a result of the cache keeps those of its run.
    """

    resources: Resources
    memory_luts: int
    lut_cells: int
    seconds: float


def yosys_version() -> str:
    """Of the installed pyosys.

    Raises:
        HardwareError: there is none.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise HardwareError("Synthesis needs Yosys, but `pyosys` is not installed; pip install pyosys.")
    return importlib.metadata.version("pyosys")


def synthesize(
    top: str,
    sources: Mapping[str, str],
    family: str,
    parameters: Mapping[str, int | str] | None = None,
    *,
    memory: Mapping[str, str] | None = None,
    options: str = "",
    seconds: float | None = None,
    cache: bool = True,
) -> Synthesis:
    """Run ``synth_xilinx`` on a module, flattened and without pads, or take the result of an earlier run of the same.

    Args:
        top: the module.
        sources: SystemVerilog text by file name.
        family: "xc7" or "xcup".
        parameters: of ``top``; texts are quoted.
        memory: text of $readmemh files by the name that the sources give them.
        options: more options of synth_xilinx.
        seconds: the most that it may take.
        cache: whether an earlier result will do.

    Raises:
        HardwareError: pyosys is not installed, Yosys refuses the sources (its message is quoted), or it took longer than ``seconds``.
    """
    version = yosys_version()
    given, files = dict(parameters or {}), dict(memory or {})
    bare = [(name, _COMMENT.sub("", text)) for name, text in sorted(sources.items())]
    stated = [version, top, family, options, bare, sorted(given.items()), sorted(files.items())]
    kept = cache_folder() / "yosys" / f"{hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:32]}.json"
    if cache and kept.is_file():
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # damaged: made again
            found = json.loads(kept.read_text(encoding="ascii"))
            return Synthesis(Resources(**found.pop("resources")), **found)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="qlight-yosys-") as name:
        folder = Path(name)
        for path, text in (*sources.items(), *files.items()):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        values = " ".join(f'-G {key}="{value}"' if isinstance(value, str) else f"-G {key}={value}" for key, value in given.items())
        script = [
            f"read_slang --top {top} {values} {' '.join(sources)}",
            f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top {top} {options}".rstrip(),
            "tee -q -o stat.json stat -tech xilinx -json",
        ]
        try:
            done = subprocess.run(
                [sys.executable, "-c", RUN],
                input="\n".join(script),
                capture_output=True,
                text=True,
                timeout=seconds,
                cwd=folder,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HardwareError(f"Yosys did not finish {top} within {seconds:g} seconds; take a smaller unit, or give it more.") from error
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()] or ["it says nothing"]
            raise HardwareError(f"Yosys does not synthesize {top}: {said[0].strip()}.")
        made = _counted(json.loads((folder / "stat.json").read_text())["design"], time.perf_counter() - start)
    with contextlib.suppress(OSError, InputError), whole_file(kept) as part:  # a cache that cannot be written is no error
        part.write_text(json.dumps(asdict(made)), encoding="ascii")
    return made


def needed(top: str, sources: Mapping[str, str]) -> dict[str, str]:
    """Of cells by file name, those that ``top`` is made of: results are kept while only others change.

    >>> cells = {"qlight_a.sv": "module qlight_a;\\n  qlight_b #(\\n", "qlight_b.sv": "module qlight_b;", "qlight_c.sv": ""}
    >>> needed("qlight_a", cells).keys()
    dict_keys(['qlight_a.sv', 'qlight_b.sv'])
    """
    found = {f"{top}.sv": sources[f"{top}.sv"]}
    for name in _INSTANCE.findall(sources[f"{top}.sv"]):
        if f"{name}.sv" not in found and name != top:
            found |= needed(name, sources)
    return found


def _counted(stat: Mapping[str, Any], seconds: float) -> Synthesis:
    """What Yosys' statistics say."""
    found = dict.fromkeys(("lut", "ff", "bram18", "uram", "dsp"), 0)
    memory = cells = 0
    for kind, count in stat["num_cells_by_type"].items():
        if kind in _LUTS_OF_MEMORY:
            memory += count * _LUTS_OF_MEMORY[kind]
        elif kind.startswith("LUT"):
            cells += count
        elif kind.startswith("FD"):
            found["ff"] += count
        elif kind.startswith("RAMB"):
            found["bram18"] += count * (2 if kind.startswith("RAMB36") else 1)
        elif kind.startswith("URAM"):
            found["uram"] += count
        elif kind.startswith("DSP"):
            found["dsp"] += count
        elif not kind.startswith(_FREE):
            raise HardwareError(f"Yosys made a cell {kind}, which no resource of the part is known for; report this.")
    found["lut"] = stat["estimated_num_lc"] + memory
    return Synthesis(Resources(**found), memory, cells, seconds)
