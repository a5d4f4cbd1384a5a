"""The files of an emulated overlay: a text in the place of a bitstream, which says that it is none, and a hardware handoff file.

The handoff file is what Vivado would write of the smallest block design around the accelerator, as far as pynq reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from qlight.board.overlay import ACCELERATOR_TYPE, DMA_TYPE, Overlay, find_overlay
from qlight.hardware.build import Build

#: address map: base and bytes of the register blocks
DMA_BASE, ACCELERATOR_BASE, BLOCK_BYTES = 0xA000_0000, 0xA001_0000, 0x1_0000
_NOTICE = b"This is not a bitstream: it names a design of an emulated board of qlight.\n"
_PL_CLOCKS = 4


def container(geometry_hash: str, graph_hash: str) -> bytes:
    """What the emulated fabric is configured with: a notice, and JSON; a multiple of 4 bytes."""
    stated = json.dumps({"format": "qlight-emulated", "version": 1, "geometry_hash": geometry_hash, "graph_hash": graph_hash})
    text = _NOTICE + stated.encode("ascii") + b"\n"
    return text + b"\n" * (-len(text) % 4)


def read_container(content: bytes) -> tuple[str, str]:
    """The geometry hash and the graph hash of a container.

    Raises:
        ValueError: it is none.
    """
    if not content.startswith(_NOTICE):
        raise ValueError("no container of an emulated design")
    held = json.loads(content[len(_NOTICE) :])
    return str(held["geometry_hash"]), str(held["graph_hash"])


def write_overlay(build: Build) -> Overlay:
    """Put an emulated overlay into a build folder, named by its content; one that is there is kept."""
    content = container(build.geometry_hash, build.graph.content_hash)
    stem = f"emulated-{hashlib.sha256(content).hexdigest()[:16]}"
    for name, text in ((f"{stem}.hwh", handoff()), (f"{stem}.bin", content)):
        path = build.folder / name
        if not path.exists() or path.read_bytes() != text:
            handle, part = tempfile.mkstemp(dir=build.folder, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(text)
            os.replace(part, path)
    return find_overlay(build.folder)


def handoff() -> bytes:
    """The handoff file: a processing system of UltraScale+, an AXI DMA and the accelerator."""
    root = Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="none: emulated by qlight")
    SubElement(root, "SYSTEMINFO", ARCH="zynquplus", DEVICE="emulated", NAME="qlight_emulated", PACKAGE="none", SPEEDGRADE="none")
    SubElement(root, "EXTERNALPORTS")
    SubElement(root, "EXTERNALINTERFACES")
    modules = SubElement(root, "MODULES")
    clocks = {f"PSU__FPGA_PL{i}_ENABLE": str(int(i == 0)) for i in range(_PL_CLOCKS)}
    for i in range(_PL_CLOCKS):
        values = {"DIVISOR0": "10", "DIVISOR1": "1", "SRCSEL": "IOPLL", "ACT_FREQMHZ": "100.000000"}
        clocks |= {f"PSU__CRL_APB__PL{i}_REF_CTRL__{name}": value for name, value in values.items()}
    system = _module(modules, "zynq_ultra_ps_e_0", "xilinx.com:ip:zynq_ultra_ps_e:3.5", clocks)
    _interface(system, "M_AXI_HPM0_FPD", "MASTER", "aximm")
    _interface(system, "S_AXI_HP0_FPD", "SLAVE", "aximm")
    ranges = SubElement(system, "MEMORYMAP")
    dma = _module(
        modules,
        "axi_dma_0",
        f"{DMA_TYPE}:7.1",
        {
            "c_include_sg": "0",
            "c_micro_dma": "0",
            "c_include_mm2s": "1",
            "c_include_s2mm": "1",
            "c_include_mm2s_dre": "0",
            "c_include_s2mm_dre": "0",
            "c_m_axi_mm2s_data_width": "32",
            "c_m_axi_s2mm_data_width": "32",
            "c_sg_length_width": "26",
        },
    )
    _interface(dma, "S_AXI_LITE", "SLAVE", "aximm")
    _interface(dma, "M_AXIS_MM2S", "INITIATOR", "axis")
    _interface(dma, "S_AXIS_S2MM", "TARGET", "axis")
    accelerator = _module(modules, "qlight_top_0", f"qlight:user:{ACCELERATOR_TYPE}:1.0", {})
    _interface(accelerator, "s_axi", "SLAVE", "aximm")
    _interface(accelerator, "s_axis", "TARGET", "axis")
    _interface(accelerator, "m_axis", "INITIATOR", "axis")
    for base, module, port in ((DMA_BASE, dma, "S_AXI_LITE"), (ACCELERATOR_BASE, accelerator, "s_axi")):
        SubElement(
            ranges,
            "MEMRANGE",
            ADDRESSBLOCK="Reg",
            BASEVALUE=f"0x{base:08X}",
            HIGHVALUE=f"0x{base + BLOCK_BYTES - 1:08X}",
            INSTANCE=module.get("INSTANCE", ""),
            IS_DATA="TRUE",
            MASTERBUSINTERFACE="M_AXI_HPM0_FPD",
            MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE=port,
        )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _module(modules: Element, name: str, kind: str, parameters: dict[str, str]) -> Element:
    model = kind.split(":")[2]
    module = SubElement(modules, "MODULE", FULLNAME=f"/{name}", INSTANCE=name, MODTYPE=model, VLNV=kind)
    held = SubElement(module, "PARAMETERS")
    for parameter, value in parameters.items():
        SubElement(held, "PARAMETER", NAME=parameter, VALUE=value)
    SubElement(module, "PORTS")
    SubElement(module, "BUSINTERFACES")
    return module


def _interface(module: Element, name: str, role: str, bus: str) -> None:
    interfaces = module.find("BUSINTERFACES")
    assert interfaces is not None
    SubElement(interfaces, "BUSINTERFACE", NAME=name, TYPE=role, VLNV=f"xilinx.com:interface:{bus}:1.0")
