"""Pins and interfaces of the vendor's blocks as its manuals have them (PG021, PG065, PG082, PG164, PG201, PG247).

Written from the manuals, not from the scripts under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: by memory port: setting, interface, clock, segments of memory
ULTRASCALE_PORTS = {
    "HP0": ("PSU__USE__S_AXI_GP2", "S_AXI_HP0_FPD", "saxihp0_fpd_aclk", "SAXIGP2"),
    "HP1": ("PSU__USE__S_AXI_GP3", "S_AXI_HP1_FPD", "saxihp1_fpd_aclk", "SAXIGP3"),
    "HP2": ("PSU__USE__S_AXI_GP4", "S_AXI_HP2_FPD", "saxihp2_fpd_aclk", "SAXIGP4"),
    "HP3": ("PSU__USE__S_AXI_GP5", "S_AXI_HP3_FPD", "saxihp3_fpd_aclk", "SAXIGP5"),
    "HPC0": ("PSU__USE__S_AXI_GP0", "S_AXI_HPC0_FPD", "saxihpc0_fpd_aclk", "SAXIGP0"),
    "HPC1": ("PSU__USE__S_AXI_GP1", "S_AXI_HPC1_FPD", "saxihpc1_fpd_aclk", "SAXIGP1"),
}
#: address windows of M_AXI_GP0 and M_AXI_HPM0_FPD: base, bytes (UG585, UG1085)
WINDOWS = {"processing_system7": (0x4000_0000, 0x4000_0000), "zynq_ultra_ps_e": (0xA000_0000, 0x1000_0000)}


@dataclass
class Block:
    """Interfaces by name: whether it is the master (or the stream's source), and its bus; pins that must be driven; pins that drive."""

    interfaces: dict[str, tuple[bool, str]] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)


def block(kind: str, settings: Mapping[str, str]) -> Block:
    """Of the vendor's block of this type, with these settings."""
    if kind == "axi_dma":
        assert settings["c_include_sg"] == "0", "with scatter and gather there are more ports"
        axi = {"S_AXI_LITE": (False, "aximm"), "M_AXI_MM2S": (True, "aximm"), "M_AXI_S2MM": (True, "aximm")}
        streams = {"M_AXIS_MM2S": (True, "axis"), "S_AXIS_S2MM": (False, "axis")}
        return Block(axi | streams, {"s_axi_lite_aclk", "m_axi_mm2s_aclk", "m_axi_s2mm_aclk", "axi_resetn"})
    if kind == "clk_wiz":
        assert settings["USE_RESET"] == "false"
        assert settings["USE_LOCKED"] == "true"
        return Block({}, {"clk_in1"}, {"clk_out1", "locked"})
    if kind == "proc_sys_reset":
        return Block({}, {"slowest_sync_clk", "ext_reset_in", "dcm_locked"}, {"peripheral_aresetn", "interconnect_aresetn"})
    if kind == "smartconnect":
        assert settings["NUM_CLKS"] == "1"
        slaves = {f"S{index:02}_AXI": (False, "aximm") for index in range(int(settings["NUM_SI"]))}
        return Block(slaves | {f"M{index:02}_AXI": (True, "aximm") for index in range(int(settings["NUM_MI"]))}, {"aclk", "aresetn"})
    if kind == "processing_system7":
        assert settings["PCW_USE_M_AXI_GP0"] == "1"
        assert settings["PCW_USE_M_AXI_GP1"] == "0"
        found = Block({"M_AXI_GP0": (True, "aximm")}, {"M_AXI_GP0_ACLK"}, {"FCLK_CLK0", "FCLK_RESET0_N"})
        for index in range(4):
            if settings[f"PCW_USE_S_AXI_HP{index}"] == "1":
                found.interfaces[f"S_AXI_HP{index}"] = (False, "aximm")
                found.inputs.add(f"S_AXI_HP{index}_ACLK")
        return found
    assert kind == "zynq_ultra_ps_e", kind
    assert settings["PSU__USE__M_AXI_GP0"] == "1"
    assert settings["PSU__USE__M_AXI_GP1"] == settings["PSU__USE__M_AXI_GP2"] == "0"
    found = Block({"M_AXI_HPM0_FPD": (True, "aximm")}, {"maxihpm0_fpd_aclk"}, {"pl_clk0", "pl_resetn0"})
    for setting, interface, clock, _ in ULTRASCALE_PORTS.values():
        if settings[setting] == "1":
            found.interfaces[interface] = (False, "aximm")
            found.inputs.add(clock)
    return found
