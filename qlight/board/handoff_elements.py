"""Elements of hardware handoff files (.hwh), as far as pynq reads them."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

#: of a register block, as its interface is for pynq
AXI_MEMORY, AXI_STREAM = "aximm", "axis"


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
