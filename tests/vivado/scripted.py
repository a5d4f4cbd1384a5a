"""vivado/build.tcl of a build folder in a Tcl shell with stubs of Vivado's commands, and the block design that it makes."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.vivado.known import Block, block

STUBS = Path(__file__).with_name("stubs.tcl")
#: Tcl without its shell
_TKINTER = "import sys, tkinter; tkinter.Tcl().evalfile(sys.argv[1])"
_WORLD = {"STUB_BOARDS": "", "STUB_LOST": "", "STUB_CLOCK": "1.0", "STUB_SLACK": "0.1", "STUB_PROGRESS": "100%"}
BOARDS = "realdigital.org:aup-zu3-8gb:part0:1.0 xilinx.com:kv260_som:part0:1.4 tul.com.tw:pynq-z2:part0:1.0 xilinx.com:zcu104:part0:1.1"


def run(folder: Path, **world: str) -> subprocess.CompletedProcess[str]:
    """The script, run in `folder`; `world`: of `_WORLD`, and what the script itself takes from the environment."""
    shell = shutil.which("tclsh")
    command = [shell] if shell else [sys.executable, "-c", _TKINTER]
    if not shell and importlib.util.find_spec("_tkinter") is None:
        pytest.skip("there is neither tclsh nor tkinter")
    environment = {"PATH": os.environ["PATH"], **_WORLD, "STUB_BOARDS": BOARDS, **world}
    return subprocess.run([*command, str(STUBS)], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def calls(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """What was called with what."""
    assert done.returncode == 0, done.stderr
    return [line[1:].split("\x1f") for line in done.stdout.splitlines() if line.startswith("@")]


@dataclass
class Design:
    """A block design.

    Attributes:
        kinds: type of every cell, such as axi_dma.
        settings: of every cell, without CONFIG.
        blocks: what every cell has.
        wires: driver of every pin.
        buses: master and slave of every connection of interfaces.
        memory: segments by address space, those without an offset.
        registers: (base, range, segment).
        excluded: segments by address space.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    wires: dict[str, str] = field(default_factory=dict)
    buses: list[tuple[str, str]] = field(default_factory=list)
    memory: dict[str, list[str]] = field(default_factory=dict)
    registers: list[tuple[int, str, str]] = field(default_factory=list)
    excluded: dict[str, list[str]] = field(default_factory=dict)


def accelerator(text: str) -> Block:
    """The block of qlight_ip.v, by its attributes alone."""
    found = Block({}, {"clk", "rst_n"})
    pattern = (
        r'X_INTERFACE_INFO = "xilinx.com:interface:(\w+):1.0 (\w+) (\w+)" \*\)(?:\s+\(\*.*\*\))?\s+(input|output) wire (?:\[\d+:0\] )?(\w+)'
    )
    for bus, interface, signal, direction, port in re.findall(pattern, text):
        assert port == f"{interface}_{signal.lower()}"
        if signal in ("TVALID", "ARVALID"):
            found.interfaces[interface] = (direction == "output", bus)
    return found


def design(recorded: list[list[str]], wrapper: str) -> Design:
    """Of the calls, with every connection checked against what the cells have."""
    found = Design()
    for name, *arguments in recorded:
        if name == "create_bd_cell":
            kind = arguments[3].split(":")[2]
            assert arguments[:3] == ["-type", "ip", "-vlnv"]
            found.kinds[arguments[4]], found.settings[arguments[4]] = kind, {}
        elif name == "set_property" and arguments[0] in found.kinds:
            found.settings[arguments[0]][arguments[1].removeprefix("CONFIG.")] = arguments[2]
    for cell, kind in found.kinds.items():
        found.blocks[cell] = accelerator(wrapper) if kind == "qlight_top" else block(kind, found.settings[cell])
    for name, *arguments in recorded:
        if name == "connect_bd_net":
            assert arguments[1] not in found.wires, f"{arguments[1]} is driven twice"
            found.wires[arguments[1]] = arguments[0]
        elif name == "connect_bd_intf_net":
            found.buses.append((arguments[0], arguments[1]))
        elif name == "assign_bd_address":
            options = _options(arguments)
            if "-offset" in options:
                found.registers.append((int(options["-offset"], 16), options["-range"], arguments[-1]))
            else:
                found.memory.setdefault(options["-target_address_space"], []).extend(arguments[-1].split())
        elif name == "exclude_bd_addr_seg":
            found.excluded.setdefault(_options(arguments)["-target_address_space"], []).append(arguments[-1])
    return found


def _options(arguments: list[str]) -> Mapping[str, str]:
    return {name: value for name, value in itertools.pairwise(arguments) if name.startswith("-")}
