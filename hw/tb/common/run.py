"""Builds the bench of a cell and runs its cocotb tests."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from collections.abc import Mapping
from pathlib import Path

from hw.tb.common.cases import Case, selected, top_of
from hw.tb.common.tools import rtl_sources, simulator

__all__ = ["CELLS", "Outcome", "run_cell", "run_simulation"]

CELLS = ("fifo", "dwc", "swg", "mvtu", "affine", "pool", "control", "replay", "reorder", "weight_reader", "weight_registers", "mvtu_stream")
CELLS += ("axi3_lite", "dma", "shell")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of one cocotb test: `error` is "" where it passed."""

    test: str
    error: str
    seconds: float


def run_cell(cell: str, slow: bool = False) -> list[Outcome]:
    """Run the testbench of one cell (of `CELLS`) over its default or its slow cases.

    Raises:
        MissingToolError: a tool is missing.
        subprocess.CalledProcessError: the cell does not build.
        RuntimeError: the simulation ended without results.
    """
    shapes = importlib.import_module(f"hw.tb.{cell}.shapes")
    cases: list[Case] = selected(shapes.CASES, slow)
    if not cases:
        return []
    program = simulator("bench", rtl_sources(), {"bench.sv": getattr(shapes, "top_of", top_of)(cases)})
    with tempfile.TemporaryDirectory() as folder:
        files: Mapping[str, str] = shapes.memory_files(cases) if hasattr(shapes, "memory_files") else {}
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return run_simulation(program, "bench", f"hw.tb.{cell}.tb_{cell}", Path(folder), {"QLIGHT_TB_SLOW": "1" if slow else "0"})


def run_simulation(program: Path, top: str, module: str, folder: Path, environment: Mapping[str, str]) -> list[Outcome]:
    """Run the cocotb tests of `module` on a built simulator, in `folder`."""
    import cocotb_tools.config
    import find_libpython

    results = folder / "results.xml"
    libpython = find_libpython.find_libpython()
    env = os.environ | {
        "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[3]), *filter(None, sys.path)]),
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_RANDOM_SEED": "1",
        "TOPLEVEL_LANG": "verilog",
        **environment,
    }
    done = subprocess.run([str(program)], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if not results.exists():
        raise RuntimeError(f"The simulation of {module} ended without results:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    outcomes = []
    for test in xml.etree.ElementTree.parse(results).iter("testcase"):
        failure = next((child for child in test if child.tag in ("failure", "error", "skipped")), None)
        error = "" if failure is None else f"{failure.get('error_msg') or failure.get('message') or failure.tag}: {failure.text or ''}"
        outcomes.append(Outcome(test.get("name", "?"), error.strip(), float(test.get("time", 0))))
    if not outcomes:
        raise RuntimeError(f"The simulation of {module} ran no test:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return outcomes
