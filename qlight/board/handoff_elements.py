"""Elements of hardware handoff files (.hwh), as far as pynq reads them."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from qlight.board.overlay import ACCELERATOR_TYPE

#: of a register block, as its interface is for pynq
AXI_MEMORY, AXI_STREAM = "aximm", "axis"
#: as pynq's driver of the DMA reads them: registers without scatter-gather, lengths in 26 bits, addresses that are multiples of 4 bytes
_DMA = {
    "c_include_sg": "0",
    "c_micro_dma": "0",
    "c_include_mm2s": "1",
    "c_include_s2mm": "1",
    "c_include_mm2s_dre": "0",
    "c_include_s2mm_dre": "0",
    "c_m_axi_mm2s_data_width": "32",
    "c_m_axi_s2mm_data_width": "32",
    "c_sg_length_width": "26",
}


def system(architecture: str, device: str, package: str, name: str, tool: str, speed: str) -> tuple[Element, Element]:
    """The root of a file, and the element that its modules go into.

    Args:
        tool: what made the design.
    """
    root = Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION=tool)
    SubElement(root, "SYSTEMINFO", ARCH=architecture, DEVICE=device, NAME=name, PACKAGE=package, SPEEDGRADE=speed)
    SubElement(root, "EXTERNALPORTS")
    SubElement(root, "EXTERNALINTERFACES")
    return root, SubElement(root, "MODULES")


def module(modules: Element, name: str, kind: str, parameters: Mapping[str, str]) -> Element:
    """A block.

    Args:
        kind: VENDOR:LIBRARY:NAME:VERSION.
    """
    found = SubElement(modules, "MODULE", FULLNAME=f"/{name}", INSTANCE=name, MODTYPE=kind.split(":")[2], VLNV=kind)
    held = SubElement(found, "PARAMETERS")
    for parameter, value in parameters.items():
        SubElement(held, "PARAMETER", NAME=parameter, VALUE=value)
    SubElement(found, "PORTS")
    SubElement(found, "BUSINTERFACES")
    return found


def interface(block: Element, name: str, role: str, bus: str) -> None:
    """An interface of a block.

    Args:
        role: MASTER or SLAVE (`AXI_MEMORY`), INITIATOR or TARGET (`AXI_STREAM`).
    """
    interfaces = block.find("BUSINTERFACES")
    assert interfaces is not None
    SubElement(interfaces, "BUSINTERFACE", NAME=name, TYPE=role, VLNV=f"xilinx.com:interface:{bus}:1.0")


def dma(modules: Element, kind: str, control: str, to_stream: str, from_stream: str) -> Element:
    """A DMA without scatter-gather.

    Args:
        kind: as of `module`.
        control, to_stream, from_stream: names of the interface of its registers, and of its streams from and to memory.
    """
    found = module(modules, "axi_dma_0", kind, _DMA)
    interface(found, control, "SLAVE", AXI_MEMORY)
    interface(found, to_stream, "INITIATOR", AXI_STREAM)
    interface(found, from_stream, "TARGET", AXI_STREAM)
    return found


def accelerator(modules: Element) -> Element:
    """The accelerator, whose registers are ``s_axi``."""
    found = module(modules, "qlight_top_0", f"qlight:user:{ACCELERATOR_TYPE}:1.0", {})
    interface(found, "s_axi", "SLAVE", AXI_MEMORY)
    interface(found, "s_axis", "TARGET", AXI_STREAM)
    interface(found, "m_axis", "INITIATOR", AXI_STREAM)
    return found


def registers(ranges: Element, block: Element, port: str, master: str, base: int, size: int) -> None:
    """A block's registers in a processing system's MEMORYMAP: ``size`` bytes from ``base`` on, through ``master``."""
    SubElement(
        ranges,
        "MEMRANGE",
        ADDRESSBLOCK="Reg",
        BASEVALUE=f"0x{base:08X}",
        HIGHVALUE=f"0x{base + size - 1:08X}",
        INSTANCE=block.get("INSTANCE", ""),
        IS_DATA="TRUE",
        MASTERBUSINTERFACE=master,
        MEMTYPE="REGISTER",
        SLAVEBUSINTERFACE=port,
    )


def file_of(root: Element) -> bytes:
    """The file."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
