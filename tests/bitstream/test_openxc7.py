"""The open flow with stubs in the place of its tools, and with Yosys itself."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from qlight.__main__ import main
from qlight.bitstream.manifest import read_manifests, verify
from qlight.bitstream.open_tools import CHIPDB_VARIABLE, DATABASE_VARIABLE
from qlight.bitstream.openxc7 import written_sources
from qlight.hardware.build import write_build
from qlight.hardware.folders import read_manifest
from qlight.hardware.synthesis import RUN
from tests.bitstream.files import MFWR, bitfile, configuration, write
from tests.hardware.strategies import random_graph

GRAPH = random_graph(0, bits=1)
PART = "xc7z020clg400-1"
BIT = bitfile(configuration(extra=write(MFWR, 0)), PART)
LOG = """Info: Device utilisation:
Info: \t          SLICE_LUTX:  3210/106400     3%
Info: \t            DSP48E1:     0/   220     0%
Info: \t                 PS7:     1/     1   100%
Info: Max frequency for clock 'clk': 140.00 MHz (PASS at 100.00 MHz)
Info: Max frequency for clock 'clk': 117.25 MHz (PASS at 100.00 MHz)
"""
#: what each stub is called with, as a pattern of the shell, and what it does then
YOSYS = f"""#!{sys.executable}
import pathlib, sys
if sys.argv[1:] == ["-Q", "-p", "help read_slang; version"]:
    print("Yosys 0.99 (a stub)")
else:
    script = sys.stdin.read().splitlines()
    assert sys.argv[1:] == ["-Q", "-s", "/dev/stdin"], sys.argv
    assert script.index("delete */t:$scopeinfo") < script.index("write_json openxc7/qlight.json")
    sources = next(line for line in script if line.startswith("read_slang --top qlight_zynq ")).split()[3:]
    assert all(pathlib.Path(name).is_file() for name in sources), sources
    pathlib.Path("openxc7/qlight.json").write_text("{{}}")
