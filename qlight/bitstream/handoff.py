"""Hardware handoff files (.hwh) against the address map of a board's family, and what the driver needs of the DMA."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from qlight.bitstream.bitfile import package_of
from qlight.board.overlay import ACCELERATOR_TYPE, DMA_TYPE, OPEN_DMA_TYPE
from qlight.errors import InputError
from qlight.hardware.boards import Board, boards_folder

#: bytes of each block of registers
BLOCK_BYTES = 0x1_0000
#: settings of the DMA that the driver relies on (hw/boards/build.tcl)
DMA_SETTINGS = {"c_include_sg": 0, "c_sg_length_width": 26, "c_include_mm2s": 1, "c_include_s2mm": 1}
_BASE = re.compile(r"^set (dma|accelerator)_base (0x[0-9A-Fa-f]+)\s*$", re.MULTILINE)
_MOST_BYTES = 1 << 26


def address_map(family: str) -> dict[str, int]:
    """Addresses of the registers of "dma" and "accelerator", from hw/boards/FAMILY.tcl.

    >>> {name: hex(base) for name, base in address_map("xc7").items()}
    {'dma': '0x40000000', 'accelerator': '0x40010000'}
    """
    text = (boards_folder() / f"{family}.tcl").read_text(encoding="utf-8")
    return {name: int(base, 16) for name, base in _BASE.findall(text)}


def check_handoff(path: str | Path, board: Board) -> None:
    """Check that a handoff file is of this board's part, and has one DMA and one accelerator where the address map has them.

    Raises:
        InputError: it is not so; the message says what is wrong.
    """
    path = Path(path).expanduser()

    def wrong(what: str) -> InputError:
        return InputError(f"Expected {str(path)!r} to be the handoff file of an accelerator on {board.name}, but {what}; build it again.")

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise wrong(f"it has {path.stat().st_size} bytes")
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise wrong(f"it cannot be read ({error.strerror})") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise wrong(f"it is no XML ({error})") from error
    system = root.find("SYSTEMINFO")
    stated = "" if system is None else f"{system.get('DEVICE', '')}-{system.get('PACKAGE', '')}"
    if stated.lower().replace("-", "").removeprefix("xc") != package_of(board.part):
        raise wrong(f"it is for {stated or 'no part'} where the board has {board.part}")
    for name, base in address_map(board.family).items():
        kinds = (DMA_TYPE, OPEN_DMA_TYPE) if name == "dma" else (ACCELERATOR_TYPE,)
        modules = [module for module in root.iter("MODULE") if any(_is(module.get("VLNV", ""), kind) for kind in kinds)]
        if len(modules) != 1:
            raise wrong(f"it has {len(modules)} blocks {' or '.join(kinds)} where one must be")
        instance = modules[0].get("INSTANCE", "")
        found = {
            (_number(each, "BASEVALUE"), _number(each, "HIGHVALUE")) for each in root.iter("MEMRANGE") if each.get("INSTANCE") == instance
        }
        if found != {(base, base + BLOCK_BYTES - 1)}:
            got = ", ".join(f"0x{low:08x} to 0x{high:08x}" for low, high in sorted(found)) or "no addresses"
            raise wrong(f"{instance} has {got} where the address map has 0x{base:08x} to 0x{base + BLOCK_BYTES - 1:08x}")
        if name == "dma":
            settings = {each.get("NAME", ""): each.get("VALUE") for each in modules[0].iter("PARAMETER")}
            for setting, value in DMA_SETTINGS.items():
                if settings.get(setting) != str(value):
                    raise wrong(f"{instance} has {setting} {settings.get(setting)} where the driver needs {value}")


def _is(identifier: str, kind: str) -> bool:
    """Whether a VENDOR:LIBRARY:NAME:VERSION is of a type that is named with or without its vendor."""
    return identifier.split(":")[-1 - len(kind.split(":")) : -1] == kind.split(":")


def _number(element: ElementTree.Element, name: str) -> int:
    try:
        return int(element.get(name, ""), 16)
    except ValueError:
        return -1
