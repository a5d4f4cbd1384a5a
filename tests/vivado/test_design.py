"""The block design of every board, made in Tcl with stubs: connections against the manuals, addresses and DMA against the driver's."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qlight.board.emulated.design import ACCELERATOR_BASE, BLOCK_BYTES, DMA_BASE, handoff
from qlight.board.overlay import ACCELERATOR_TYPE, DMA_TYPE, find_overlay
from qlight.board.pynq_accelerator import MOST_BYTES
from qlight.hardware.boards import ULTRASCALE, board_names, boards_folder, load_board
from qlight.hardware.build import write_build
from qlight.hardware.hls_build import write_hls_build
from tests.hardware.strategies import random_graph
from tests.hardware.test_streamed import STREAMED
from tests.vivado.known import ULTRASCALE_PORTS, WINDOWS
from tests.vivado.scripted import Design, calls, design, run

GRAPH = random_graph(0)


def made(folder: Path, **world: str) -> tuple[list[list[str]], Design]:
    recorded = calls(run(folder, **world))
    return recorded, design(recorded, (folder / "vivado/qlight_ip.v").read_text())


@pytest.mark.parametrize("board", board_names())
@pytest.mark.parametrize("folding", [None, STREAMED], ids=["resident", "streamed"])
def test_everything_is_connected(board: str, folding: dict[str, object] | None, tmp_path: Path) -> None:
    folder = write_build(GRAPH, tmp_path / "build", folding, board=board).folder
    _, found = made(folder)
    # pins
    outputs = {f"{cell}/{pin}" for cell, each in found.blocks.items() for pin in each.outputs}
    assert set(found.wires) == {f"{cell}/{pin}" for cell, each in found.blocks.items() for pin in each.inputs}
    assert set(found.wires.values()) <= outputs
    fabric = {"pl_clk0", "FCLK_CLK0"}
    for pin, driver in found.wires.items():
        leaf = pin.partition("/")[2]
        if re.search(r"(^|_)a?cl(oc)?k$|_ACLK$|sync_clk$", leaf):
            assert driver == "clk_wiz_0/clk_out1", f"{pin} is in another clock's domain"
        elif leaf == "clk_in1":
            assert driver.partition("/")[2] in fabric
        elif leaf in ("aresetn", "axi_resetn", "rst_n"):
            assert driver.startswith("proc_sys_reset_0/")
    # interfaces: every one once, from a master to a slave of the same bus
    ends = [end for pair in found.buses for end in pair]
    known = {f"{cell}/{name}": each for cell, block in found.blocks.items() for name, each in block.interfaces.items()}
    assert sorted(ends) == sorted(known)
    for master, slave in found.buses:
        assert (known[master][0], known[slave][0]) == (True, False), f"{master} to {slave}"
        assert known[master][1] == known[slave][1]
    # the part's clock, and the width of its ports
    about = load_board(board)
    assert float(found.settings["clk_wiz_0"]["CLKOUT1_REQUESTED_OUT_FREQ"]) == about.clock_mhz
    system = next(cell for cell, kind in found.kinds.items() if kind in WINDOWS)
    assert {value for name, value in found.settings[system].items() if re.search(r"S_?AXI.*DATA_WIDTH", name)} == {str(about.port_bits)}


@pytest.mark.parametrize("board", board_names())
def test_addresses_and_memory(board: str, tmp_path: Path) -> None:
    folder = write_build(GRAPH, tmp_path / "build", STREAMED, board=board).folder
    _, found = made(folder)
    system, kind = next((cell, kind) for cell, kind in found.kinds.items() if kind in WINDOWS)
    (dma, dma_range, dma_segment), (top, top_range, top_segment) = found.registers
    assert (dma_segment, top_segment) == ("axi_dma_0/S_AXI_LITE/Reg", "qlight_top_0/s_axi/reg0")
    assert dma_range == top_range == f"{BLOCK_BYTES // 1024}K"
    base, size = WINDOWS[kind]
    assert base <= dma < dma + BLOCK_BYTES <= top < top + BLOCK_BYTES <= base + size
    if load_board(board).family == ULTRASCALE:
        assert (dma, top) == (DMA_BASE, ACCELERATOR_BASE)
    # every master sees the memory behind the port that it is connected to, and nothing else there
    masters = {"axi_dma_0/M_AXI_MM2S": "axi_dma_0/Data_MM2S", "axi_dma_0/M_AXI_S2MM": "axi_dma_0/Data_S2MM"}
    masters |= {f"qlight_top_0/m_axi_w{index}": f"qlight_top_0/m_axi_w{index}" for index in range(2)}
    assert set(found.memory) == set(masters.values())
    towards = {slave: master for master, slave in found.buses}
    used = set()
    for master, space in masters.items():
        switch = next(slave for slave, from_ in towards.items() if from_ == master).partition("/")[0]
        port = next(slave for slave, from_ in towards.items() if from_ == f"{switch}/M00_AXI").partition("/")[2]
        used.add(port)
        if kind == "processing_system7":
            assert found.memory[space] == [f"{system}/{port}/{port.removeprefix('S_AXI_')}_DDR_LOWOCM"]
            continue
        name, (_, _, _, segments) = next((name, each) for name, each in ULTRASCALE_PORTS.items() if each[1] == port)
        assert found.memory[space] == [f"{system}/{segments}/{name}_DDR_{part}" for part in ("LOW", "HIGH")]
        assert found.excluded[space] == [f"{system}/{segments}/{name}_{part}" for part in ("LPS_OCM", "QSPI")]
    assert len(used) == 3, "the DMA and two layers share a port where there are more"


def test_the_driver_finds_its_blocks(tmp_path: Path) -> None:
    """Names, types and settings are those of the handoff file that the emulated board has, with which the driver is tested."""
    folder = write_build(GRAPH, tmp_path / "build", board="kv260").folder
    recorded, found = made(folder)
    emulated = {module.get("INSTANCE"): module for module in ElementTree.fromstring(handoff()).iter("MODULE")}
    assert set(emulated) <= set(found.kinds)
    created = {arguments[5]: arguments[4] for arguments in recorded if arguments[0] == "create_bd_cell"}
    assert {name: created[str(name)] for name in emulated} == {name: module.get("VLNV") for name, module in emulated.items()}
    assert created["axi_dma_0"].startswith(DMA_TYPE + ":")
    assert created["qlight_top_0"].split(":")[2] == ACCELERATOR_TYPE
    packaged = {arguments[2]: arguments[3] for arguments in recorded if arguments[:2] == ["set_property", "ipx::current_core"]}
    package = next(arguments for arguments in recorded if arguments[0] == "ipx::package_project")
    vendor, library = (package[package.index(option) + 1] for option in ("-vendor", "-library"))
    assert created["qlight_top_0"] == f"{vendor}:{library}:{packaged['name']}:{packaged['version']}"
    stated = {each.get("NAME"): each.get("VALUE") for each in emulated["axi_dma_0"].iter("PARAMETER")}
    assert {name: found.settings["axi_dma_0"][str(name)] for name in stated} == stated
    assert 2 ** int(found.settings["axi_dma_0"]["c_sg_length_width"]) - 1 == MOST_BYTES
    clocks = {each.get("NAME"): each.get("VALUE") for each in emulated["zynq_ultra_ps_e_0"].iter("PARAMETER")}
    assert found.settings["zynq_ultra_ps_e_0"]["PSU__FPGA_PL0_ENABLE"] == clocks["PSU__FPGA_PL0_ENABLE"]
    assert (folder / "qlight.bit").read_text() == "bitstream"
    (folder / "qlight.hwh").write_bytes(handoff())
    overlay = find_overlay(folder)
    assert (overlay.dma, overlay.accelerator) == ("axi_dma_0", "qlight_top_0")


def test_sources_and_memory_files(tmp_path: Path) -> None:
    """The packaged sources are all those of the build; memory files have paths that are there, whatever folder Vivado synthesizes in."""
    build = write_build(GRAPH, tmp_path / "a build", STREAMED, board="zcu104")
    recorded, _ = made(build.folder)
    added = next(arguments[2] for arguments in recorded if arguments[0] == "add_files")
    names = [name.strip("{}").rpartition("/")[2] for name in re.findall(r"\{[^}]*\}|\S+", added)]
    assert sorted(names) == sorted([*(path.name for path in build.sources), "qlight_ip.v"])
    top = (build.folder / "vivado/work/sources/qlight_top.sv").read_text()
    files = re.findall(r'_FILE\("(.+?)"\)', top)
    original = re.findall(r'_FILE\("(.+?)"\)', (build.folder / "rtl/qlight_top.sv").read_text())
    assert files == [f"{build.folder.resolve()}/{name}" for name in original]
    assert any(name.endswith("/") for name in files)
    assert all(Path(name).is_dir() if name.endswith("/") else Path(name).is_file() for name in files)
    assert ["open_project", f"{build.folder.resolve()}/vivado/work/project/qlight.xpr"] in recorded


@pytest.mark.parametrize("folding", [None, STREAMED], ids=["resident", "streamed"])
def test_the_hls_twin(folding: dict[str, object] | None, tmp_path: Path) -> None:
    """Its design is that of the RTL, memory ports too."""
    folder = write_hls_build(GRAPH, tmp_path / "build", folding, board="pynq_z2").folder
    assert "There are no sources in verilog/ of the build folder" in run(folder).stderr
    (folder / "verilog").mkdir()
    for name in ("qlight_hls.v", "weights.dat", *(path.name for path in (folder / "adapter").iterdir())):
        (folder / "verilog" / name).touch()
    recorded, found = made(folder)
    added = next(arguments[2] for arguments in recorded if arguments[0] == "add_files")
    for name in ("qlight_hls.v", "weights.dat", "qlight_top.sv", "qlight_control.sv", "qlight_ip.v"):
        assert f"/{name}" in added
    assert ("/qlight_hls_port.sv" in added) == (folding is not None)
    _, rtl = made(write_build(GRAPH, tmp_path / "rtl", folding, board="pynq_z2").folder)
    assert found.buses == rtl.buses
    assert any("/m_axi_w0" in master for master, _ in found.buses) == (folding is not None)


def test_steps_and_what_goes_wrong(tmp_path: Path) -> None:
    folder = write_build(GRAPH, tmp_path / "build", board="zcu104").folder
    packaged = calls(run(folder, QLIGHT_STEPS="package"))
    assert not any(name == "create_bd_design" for name, *_ in packaged)
    assert not any(name == "launch_runs" for name, *_ in calls(run(folder, QLIGHT_STEPS="package design")))
    for world, words in (
        ({"QLIGHT_STEPS": "pack"}, "Expected QLIGHT_STEPS to name package, design, implement, but got pack."),
        ({"STUB_BOARDS": ""}, "Vivado needs the board files of one of: xilinx.com:zcu104:part0:*."),
        ({"STUB_LOST": "m_axis"}, "The packager did not find the interface m_axis."),
        ({"STUB_CLOCK": "0.33"}, "The clock is 99.0 MHz where 300 were asked for."),
        ({"STUB_PROGRESS": "30%"}, "Implementation failed: place_design ERROR."),
        ({"STUB_SLACK": "-0.25"}, "The timing is not met: the worst slack of setup is -0.25 ns."),
    ):
        done = run(folder, **world)
        assert words in done.stderr
        assert done.returncode != 0
        assert not (folder / "qlight.bit").exists()
    assert calls(run(folder, QLIGHT_JOBS="7"))
    assert (folder / "qlight.bit").exists()
    assert "The timing is not met" in run(folder, STUB_SLACK="-1").stderr
    assert not (folder / "qlight.bit").exists(), "an older bitstream is not taken for the new one"


def test_a_board_without_its_vendors_files(tmp_path: Path) -> None:
    folder = write_build(GRAPH, tmp_path / "build", board="pynq_z2").folder
    _, found = made(folder, STUB_BOARDS="")
    assert found.settings["processing_system7_0"]["PCW_CRYSTAL_PERIPHERAL_FREQMHZ"] == "50"
    _, found = made(folder)
    assert "PCW_CRYSTAL_PERIPHERAL_FREQMHZ" not in found.settings["processing_system7_0"]


def test_a_board_of_ones_own(tmp_path: Path) -> None:
    text = (boards_folder() / "zcu104.toml").read_text().replace("ports = 6", "ports = 1").replace("mhz = 300", "mhz = 187.5")
    (tmp_path / "mine.toml").write_text(text)
    folder = write_build(GRAPH, tmp_path / "build", STREAMED, board=tmp_path / "mine.toml").folder
    assert "Vivado needs the board files of one of: ." in run(folder).stderr
    (tmp_path / "mine.tcl").write_text("set board_parts {}\nset ps_settings {PSU__PSS_REF_CLK__FREQMHZ 33.333}\n")
    folder = write_build(GRAPH, tmp_path / "build", STREAMED, board=tmp_path / "mine.toml").folder
    _, found = made(folder)
    assert found.settings["clk_wiz_0"]["CLKOUT1_REQUESTED_OUT_FREQ"] == "187.5"
    assert found.settings["memory_switch_0"]["NUM_SI"] == "4", "the only port is the DMA's and both layers'"
