"""Builds the bench of a simulation's accelerators and runs the cocotb tests of whole networks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hw.tb.common.run import Outcome, run_simulation
from hw.tb.common.tools import rtl_sources, simulator
from hw.tb.network.bench import MONITOR, bench_of, foreign_bench, top_of
from hw.tb.network.cases import foreign_case, read_cases, write_cases
from hw.tb.network.layers import taps
from hw.tb.network.networks import Network
from qlight.hardware.top import TOP

__all__ = ["run_network"]

_IMAGES, _REGISTERS = "hw.tb.network.tb_images", "hw.tb.network.tb_registers"


def run_network(networks: Sequence[Network], edit: Callable[[str], str] = str) -> list[Outcome]:
    """Run the testbench on accelerators of these networks, all in one simulation.

    `QLIGHT_DUT` names a folder with another tool's Verilog of a top level that has the ports of ours, and with graph/, which it must
    compute, in it or beside it: it takes the place of the first accelerator, and only what its streams carry is compared. With streamed
    layers it needs the manifest of a build folder beside graph/.

    Args:
        networks: the cases.
        edit: what is done to the text of every generated top level, to see that a fault in it is noticed.

    Raises:
        MissingToolError: a tool is missing.
        FileNotFoundError: `QLIGHT_DUT` names no such folder.
        subprocess.CalledProcessError: the top level does not build.
        RuntimeError: the simulation ended without results.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, design = Path(temporary), os.environ.get("QLIGHT_DUT")
        if design:
            foreign_case(folder, Path(design), networks[0])
            program = simulator("bench", rtl_sources(), {"bench.sv": foreign_bench(read_cases(folder)[0].streamed)})
            return run_simulation(program, "bench", _IMAGES, folder, {})
        builds = write_cases(folder, networks)
        texts = {f"{TOP}_{index}.sv": top_of(edit(build.sources[-1].read_text()), index) for index, build in enumerate(builds)}
        texts["bench.sv"] = bench_of([(build, taps(build.pipeline)) for build in builds])
        cells = {path.name: path for build in builds for path in build.sources[:-1]}
        program = simulator("bench", [*cells.values(), MONITOR], texts)
        return run_simulation(program, "bench", f"{_IMAGES},{_REGISTERS}", folder, {})
