"""The generated top of the open flow, its constraints and its handoff file."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qlight.bitstream.fabric_clock import fabric_clock
from qlight.bitstream.handoff import check_handoff
from qlight.bitstream.ps7 import constraints, ps7_pins, zynq_top
from qlight.bitstream.zynq_handoff import zynq_handoff
from qlight.board.overlay import find_overlay
from qlight.errors import InputError
from qlight.hardware.boards import load_board
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.sources import CELLS, SHELL_CELLS, rtl_folder, shell_sources
from qlight.hardware.top import top_level
from tests.hardware.strategies import random_graph

GRAPH = random_graph(0, bits=1)
_LAYERS = ("conv0", "conv1", "output")


def top(weights: int, port_bits: int = 64) -> str:
    """The accelerator, with so many layers that read their weights from DRAM."""
    folds = {
        layer: {"pe": 1, "simd": 4, **({"weights": "streamed", "port_bits": port_bits} if index < weights else {})}
        for index, layer in enumerate(_LAYERS)
    }
    return top_level(make_pipeline(GRAPH, folds), "0" * 64, "1" * 64)


#: inputs of PS7 that must not be 0: AMD UG585
DRIVEN = {f"SAXIHP{port}{name}" for port in (0, 3) for name in ("ACLK", "ARSIZE", "ARBURST", "ARCACHE")} | {"MAXIGP0ACLK", "SAXIHP0AWSIZE"}


def connections(instance: str, text: str) -> dict[str, str]:
    """Port -> net of an instance."""
    body = re.search(rf"\b{instance} \(\n(.*?)\n  \);", text, re.DOTALL)
    assert body is not None
    return dict(re.findall(r"\.(\w+)\((.*?)\)(?:,|$)", body[1], re.MULTILINE))


def declared(text: str) -> dict[str, tuple[str, int]]:
    """Port -> direction and bits, of a module of hw/rtl or of Yosys' primitives."""
    found = re.findall(r"^\s*(input|output)\s+(?:wire |logic )?\s*(?:\[\s*(\d+):\s*0\])?\s*(\w+)[,;]?\s*(?://.*)?$", text, re.MULTILINE)
    return {name: (direction, int(last or 0) + 1) for direction, last, name in found}


def nets(text: str) -> dict[str, int]:
    """Net -> bits, of the generated top."""
    found = re.findall(r"^  logic (?:\[(\d+):0\] )?([\w, ]+);$", text, re.MULTILINE)
    return {name.strip(): int(last or 0) + 1 for last, names in found for name in names.split(",")}


@pytest.mark.parametrize("weights", range(4))
def test_every_net_has_one_driver_and_the_width_of_its_ports(weights: int) -> None:
    accelerator = top(weights)
    text, (outputs, inputs) = zynq_top(accelerator), ps7_pins(weights)
    system = {pin: ("output", bits) for pin, bits in outputs.items()} | {pin: ("input", bits) for pin, bits in inputs.items()}
    ports = {
        "u_system": system,
        "u_shell": declared(shell_sources()["qlight_shell.sv"]),
        "u_accelerator": declared(accelerator[: accelerator.index("\n);")]),
        "u_clock": {"I": ("input", 1), "O": ("output", 1)},
    }
    widths = nets(text)
    drivers, readers = dict.fromkeys(widths, 0), dict.fromkeys(widths, 0)
    for instance, declaration in ports.items():
        connected = connections(instance, text)
        assert connected.keys() == declaration.keys(), instance
        for port, part in connected.items():
            direction, bits = declaration[port]
            if part.startswith("4'b"):
                assert (direction, bits) == ("input", 4)
                continue
            net, _, span = part.partition("[")
            # a part of a net: one of the clocks and resets, or the lower bits of what a reader of weights gives
            assert bits == (int(span[:-3]) + 1 if span.endswith(":0]") else 1 if span else widths[net]), part
            (drivers if direction == "output" else readers)[net] += 1
    assert set(drivers.values()) == {1}, {net: count for net, count in drivers.items() if count != 1}
    assert min(readers.values()) == 1


