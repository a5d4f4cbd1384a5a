"""Builds qlight_zynq.sv of a build folder with stand-ins for the part's primitives, and runs its cocotb test."""

from __future__ import annotations

from pathlib import Path

from hw.tb.common.run import Outcome, run_simulation
from hw.tb.common.tools import simulator
from qlight.bitstream.openxc7 import written_sources
from qlight.bitstream.ps7 import ZYNQ, ps7_pins
from qlight.hardware.folders import read_manifest

__all__ = ["run_zynq"]


def _primitives(weights: int) -> str:
    """Verilog of PS7, whose outputs the testbench drives and whose inputs it reads, and of BUFG."""
    outputs, inputs = ps7_pins(weights)
    ports = [f"    output logic [{bits - 1}:0] {pin}" for pin, bits in outputs.items()]
    ports += [f"    input logic [{bits - 1}:0] {pin}" for pin, bits in inputs.items()]
    body = [f"  logic [{bits - 1}:0] drive_{pin}  /* verilator public_flat_rw */;" for pin, bits in outputs.items()]
    body += [f"  assign {pin} = drive_{pin};" for pin in outputs]
    body += [f"  logic [{bits - 1}:0] see_{pin}  /* verilator public_flat_rd */;" for pin, bits in inputs.items()]
    body += [f"  assign see_{pin} = {pin};" for pin in inputs]
    system = "module PS7 (\n" + ",\n".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
    return f"// verilator lint_off DECLFILENAME\n{system}module BUFG (input logic I, output logic O);\n  assign O = I;\nendmodule\n"


def run_zynq(build: Path) -> list[Outcome]:
    """Run the design of a build folder for a board of Zynq-7000, which gets the folder openxc7/.

    Raises:
        MissingToolError: a tool is missing.
        subprocess.CalledProcessError: the design does not build.
        RuntimeError: the simulation ended without results.
    """
    stated = read_manifest(build, "rtl")
    sources = [build / name for name in written_sources(build, stated, 100.0)]
    # clocks and resets of the processing system are not all used, nor are upper bits of the readers' addresses
    program = simulator(ZYNQ, sources, {"primitives.sv": _primitives(len(stated["dram"]))}, ["-Wno-UNUSEDSIGNAL"])
    return run_simulation(program, ZYNQ, "hw.tb.zynq.tb_zynq", build, {})
