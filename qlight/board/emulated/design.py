"""The files of an emulated overlay: a text in the place of a bitstream, which says that it is none, and a hardware handoff file.

The handoff file is what Vivado would write of the smallest block design around the accelerator, as far as pynq reads it.
"""

from __future__ import annotations

import hashlib
import json
from xml.etree.ElementTree import SubElement

from qlight.board.handoff_elements import AXI_MEMORY, accelerator, dma, file_of, interface, module, registers, system
from qlight.board.overlay import DMA_TYPE, Overlay, find_overlay
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
    blocks = (
        (DMA_BASE, dma(modules, f"{DMA_TYPE}:7.1", "S_AXI_LITE", "M_AXIS_MM2S", "S_AXIS_S2MM"), "S_AXI_LITE"),
        (ACCELERATOR_BASE, accelerator(modules), "s_axi"),
    )
    for base, block, port in blocks:
        registers(ranges, block, port, _MASTER, base, BLOCK_BYTES)
    return file_of(root)
