"""The files of an emulated overlay: a text in the place of a bitstream, which says that it is none, and a hardware handoff file.

The handoff file is what Vivado would write of the smallest block design around the accelerator, as far as pynq reads it.
"""

from __future__ import annotations

import hashlib
import json
from xml.etree.ElementTree import SubElement

from qlight.board.handoff_elements import AXI_MEMORY, AXI_STREAM, file_of, interface, module, registers, system
from qlight.board.overlay import ACCELERATOR_TYPE, DMA_TYPE, Overlay, find_overlay
from qlight.files import whole_file
from qlight.hardware.build import Build

#: address map: base and bytes of the register blocks
DMA_BASE, ACCELERATOR_BASE, BLOCK_BYTES = 0xA000_0000, 0xA001_0000, 0x1_0000
_NOTICE = b"This is not a bitstream: it names a design of an emulated board of qlight.\n"
_PL_CLOCKS, _MASTER = 4, "M_AXI_HPM0_FPD"


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
            with whole_file(path) as part:
                part.write_bytes(text)
    return find_overlay(build.folder)


def handoff() -> bytes:
    """The handoff file: a processing system of UltraScale+, an AXI DMA and the accelerator."""
    root, modules = system("zynquplus", "emulated", "none", "qlight_emulated", "none: emulated by qlight", "none")
    clocks = {f"PSU__FPGA_PL{i}_ENABLE": str(int(i == 0)) for i in range(_PL_CLOCKS)}
    for i in range(_PL_CLOCKS):
        values = {"DIVISOR0": "10", "DIVISOR1": "1", "SRCSEL": "IOPLL", "ACT_FREQMHZ": "100.000000"}
        clocks |= {f"PSU__CRL_APB__PL{i}_REF_CTRL__{name}": value for name, value in values.items()}
    processing_system = module(modules, "zynq_ultra_ps_e_0", "xilinx.com:ip:zynq_ultra_ps_e:3.5", clocks)
    interface(processing_system, _MASTER, "MASTER", AXI_MEMORY)
    interface(processing_system, "S_AXI_HP0_FPD", "SLAVE", AXI_MEMORY)
    ranges = SubElement(processing_system, "MEMORYMAP")
    dma = module(
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
    interface(dma, "S_AXI_LITE", "SLAVE", AXI_MEMORY)
    interface(dma, "M_AXIS_MM2S", "INITIATOR", AXI_STREAM)
    interface(dma, "S_AXIS_S2MM", "TARGET", AXI_STREAM)
    accelerator = module(modules, "qlight_top_0", f"qlight:user:{ACCELERATOR_TYPE}:1.0", {})
    interface(accelerator, "s_axi", "SLAVE", AXI_MEMORY)
    interface(accelerator, "s_axis", "TARGET", AXI_STREAM)
    interface(accelerator, "m_axis", "INITIATOR", AXI_STREAM)
    for base, block, port in ((DMA_BASE, dma, "S_AXI_LITE"), (ACCELERATOR_BASE, accelerator, "s_axi")):
        registers(ranges, block, port, _MASTER, base, BLOCK_BYTES)
    return file_of(root)
