"""Boards: what a part has, at what clock it runs, and what a plan may take of it. One TOML file a board, in hw/boards or anywhere."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import qlight
from qlight.errors import InputError, nearest

#: Yosys' names of the families that the model knows
SERIES_7, ULTRASCALE = "xc7", "xcup"
FAMILIES = (SERIES_7, ULTRASCALE)
#: how much of each resource a plan may take. Assumptions of this project, not measurements: above them placing and routing tends to fail,
#: and the LUT figures are those of Yosys. Of DRAM: what is left of the peak rate after refresh and page misses.
USABLE = {"lut": 0.80, "ff": 0.80, "bram18": 0.95, "uram": 1.00, "dsp": 0.95}
DRAM_EFFICIENCY = 0.70
#: set aside for what the block design adds: a DMA, interconnects, reset. An assumption of this project, no vendor tool was run.
SHELL = {"lut": 6000, "ff": 9000, "bram18": 10}
_MOST_BYTES = 2**16


@dataclass(frozen=True)
class Resources:
    """What a unit takes or a part has.

    Attributes:
        lut: 6-input look-up tables, those used as memory included.
        ff: flip-flops.
        bram18: block RAM in halves of 18 Kbit (RAMB36 counts two).
        uram: UltraRAM of 288 Kbit.
        dsp: DSP48 slices.

    >>> Resources(lut=3, bram18=1) + Resources(lut=1)
    Resources(lut=4, ff=0, bram18=1, uram=0, dsp=0)
    """

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    uram: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.lut + other.lut, self.ff + other.ff, self.bram18 + other.bram18, self.uram + other.uram, self.dsp + other.dsp)

    @property
    def bram36(self) -> float:
        """Block RAM as data sheets count it."""
        return self.bram18 / 2


KINDS = tuple(field.name for field in fields(Resources))


@dataclass(frozen=True)
class Board:
    """A board file.

    Attributes:
        name: of the file, which commands take; ``title`` is for people.
        part: as the vendor's tools call it.
        family: "xc7" (Zynq-7000) or "xcup" (UltraScale+).
        resources: all that the part has.
        clock_mhz: of the accelerator, and of everything that it is connected to.
        bytes_per_second: peak rate of the DRAM.
        ports, port_bits: memory ports into the processing system, and the width of each. One is left to the DMA; streamed layers may share
            the others.
        sources: where each group of numbers comes from.
    """

    name: str
    title: str
    part: str
    family: str
    resources: Resources
    clock_mhz: float
    bytes_per_second: float
    ports: int
    port_bits: int
    sources: dict[str, str]

    @property
    def budget(self) -> Resources:
        """What a plan may take: the usable share, without what the block design needs."""
        return Resources(
            **{name: max(0, int(getattr(self.resources, name) * share) - SHELL.get(name, 0)) for name, share in USABLE.items()}
        )

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Bytes of weights that all streamed layers together may read a clock cycle: of the DRAM, or of the ports without the DMA's."""
        ports = (self.ports - 1) * self.port_bits / 8
        return min(ports, DRAM_EFFICIENCY * self.bytes_per_second / (self.clock_mhz * 1e6))


def boards_folder() -> Path:
    """hw/boards of this installation.

    Raises:
        InputError: there is none.
    """
    package = Path(qlight.__file__).parent
    for folder in (package / "hw" / "boards", package.parent / "hw" / "boards"):
        if folder.is_dir():
            return folder
    raise InputError("Expected the board files in hw/boards of this installation, but there are none; install qlight again.")


def board_names() -> list[str]:
    """The boards that `load_board` knows by name.

    >>> board_names()
    ['aup_zu3', 'kv260', 'pynq_z2', 'zcu104']
    """
    return sorted(path.stem for path in boards_folder().glob("*.toml"))


def load_board(name: str | Path) -> Board:
    """A board by name, or by the path of a file that ends in .toml.

    Raises:
        InputError: there is no such board, or its file is damaged; the message names what is wrong.

    >>> board = load_board("zcu104")
    >>> board.resources.lut, board.clock_mhz
    (230400, 300)
    """
    import tomllib  # Python 3.11; a board that only runs an accelerator may have 3.10

    text = str(name)
    if text.endswith(".toml"):
        path = Path(text).expanduser()
    else:
        # people write PYNQ-Z2, zcu-104, AUP ZU3
        plain = {_plain(known): known for known in board_names()}
        if _plain(text) not in plain:
            close = nearest(text, plain.values()) or ", ".join(plain.values())
            raise InputError(f"Expected `board` to be one of {', '.join(plain.values())} or a .toml file, but got {text!r}; try {close}.")
        path = boards_folder() / f"{plain[_plain(text)]}.toml"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"Expected `board` to be a board file, but {str(path)!r} has {path.stat().st_size} bytes; see hw/boards.")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Expected `board` to be a file that can be read, but {str(path)!r} cannot ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"Expected `board` to be a TOML file, but {str(path)!r} is none ({error}); see hw/boards for examples.") from error
    return _board(path, found)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _board(path: Path, found: dict[str, Any]) -> Board:
    def fail(what: str) -> InputError:
        return InputError(f"Expected board {str(path)!r} {what}; see hw/boards for examples.")

    def get(section: str | None, key: str, kind: type[Any]) -> Any:
        place = found if section is None else found.get(section)
        where = key if section is None else f"{section}.{key}"
        value = place.get(key) if isinstance(place, dict) else None
        if kind is float and type(value) is int:
            value = value if -1e300 < value < 1e300 else None
        elif type(value) is not kind:
            value = None
        if value is None:
            named = {str: "a text", int: "a whole number", float: "a number"}[kind]
            raise fail(f"to state {named} `{where}`, but it is missing or something else")
        return value

    def number(section: str, key: str, kind: type[Any], least: float) -> Any:
        value = get(section, key, kind)
        if not least <= value < 1e15:
            raise fail(f"to have `{section}.{key}` of at least {least:g}, but got {value}")
        return value

    family = get(None, "family", str)
    if family not in FAMILIES:
        raise fail(f"to have `family` {' or '.join(FAMILIES)}, but got {family!r}")
    amounts = {key: number("resources", key, int, 0) for key in ("lut", "ff", "bram36", "uram", "dsp")}
    sources = found.get("sources", {})
    if not isinstance(sources, dict) or any(not isinstance(text, str) for text in sources.values()):
        raise fail("to have texts in `sources`, but got something else")
    bits = number("memory", "port_bits", int, 32)
    if bits not in (32, 64, 128):
        raise fail(f"to have `memory.port_bits` 32, 64 or 128, but got {bits}")
    return Board(
        name=path.stem,
        title=get(None, "title", str),
        part=get(None, "part", str),
        family=family,
        resources=Resources(amounts["lut"], amounts["ff"], 2 * amounts["bram36"], amounts["uram"], amounts["dsp"]),
        clock_mhz=number("clock", "mhz", float, 1),
        bytes_per_second=number("memory", "bytes_per_second", float, 1),
        ports=number("memory", "ports", int, 1),
        port_bits=bits,
        sources=dict(sources),
    )