def test_pins_of_the_processing_system_are_those_of_the_primitive() -> None:
    found = importlib.util.find_spec("pyosys")
    if found is None or not found.submodule_search_locations:
        pytest.skip("The primitives' ports are Yosys': pip install pyosys.")
    library = (Path(found.submodule_search_locations[0]) / "share" / "xilinx" / "cells_xtra.v").read_text()
    start = library.index("module PS7(")
    primitive = declared(library[start : library.index("endmodule", start)])
    outputs, inputs = ps7_pins(3)
    assert {pin: primitive[pin] for pin in outputs} == {pin: ("output", bits) for pin, bits in outputs.items()}
    assert {pin: primitive[pin] for pin in inputs} == {pin: ("input", bits) for pin, bits in inputs.items()}
    assert inputs.keys() > DRIVEN


def test_an_accelerator_with_other_ports_to_memory_is_refused() -> None:
    more = top(3).replace("m_axi_w2_rready", "m_axi_w2_rready,\n    output logic m_axi_w3_arvalid", 1)
    for text, port in ((more, "m_axi_w3_arvalid"), (top(1, port_bits=32), "m_axi_w0_rdata")):
        with pytest.raises(InputError, match=f"at most 3 ports of 64 bits to memory, but {port} differs; take --flow vivado") as error:
            zynq_top(text)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("mhz", [0.3, 1, 33.3, 50, 99.9, 100, 142.8, 250, 1000, 5000])
def test_the_clock_is_the_highest_that_is_not_above_the_boards(mhz: float) -> None:
    first, second, found = fabric_clock(mhz)
    assert 1 <= first <= 63
    assert 1 <= second <= 63
    assert found == 1000 / (first * second) <= mhz
    better = [1000 / (a * b) for a in range(1, 64) for b in range(1, 64) if found < 1000 / (a * b) <= mhz]
    assert not better


def test_a_clock_that_cannot_be_had() -> None:
    with pytest.raises(InputError, match=r"at least 0\.25"):
        fabric_clock(0.2)


def test_constraints_name_no_pin() -> None:
    lines = constraints(100.0).splitlines()
    assert all(line.startswith("#") for line in lines)
    assert "No pin is named" in constraints(100.0)


def test_the_handoff_file_is_right_and_claims_no_vendors_block(tmp_path: Path) -> None:
    board = load_board("pynq_z2")
    path = tmp_path / "a.hwh"
    path.write_bytes(zynq_handoff(board))
    (tmp_path / "a.bit").write_bytes(b"stands for one")
    check_handoff(path, board)
    assert find_overlay(tmp_path)[3:] == ("axi_dma_0", "qlight_top_0", "qlight:user:qlight_dma:1.0")
    root = ElementTree.parse(path).getroot()
    assert {module.get("VLNV", "").split(":")[0] for module in root.iter("MODULE")} == {"qlight"}
    system = next(module for module in root.iter("MODULE") if module.get("MODTYPE") == "processing_system7")
    values = {each.get("NAME"): each.get("VALUE") for each in system.iter("PARAMETER")}
    divisors = int(values["PCW_FCLK0_PERIPHERAL_DIVISOR0"] or 0) * int(values["PCW_FCLK0_PERIPHERAL_DIVISOR1"] or 0)
    assert 1000 / divisors == board.clock_mhz == float(values["PCW_FPGA0_PERIPHERAL_FREQMHZ"] or 0)
    assert [values[f"PCW_FPGA_FCLK{index}_ENABLE"] for index in range(4)] == ["1", "0", "0", "0"]


def test_the_shell_is_no_part_of_a_build_folder() -> None:
    """Its cells would change every geometry hash, and no accelerator has them."""
    assert not set(CELLS) & set(SHELL_CELLS)
    assert {path.stem for path in rtl_folder().glob("*.sv")} == {*CELLS, *SHELL_CELLS}
