"""The Verilog around the top level: every port, width and direction of it, and interfaces that Vivado recognizes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hw.tb.common.tools import MissingToolError, require_tools
from qlight.errors import InputError
from qlight.hardware.boards import board_names, load_board
from qlight.hardware.build import load_build, write_build
from qlight.hardware.hls_adapter import adapter
from qlight.hardware.hls_build import load_hls_build, write_hls_build
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.top import top_level
from qlight.hardware.vivado import FAMILY_PORTS, memory_ports, ports, wrapper
from tests.hardware.strategies import random_graph
from tests.hardware.test_streamed import STREAMED

GRAPH = random_graph(0)
#: signals that each interface must have (AMD UG1037, AXI Reference Guide)
LITE = {f"AW{name}" for name in ("ADDR", "VALID", "READY")} | {"WDATA", "WSTRB", "WVALID", "WREADY", "BRESP", "BVALID", "BREADY"}
LITE |= {f"AR{name}" for name in ("ADDR", "VALID", "READY")} | {"RDATA", "RRESP", "RVALID", "RREADY"}
READ = {f"AR{name}" for name in ("ADDR", "LEN", "SIZE", "BURST", "CACHE", "PROT", "VALID", "READY")}
READ |= {"RDATA", "RRESP", "RLAST", "RVALID", "RREADY"}


@pytest.mark.parametrize("folding", [None, STREAMED], ids=["resident", "streamed"])
def test_it_connects_every_port(folding: dict[str, Any] | None, tmp_path: Path) -> None:
    """Verilator, which checks names, widths and directions; the file is read as Verilog of 2005."""
    try:
        root = require_tools()
    except MissingToolError as error:
        pytest.skip(str(error))
    build = write_build(GRAPH, tmp_path / "build", folding, board="zcu104")
    environment = os.environ | {"VERILATOR_ROOT": str(root)}
    command = [str(root / "bin" / "verilator"), "--lint-only", "--quiet", "-Wall", "+1364-2005ext+v", "--top-module", "qlight_ip"]
    sources = [*build.sources, build.folder / "vivado/qlight_ip.v"]
    done = subprocess.run([*command, *map(str, sources)], cwd=build.folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_interfaces() -> None:
    pipeline = make_pipeline(GRAPH, STREAMED)
    text = wrapper(top_level(pipeline, "1" * 64, "2" * 64))
    signals: dict[str, set[str]] = {}
    for _, interface, signal in re.findall(r'X_INTERFACE_INFO = "(\S+) (\S+) (\S+)"', text):
        signals.setdefault(interface, set()).add(signal)
    stream = {"TDATA", "TVALID", "TREADY"}
    assert signals == {
        "clk": {"CLK"},
        "rst_n": {"RST"},
        "s_axis": stream,
        "m_axis": stream | {"TLAST"},
        "s_axi": LITE,
        "m_axi_w0": READ,
        "m_axi_w1": READ,
    }
    parameters = dict(re.findall(r'X_INTERFACE_PARAMETER = "XIL_INTERFACENAME (\S+), (.*?)"', text))
    assert set(parameters) == set(signals)
    assert parameters["clk"] == "ASSOCIATED_BUSIF s_axis:m_axis:s_axi:m_axi_w0:m_axi_w1, ASSOCIATED_RESET rst_n"
    assert parameters["rst_n"] == "POLARITY ACTIVE_LOW"
    assert "READ_WRITE_MODE READ_ONLY" in parameters["m_axi_w1"]
    assert "MAX_BURST_LENGTH 16" in parameters["m_axi_w0"], "AXI3 of Zynq-7000 has no longer ones"
    widths = {name: bits for _, bits, name in ports(top_level(pipeline, "1" * 64, "2" * 64))}
    assert [widths[f"m_axi_w{index}_rdata"] for index in range(2)] == [unit.port_bits for unit in pipeline.streamed]


@pytest.mark.parametrize("folding", [None, STREAMED], ids=["resident", "streamed"])
def test_the_wrapper_of_the_hls_twin_is_the_same(folding: dict[str, Any] | None) -> None:
    pipeline = make_pipeline(GRAPH, folding)
    assert wrapper(adapter(pipeline, "1" * 64, "2" * 64)) == wrapper(top_level(pipeline, "1" * 64, "2" * 64))


@pytest.mark.parametrize("board", board_names())
def test_weights_share_the_ports(board: str) -> None:
    about = load_board(board)
    sizes = [7_000_000, 1_000, 900_000, 4_000_000, 2_000_000, 1_000_000, 3_000_000, 10]
    held = memory_ports(about, sizes)
    assert len(held) == min(about.ports, FAMILY_PORTS[about.family])
    assert sorted(weight for each in held for weight in each) == list(range(len(sizes)))
    assert held[0] == [], "the DMA's own"
    loads = [sum(sizes[weight] for weight in each) for each in held[1:]]
    assert max(loads) <= max(max(sizes), sum(sizes) / len(loads) + max(sizes) / 2)


def test_builds_with_and_without_a_board(tmp_path: Path) -> None:
    plain, boarded = write_build(GRAPH, tmp_path / "plain"), write_build(GRAPH, tmp_path / "boarded", board="kv260")
    assert plain.geometry_hash == boarded.geometry_hash
    assert plain.manifest["board"] is None
    assert load_build(boarded.folder).manifest["board"] == {"name": "kv260", "part": "xck26-sfvc784-2LV-c", "clock_mhz": 250}
    names = {"build.tcl", "board.tcl", "system.tcl", "design.tcl", "qlight_ip.v"}
    assert {path.name for path in (boarded.folder / "vivado").iterdir()} == names
    assert not (plain.folder / "vivado").exists()
    assert {f"vivado/{name}" for name in names} <= set(boarded.manifest["files"])
    twin = write_hls_build(GRAPH, tmp_path / "hls", board="kv260")
    assert {path.name for path in (twin.folder / "vivado").iterdir()} == names
    assert load_hls_build(twin.folder).geometry_hash == twin.geometry_hash
    assert not (write_hls_build(GRAPH, tmp_path / "no").folder / "vivado").exists()


def test_an_unknown_board(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected `board` to be one of .*, but got 'pynq_z3'; try pynq_z2"):
        write_build(GRAPH, tmp_path / "build", board="pynq_z3")
    assert not list(tmp_path.iterdir())
