"""The sources of hw/rtl under other readers: Verilator's and slang's warnings, wrong parameters, Yosys."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from hw.tb.common.cases import top_of
from hw.tb.common.run import CELLS
from hw.tb.common.tools import RTL, elaborate

#: prints slang's diagnostics
SLANG = """
import sys
import pyslang

driver = pyslang.driver.Driver()
driver.addStandardArgs()
assert driver.parseCommandLine(sys.argv[1]) and driver.processOptions() and driver.parseAllSources()
compilation = driver.createCompilation()
client = pyslang.TextDiagnosticClient()
driver.diagEngine.addClient(client)
for diagnostic in compilation.getAllDiagnostics():
    driver.diagEngine.issue(diagnostic)
print(client.getString(), end="")
"""
MVTU = {"PE": 2, "SIMD": 2, "MW": 4, "MH": 4}
WRONG = [
    ("fifo", {"WIDTH": 0}, "WIDTH must be at least 1"),
    ("fifo", {"DEPTH": 1}, "DEPTH must be at least 2"),
    ("dwc", {"BITS": 0}, "BITS must be at least 1"),
    ("dwc", {"OUT_LANES": 0}, "IN_LANES and OUT_LANES must be at least 1"),
    ("dwc", {"FRAME": -1}, "FRAME must not be negative"),
    ("swg", {"BITS": 32}, "BITS must be from 1 to 31"),
    ("swg", {"HEIGHT": 0}, "must be at least 1"),
    ("swg", {"CHANNELS": 6, "LANES": 4}, "CHANNELS must be a multiple of LANES"),
    ("swg", {"PAD_TOP": -1}, "a padding must not be negative"),
    ("swg", {"PAD_RIGHT": 3}, "each padding must be less than the kernel"),
    ("swg", {"HEIGHT": 1, "PAD_TOP": 0}, "the kernel must fit the padded input"),
    ("swg", {"BITS": 2, "PAD_CODE": 4}, "PAD_CODE must be a code of BITS bits"),
    ("mvtu", MVTU | {"PE": 0}, "PE, SIMD, MW and MH must be at least 1"),
    ("mvtu", MVTU | {"SIMD": 3}, "MW must be a multiple of SIMD"),
    ("mvtu", MVTU | {"PE": 3}, "MH must be a multiple of PE"),
    ("mvtu", MVTU | {"OUTPUT_BITS": 9}, "OUTPUT_BITS must be from 0"),
    ("dot", {"WEIGHT_SIGNED": 2}, "WEIGHT_SIGNED must be 0"),
    ("dot", {"WEIGHT_SIGNED": 1}, "WEIGHT_BITS must be from 1 (2 if signed) to 8"),
    ("dot", {"BIPOLAR": 2}, "BIPOLAR must be 0 or 1"),
    ("dot", {"BIPOLAR": 0, "ACTIVATION_BITS": 9}, "ACTIVATION_BITS must be from 1 to 8"),
    ("dot", {"ACTIVATION_BITS": 2}, "BIPOLAR activations must have ACTIVATION_BITS = 1"),
    ("dot", {"ACC_BITS": 33}, "ACC_BITS must be from 2 to 32"),
    ("dot", {"IMPL": 5}, "IMPL must be 0"),
    ("dot", {"IMPL": 1, "WEIGHT_BITS": 2}, "IMPL = 1 (XNOR-popcount) takes odd weights of 1 bit"),
    ("dot", {"IMPL": 2, "WEIGHT_BITS": 2, "WEIGHT_SIGNED": 1}, "IMPL = 2 (bit planes) does not take signed weights"),
    ("dot", {"IMPL": 3}, "IMPL = 3 and 4 (two or four products a multiplier) do not take bipolar"),
    ("dot", {"IMPL": 4, "BIPOLAR": 0, "WEIGHT_BITS": 5, "ACTIVATION_BITS": 4}, "needs WEIGHT_BITS + ACTIVATION_BITS <= 8"),
    (
        "dot",
        {"IMPL": 3, "BIPOLAR": 0, "WEIGHT_BITS": 8, "ACTIVATION_BITS": 8, "SIMD": 2},
        "2 WEIGHT_BITS + ACTIVATION_BITS + log2(SIMD) <= 24",
    ),
    ("threshold", {"REPEAT": 0}, "PE, NF and REPEAT must be at least 1"),
    ("threshold", {"OUTPUT_BITS": 0}, "OUTPUT_BITS must be from 1 to 8"),
    ("threshold", {"ACC_BITS": 33}, "ACC_BITS must be from 2 to 32"),
    ("affine", {"REPEAT": 0}, "LANES, ROWS, GROUP and REPEAT must be at least 1"),
    ("affine", {"ROWS": 6, "GROUP": 4}, "ROWS must be a multiple of GROUP"),
    ("affine", {"OUTPUT_BITS": 9}, "OUTPUT_BITS must be from 1 to 8"),
    ("affine", {"ACC_BITS": 2}, "ACC_BITS must be from 3 to 32"),
    ("pool", {"KERNEL": 0}, "KERNEL must be at least 1"),
    ("pool", {"CHANNELS": 6, "LANES": 4}, "CHANNELS must be a multiple of LANES"),
    ("pool", {"HEIGHT": 1}, "the kernel must fit the input"),
    ("pool", {"SIGNED": 2}, "SIGNED must be 0 or 1"),
    ("control", {"INPUT_BYTES": 6}, "INPUT_BYTES must be a positive multiple of 4"),
    ("control", {"CLASSES": 0}, "CLASSES must be at least 1"),
    ("control", {"PARAMETER_WORDS": -1}, "PARAMETER_WORDS must not be negative"),
    ("replay", {"FRAME": 0}, "FRAME and TIMES must be at least 1"),
    ("replay", {"TIMES": 0}, "FRAME and TIMES must be at least 1"),
    ("reorder", {"OUTER": 0}, "OUTER and INNER must be at least 1"),
    ("weight_reader", {"DATA_BITS": 48}, "DATA_BITS must be 32, 64 or 128"),
    ("weight_reader", {"BURST": 12}, "BURST must be a power of two"),
    ("weight_reader", {"DATA_BITS": 128, "BURST": 512, "DEPTH": 512}, "BURST must be a power of two from 1 to 256, and at most 4 KiB"),
    ("weight_reader", {"DEPTH": 8}, "DEPTH must be at least BURST"),
    ("weight_reader", {"WORDS": 0}, "WORDS must be at least 1"),
    ("weight_reader", {"ADDRESS_BITS": 12}, "ADDRESS_BITS must be from 13 to 64"),
    ("weight_registers", {"STREAMS": 65}, "STREAMS must be from 1 to 64"),
    ("weight_registers", {"ADDRESS_BITS": 32}, "ADDRESS_BITS must be from 33 to 64"),
    ("dma_read", {"DEPTH": 15}, "DEPTH must be at least 16"),
    ("dma_write", {"DEPTH": 15}, "DEPTH must be at least 16"),
    ("axi3_lite", {"PORTS": 17}, "PORTS must be from 1 to 16"),
    ("axi3_lite", {"BASE": 0x4000_8000}, "BLOCK_BITS must be from 4 to 24, and BASE a multiple of a block"),
    ("reset", {"STAGES": 1}, "STAGES must be at least 2"),
    ("mvtu_stream", MVTU | {"VECTORS": 0}, "VECTORS must be at least 1"),
    ("mvtu_stream", MVTU | {"SIMD": 3}, "MW must be a multiple of SIMD"),
    ("mvtu_stream", MVTU | {"PE": 3}, "MH must be a multiple of PE"),
    ("mvtu_stream", MVTU | {"OUTPUT_BITS": 9}, "OUTPUT_BITS must be from 0"),
]


@pytest.mark.usefixtures("simulator_tools")
@pytest.mark.parametrize("cell", CELLS)
def test_verilator_has_no_warning(cell: str) -> None:
    for case in importlib.import_module(f"hw.tb.{cell}.shapes").CASES[:16]:
        assert elaborate(case.cell, case.parameters) == "", str(case)


@pytest.mark.usefixtures("simulator_tools")
@pytest.mark.parametrize(("cell", "parameters", "sentence"), WRONG)
def test_wrong_parameter_stops_elaboration(cell: str, parameters: dict[str, int | str], sentence: str) -> None:
    said = elaborate(f"qlight_{cell}", parameters)
    lines = [line for line in said.splitlines() if sentence in line and "USERERROR" in line]
    assert lines, said
    assert f"qlight_{cell}: " in lines[0]


@pytest.mark.parametrize("cell", CELLS)
def test_slang_has_no_warning(cell: str, tmp_path: Path) -> None:
    """Of slang's default set, for the shapes of the testbench."""
    if importlib.util.find_spec("pyslang") is None:
        pytest.skip("The check with slang needs `pyslang`: pip install pyslang.")
    shapes = importlib.import_module(f"hw.tb.{cell}.shapes")
    bench = tmp_path / "bench.sv"
    bench.write_text(getattr(shapes, "top_of", top_of)(shapes.CASES[:16]))
    # in a process of its own: torch's compiler aborts in a process that has loaded it
    command = [sys.executable, "-c", SLANG, f"slang --top bench {' '.join(map(str, sorted(RTL.glob('*.sv'))))} {bench}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr[-2000:]


SHAPES = {
    "fifo": {"WIDTH": 8, "DEPTH": 16},
    "dwc": {"BITS": 2, "IN_LANES": 4, "OUT_LANES": 3},
    "swg": {"BITS": 1, "LANES": 8, "CHANNELS": 16, "HEIGHT": 8, "WIDTH": 8},
    "mvtu": {"PE": 2, "SIMD": 8, "MW": 32, "MH": 4, "IMPL": 1, "ACC_BITS": 8},
    "mvtu 0": {"PE": 2, "SIMD": 4, "MW": 32, "MH": 4, "WEIGHT_BITS": 8, "ACTIVATION_BITS": 8, "BIPOLAR": 0, "IMPL": 0, "ACC_BITS": 22},
    "mvtu 2": {"PE": 2, "SIMD": 4, "MW": 32, "MH": 4, "WEIGHT_BITS": 2, "ACTIVATION_BITS": 2, "BIPOLAR": 0, "IMPL": 2, "ACC_BITS": 10},
    "mvtu 3": {"PE": 2, "SIMD": 4, "MW": 32, "MH": 4, "WEIGHT_BITS": 4, "ACTIVATION_BITS": 4, "BIPOLAR": 0, "IMPL": 3, "ACC_BITS": 14},
    "affine": {"LANES": 1, "ROWS": 256, "ACC_BITS": 22, "OUTPUT_BITS": 8},
    "pool": {"BITS": 2, "LANES": 4, "CHANNELS": 8, "HEIGHT": 4, "WIDTH": 4},
    "control": {},
    "replay": {"WIDTH": 16, "FRAME": 100, "TIMES": 4},
    "reorder": {"WIDTH": 8, "OUTER": 4, "INNER": 64},
    "weight_reader": {"WORDS": 5000, "DEPTH": 128},
    "weight_registers": {"STREAMS": 2},
    "shell": {},
    "mvtu_stream": {"PE": 2, "SIMD": 8, "MW": 32, "MH": 4, "VECTORS": 16, "IMPL": 1, "ACC_BITS": 8},
}
MULTIPLIERS = {"mvtu 0": 8, "mvtu 3": 4, "affine": 2}  # DSP48E1


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_yosys_synthesizes(name: str, tmp_path: Path) -> None:
    """For 7-series, without a message about what it could not read. Prints LUT, FF, BRAM and DSP (pytest -s)."""
    if importlib.util.find_spec("pyosys") is None:
        pytest.skip("The check with Yosys needs `pyosys`: pip install pyosys.")
    top = f"qlight_{name.split()[0]}"
    values = " ".join(f"-G {key}={value}" for key, value in SHAPES[name].items())
    passes = [f"read_slang --top {top} {values} {RTL}/*.sv", f"synth_xilinx -family xc7 -flatten -noiopad -top {top}"]
    passes.append(f"tee -o {tmp_path}/stat -q stat")
    program = f"from pyosys import libyosys as y; d = y.Design(); [y.run_pass(p, d) for p in {passes!r}]"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    counts: dict[str, int] = {}
    for line in (tmp_path / "stat").read_text().splitlines():
        words = line.split()
        if len(words) == 2 and words[0].isdigit() and words[1].isupper():
            counts[words[1]] = int(words[0])
    luts = sum(count for kind, count in counts.items() if kind.startswith("LUT"))
    lutram = sum(
        count * (4 if kind == "RAM32M" or kind == "RAM64M" else 1) for kind, count in counts.items() if kind.startswith(("RAM32", "RAM64"))
    )
    brams = {kind: count for kind, count in counts.items() if kind.startswith("RAMB")}
    flops = sum(count for kind, count in counts.items() if kind.startswith("FD"))
    print(f"{top} {SHAPES[name]}: {luts} LUT, {lutram} LUT as memory, {flops} FF, {brams or 'no'} BRAM, {counts.get('DSP48E1', 0)} DSP")
    assert luts > 0
    assert counts.get("DSP48E1", 0) == MULTIPLIERS.get(name, 0)
    assert not any(kind.startswith(("LD", "LATCH")) for kind in counts)