"""
XILINX = """#!/bin/sh
[ "$*" = "--chipdb {folder}/chipdb.bin --json openxc7/qlight.json --xdc openxc7/qlight.xdc --fasm openxc7/qlight.fasm \
--freq 100 --seed 1 --timing-allow-fail" ] && [ -s openxc7/qlight.json ] && [ -s openxc7/qlight.xdc ] || exit 9
cat {folder}/log
echo fasm > openxc7/qlight.fasm
"""
HIMBAECHEL = XILINX.replace("--chipdb {folder}/chipdb.bin ", "").replace(
    "--xdc openxc7/qlight.xdc --fasm openxc7/qlight.fasm", f"--device {PART} -o xdc=openxc7/qlight.xdc -o fasm=openxc7/qlight.fasm"
)
FRAMES = """#!/bin/sh
[ "$*" = "--db-root {folder}/database/zynq7 --part xc7z020clg400-1 openxc7/qlight.fasm openxc7/qlight.frames" ] || exit 9
cp openxc7/qlight.fasm openxc7/qlight.frames
"""
BITS = """#!/bin/sh
[ "$*" = "--part_file {folder}/database/zynq7/xc7z020clg400-1/part.yaml --part_name xc7z020clg400-1 --frm_file openxc7/qlight.frames \
--output_file openxc7/qlight.bit" ] && [ -s openxc7/qlight.frames ] || exit 9
cp {folder}/made.bit openxc7/qlight.bit
"""
STUBS = {"yosys": YOSYS, "nextpnr-xilinx": XILINX, "fasm2frames": FRAMES, "xc7frames2bit": BITS}
DATABASE = ("mapping/parts.yaml", "mapping/devices.yaml", "xc7z020/tilegrid.json", f"{PART}/part.yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder, stubs of all tools on PATH, and a database; Yosys is the stub too."""
    write_build(GRAPH, tmp_path / "build", board="pynq_z2")
    for name in DATABASE:
        path = tmp_path / "database/zynq7" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "chipdb.bin").touch()
    (tmp_path / "log").write_text(LOG)
    (tmp_path / "made.bit").write_bytes(BIT)
    for name, text in STUBS.items():
        put(tmp_path, name, text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv(DATABASE_VARIABLE, str(tmp_path / "database"))
    monkeypatch.setenv(CHIPDB_VARIABLE, str(tmp_path / "chipdb.bin"))
    monkeypatch.setitem(sys.modules, "pyosys", None)  # as where it is not installed
    return tmp_path


def put(folder: Path, name: str, text: str) -> None:
    """A program on PATH."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text if name == "yosys" else text.format(folder=folder))
    path.chmod(0o755)


def run(folder: Path, *more: str) -> int:
    options = ["--build", str(folder / "build"), "--folder", str(folder / "registry"), "--name", "open", "--network", "of a test"]
    return main(["bitstream", "build", "--flow", "openxc7", *options, *more])


def left(folder: Path) -> set[str]:
    """What could be taken for an overlay, anywhere."""
    names = {
        path.relative_to(folder).as_posix() for suffix in ("bit", "hwh", "fasm", "frames", "json") for path in folder.rglob(f"*.{suffix}")
    }
    return {name for name in names if not name.startswith(("build/graph/", "build/manifest", "database/", "made."))}


@pytest.mark.parametrize("program", ["nextpnr-xilinx", "nextpnr-himbaechel"])
def test_a_build_by_stubs(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if program == "nextpnr-himbaechel":
        (folder / "bin/nextpnr-xilinx").unlink()
        put(folder, program, HIMBAECHEL)
        monkeypatch.delenv(CHIPDB_VARIABLE)
    for _ in range(2):  # the second replaces the first
        assert run(folder) == 0, capsys.readouterr().err
    assert "open: pynq_z2, of a test: built by Yosys 0.99 (a stub), nextpnr-" in capsys.readouterr().out
    (found,) = read_manifests(folder / "registry")
    assert verify(folder / "registry") == [found]
    assert (found.state, found.flow, found.loaded_on, found.clock_mhz, found.graph_hash) == (
        "built",
        "openxc7",
        None,
        100,
        GRAPH.content_hash,
    )
    assert found.line().endswith("100 MHz, timing met; never loaded on a board")
    assert found.timing is not None
    assert (found.timing["met"], found.timing["fmax_mhz"], found.timing["hold_violations"]) == (True, 117.25, 0)
    assert "PS7" in found.timing["note"]
    assert found.resources == {"SLICE_LUTX": {"used": 3210, "available": 106400}, "PS7": {"used": 1, "available": 1}}
    for suffix in ("bit", "hwh"):  # where the board's server looks
        assert (folder / f"build/qlight.{suffix}").read_bytes() == (folder / f"registry/open/open.{suffix}").read_bytes()
    read_manifest(folder / "build", "rtl")  # the build folder is as whole as before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "yosys",
            YOSYS.replace('write_text("{}")', "with_name('other').touch()"),
            "Yosys finished, but openxc7/qlight.json is not there",
        ),
        ("nextpnr-xilinx", "#!/bin/sh\necho hm; echo 'ERROR: no bel'; exit 1", "nextpnr-xilinx failed (ERROR: no bel)"),
        (
            "nextpnr-xilinx",
            XILINX.replace("cat {folder}/log", "echo Info: nothing"),
            "its log is not right (it has no line with the utilisation",
        ),
        ("fasm2frames", "#!/bin/sh\nexit 1", "fasm2frames failed (it says nothing)"),
        ("xc7frames2bit", "#!/bin/sh\nexit 0", "xc7frames2bit finished, but openxc7/qlight.bit is not there"),
        ("xc7frames2bit", "#!/bin/sh\necho no bitstream > openxc7/qlight.bit", "what it made is not right: Expected"),
    ],
)
def test_a_tool_that_fails(folder: Path, name: str, text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, name, text)
    assert run(folder) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert left(folder) == set()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (LOG.replace("117.25", "80.5"), "the timing is not met (80.5 MHz where 100 are needed, 0 paths too short)"),
        (
            LOG + "Info: 3 Hold/min time violations (showing 10 worst paths):\n",
            "the timing is not met (117.25 MHz where 100 are needed, 3 paths",
        ),
    ],
)
def test_timing_that_is_not_met(folder: Path, log: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "log").write_text(log)
    assert run(folder) == 1
    assert words in capsys.readouterr().err
    assert left(folder) == set()


def test_all_that_is_missing_is_named_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in STUBS:
        (folder / "bin" / name).unlink()
    monkeypatch.delenv(DATABASE_VARIABLE)
    monkeypatch.delenv(CHIPDB_VARIABLE)
    assert run(folder) == 1
    said = capsys.readouterr().err
    for words in ("Yosys with read_slang (pip install pyosys)", "nextpnr-xilinx (openXC7/nextpnr-xilinx on GitHub) or nextpnr-himbaechel"):
        assert words in said
    for words in (
        "fasm2frames (f4pga/prjxray",
        "xc7frames2bit (f4pga/prjxray",
        "Project X-Ray's database",
        "--prjxray_db or PRJXRAY_DB_DIR",
    ):
        assert words in said
    assert said.count("\n") == 1
    assert left(folder) == set()


def test_parts_of_the_database_that_are_missing(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("xc7z020/tilegrid.json", f"{PART}/part.yaml"):
        (folder / "database/zynq7" / name).unlink()
    monkeypatch.delenv(CHIPDB_VARIABLE)
    assert run(folder) == 1
    said = capsys.readouterr().err
    assert (
        f"lacks the chip database of nextpnr-xilinx (its bbaexport.py and bbasm make it; name it with --chipdb or {CHIPDB_VARIABLE})"
        in said
    )
    assert f"zynq7/xc7z020/tilegrid.json, zynq7/{PART}/part.yaml of the database" in said
    assert "parts.yaml," not in said.replace(f"{PART}/part.yaml", "")
    assert run(folder, "--chipdb", str(folder / "none.bin"), "--prjxray_db", str(folder / "nowhere")) == 1
    said = capsys.readouterr().err
    assert "none.bin', which is no file" in said
    assert "zynq7/mapping/parts.yaml, zynq7/mapping/devices.yaml, zynq7/xc7z020/tilegrid.json" in said


def test_a_yosys_without_slang_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "yosys", f"#!{sys.executable}\nprint('No such command or cell type: read_slang')")
    assert run(folder) == 1
    assert "lacks Yosys with read_slang (pip install pyosys): install" in capsys.readouterr().err


def test_builds_that_the_flow_cannot_take(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_build(GRAPH, folder / "build", board="zcu104")
    assert run(folder) == 2
    assert "openxc7 for a board of Zynq-7000, but zcu104 has xczu7ev-ffvc1156-2-e; take --flow vivado" in capsys.readouterr().err
    layers = read_manifest(folder / "build", "rtl")["folding"]
    dense = list(layers)[-1]
    narrow = {"pe": 1, "simd": 1, "weights": "streamed", "port_bits": 32}
    write_build(GRAPH, folder / "build", {**layers, dense: narrow}, board="pynq_z2")
    assert run(folder) == 2
    said = capsys.readouterr().err
    assert (
        f"the weights of at most 3 layers from DRAM, over 64 bits each, as the open flow shares no memory port, but got {dense} (32 bits)"
        in said
    )
    assert said.count("\n") == 1
    write_build(GRAPH, folder / "build")
    assert run(folder) == 2
    assert "export it with --board" in capsys.readouterr().err
    assert main(["bitstream", "build", "--build", "x", "--name", "y", "--network", "z", "--chipdb", "w"]) == 2
    assert "with --flow openxc7 only" in capsys.readouterr().err


@pytest.mark.slow
def test_yosys_makes_primitives_of_the_part(tmp_path: Path) -> None:
    """The script of the flow on a w1a1 network: every cell is a primitive that nextpnr knows, the system is connected, no port is left."""
    if importlib.util.find_spec("pyosys") is None:
        pytest.skip("The check with Yosys needs `pyosys`: pip install pyosys.")
    build = tmp_path / "build"
    write_build(GRAPH, build, board="pynq_z2")
    written_sources(build, read_manifest(build, "rtl"), 100.0)
    with (build / "openxc7/synthesize.ys").open() as script:
        done = subprocess.run([sys.executable, "-c", RUN], stdin=script, cwd=build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    # of our sources; most pins of PS7 are left to what they are by themselves
    warnings = [line for line in done.stdout.splitlines() if ".sv:" in line and "arning: " in line and "has no connection" not in line]
    assert not warnings
    made = json.loads((build / "openxc7/qlight.json").read_text())["modules"]["qlight_zynq"]
    counts = Counter(cell["type"] for cell in made["cells"].values())
    known = {"BUFG", "PS7", "INV", "CARRY4", "DSP48E1", "MUXF7", "MUXF8", "RAM32M", "RAM64M", "RAMB18E1", "RAMB36E1", "SRL16E", "SRLC32E"}
    known |= {f"LUT{inputs}" for inputs in range(1, 7)} | {"FDRE", "FDSE", "FDCE", "FDPE"}
    known |= {f"RAM{words}X1{kind}" for words in (32, 64, 128, 256) for kind in "SD" if (words, kind) != (256, "D")}
    assert not counts.keys() - known
    assert made["ports"] == {}
    assert (counts["PS7"], counts["BUFG"], counts["FDCE"]) == (1, 1, 3)
    system = next(cell["connections"] for cell in made["cells"].values() if cell["type"] == "PS7")
    buffer = next(cell["connections"] for cell in made["cells"].values() if cell["type"] == "BUFG")
    assert buffer["I"] == system["FCLKCLK"][:1]
    assert system["MAXIGP0ACLK"] == system["SAXIHP0ACLK"] == buffer["O"]
    clocked = [cell["connections"]["C"] for cell in made["cells"].values() if cell["type"].startswith("FD")]
    assert all(clock == buffer["O"] for clock in clocked)
    resets = [cell["connections"]["CLR"] for cell in made["cells"].values() if cell["type"] == "FDCE"]
    inverters = [cell["connections"] for cell in made["cells"].values() if cell["type"] == "INV"]
    inverted = {str(inverter["O"]): inverter["I"] for inverter in inverters}
    assert all(inverted[str(reset)] == system["FCLKRESETN"][:1] for reset in resets)
