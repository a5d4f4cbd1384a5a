""".bit files: the header, and the configuration packets after it, as the part reads them.

Formats: AMD UG470 (7 series) and UG570 (UltraScale), configuration packets; the checksum's rule is documented by Project X-Ray. Both
checksums of AMD's five cnv and lfc bitstreams for PYNQ-Z1/Z2 (Xilinx/BNN-PYNQ, Vivado 2018.2) come out as they are written there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.hardware.boards import SERIES_7, ULTRASCALE

SYNC = b"\xaa\x99\x55\x66"
#: 32-bit words of a frame
FRAME_WORDS = {SERIES_7: 101, ULTRASCALE: 93}
#: frames that a whole configuration of a part writes, those between rows included; of others only that they are whole is checked
FRAMES = {"xc7z020": 10008}
#: what a bitstream writes into IDCODE: of UltraScale+ that of the programmable logic, which is not the one that JTAG gives. The four
#: bits of the revision are left out. Sources: real bitstreams of xc7z020; of the others, public notes of projects that read theirs.
IDCODES = {"xc7z020": 0x3727093, "xczu3eg": 0x4A42093, "xck26": 0x4A49093, "xczu7ev": 0x4A5A093}
_REVISION = 0x0FFF_FFFF
#: registers and commands of the configuration logic
CRC, FDRI, CMD, LOUT, MFWR, IDCODE = 0, 2, 4, 8, 10, 12
WCFG, START, RCRC, DESYNC = 1, 5, 7, 13
_HEAD = b"\x00\x09\x0f\xf0\x0f\xf0\x0f\xf0\x0f\xf0\x00\x00\x01"
_POLYNOMIAL = 0x82F63B78
_MOST_BYTES = 1 << 27


@dataclass(frozen=True)
class Bitfile:
    """What a .bit file says.

    Attributes:
        design, part, date, time: of the header.
        idcode: the part that the packets are for, without its revision.
        frame_words: words written into the frames' register.
        compressed: whether a frame is written to several places, so that ``frame_words`` is less than the part has.
        checksums: how many the packets hold, all of them right.
        commands: in their order.
    """

    design: str
    part: str
    date: str
    time: str
    idcode: int
    frame_words: int
    compressed: bool
    checksums: int
    commands: tuple[int, ...]


def device_of(part: str) -> str:
    """The device of a part, without package and speed.

    >>> device_of("xc7z020clg400-1"), device_of("xczu7ev-ffvc1156-2-e")
    ('xc7z020', 'xczu7ev')
    """
    found = re.match(r"xc7z\d+|[^-]+", part.lower())
    return found[0] if found else part.lower()


def package_of(part: str) -> str:
    """Device and package in the letters and digits that every tool writes, without the speed and "xc" in front.

    >>> package_of("xc7z020clg400-1"), package_of("7z020clg400"), package_of("xczu7ev-ffvc1156-2-e")
    ('7z020clg400', '7z020clg400', 'zu7evffvc1156')
    """
    parts = part.lower().split("-")
    kept = parts[:1] if re.match(r"(xc)?7", part.lower()) else parts[:2]
    return "".join(kept).removeprefix("xc")


def read_bitfile(path: str | Path) -> Bitfile:
    """Read a .bit file and check what any must have: a header, the synchronization word, whole packets, right checksums, a start.

    Raises:
        InputError: it cannot be read, or is not such a file; the message says what is wrong.
    """
    path = Path(path).expanduser()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _wrong(path, f"has {path.stat().st_size} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Expected the bitstream {str(path)!r}, but it cannot be read ({error.strerror}).") from error
    try:
        header, data = _header(content)
        return Bitfile(**header, **_configuration(data))
    except ValueError as error:
        raise _wrong(path, str(error)) from error


def check_bitfile(path: str | Path, part: str, family: str) -> Bitfile:
    """Read a .bit file, and check that it configures all of this part.

    Args:
        part: as the board's file has it.
        family: "xc7" or "xcup".

    Raises:
        InputError: it is for another part, incomplete or damaged, or the part's IDCODE is not known here.
    """
    path, device = Path(path).expanduser(), device_of(part)
    if device not in IDCODES:
        raise InputError(f"Expected a part whose IDCODE is known ({', '.join(IDCODES)}), but got {part}; add it to IDCODES.")
    found = read_bitfile(path)
    if package_of(found.part) != package_of(part):
        raise _wrong(path, f"is for the part {found.part} where {part} is wanted")
    if found.idcode != IDCODES[device]:
        raise _wrong(path, f"is for IDCODE 0x{found.idcode:08x} where {part} has 0x{IDCODES[device]:08x}")
    frames, rest = divmod(found.frame_words, FRAME_WORDS[family])
    if rest:
        raise _wrong(path, f"writes {found.frame_words} words of frames, which is no multiple of {FRAME_WORDS[family]}")
    if not found.compressed and frames != FRAMES.get(device, frames):
        raise _wrong(path, f"writes {frames} frames where {part} has {FRAMES[device]}")
    return found


def checksum(value: int, register: int, word: int) -> int:
    """The configuration logic's checksum after a word is written into a register: CRC-32C of its 32 bits and the register's 5.

    >>> hex(checksum(0, FDRI, 1))
    '0xd539ccfe'
    """
    value ^= word
    for _ in range(4):
        value = (value >> 8) ^ _TABLE[value & 0xFF]
    return (value >> 5) ^ _FIVE[(value ^ register) & 0x1F]


def _steps(value: int, bits: int) -> int:
    for _ in range(bits):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE, _FIVE = [_steps(value, 8) for value in range(256)], [_steps(value, 5) for value in range(32)]


def _wrong(path: Path, what: str) -> InputError:
    return InputError(f"Expected {str(path)!r} to be a whole bitstream, but it {what}; build it again.")


def _header(content: bytes) -> tuple[dict[str, str], bytes]:
    """Fields of the header, and what comes after it.

    Raises:
        ValueError: it is none.
    """
    if not content.startswith(_HEAD):
        raise ValueError("does not begin as a .bit file")
    place, fields = len(_HEAD), {}
    for letter, name in zip(b"abcd", ("design", "part", "date", "time"), strict=True):
        size = int.from_bytes(content[place + 1 : place + 3], "big")
        text = content[place + 3 : place + 3 + size]
        if content[place : place + 1] != bytes([letter]) or len(text) != size or not text.endswith(b"\0") or not text.isascii():
            raise ValueError(f"has no {name} in its header")
        fields[name] = text[:-1].decode("ascii")
        place += 3 + size
    size = int.from_bytes(content[place + 1 : place + 5], "big")
    data = content[place + 5 :]
    if content[place : place + 1] != b"e" or size != len(data):
        raise ValueError(f"has {len(data)} bytes of data where its header says {size}")
    return fields, data


def _packets(words: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Register and words of every write, up to the command that ends the configuration.

    Raises:
        ValueError: a packet is of no known type or cut off, or there is no end.
    """
    place, register = 0, None
    while place < len(words):
        head = words[place]
        place += 1
        kind, write = head >> 29, head >> 27 & 3 == 2
        if head == 0:  # between rows, as some tools write it
            continue
        if kind == 1:
            register, count = head >> 13 & 0x1F, head & 0x7FF
        elif kind == 2 and register is not None:
            count = head & 0x7FF_FFFF
        else:
            raise ValueError(f"has the word 0x{head:08x} where a packet must begin")
        if place + count > len(words):
            raise ValueError("is cut off in a packet")
        if write and count:
            held = words[place : place + count]
            yield register, held
            if register == CMD and held[-1] == DESYNC:
                return
        # a read has no words in the file
        place += count if write else 0
    raise ValueError("has no command that ends the configuration (DESYNC)")


def _configuration(data: bytes) -> dict[str, Any]:
    """What the packets do.

    Raises:
        ValueError: they are none, or do not configure a part.
    """
    start = data.find(SYNC)
    if start < 0:
        raise ValueError("has no synchronization word 0xaa995566")
    words = np.frombuffer(data, ">u4", count=(len(data) - start) // 4, offset=start)[1:].tolist()
    idcode, frame_words, compressed, checksums, value = None, 0, False, 0, 0
    commands: list[int] = []
    for register, held in _packets(words):
        if register == FDRI:
            if idcode is None or WCFG not in commands:
                raise ValueError("writes frames before the part's IDCODE and the command WCFG")
            frame_words += len(held)
        elif register == IDCODE:
            idcode = held[-1] & _REVISION
        elif register == CMD:
            commands += held
        compressed |= register == MFWR
        if register == CRC:
            if held != [value]:
                raise ValueError(f"has the checksum 0x{held[0]:08x} where its packets give 0x{value:08x}")
            checksums, value = checksums + 1, 0
        elif register == CMD and held == [RCRC]:
            value = 0
        elif register != LOUT:
            for word in held:
                value = checksum(value, register, word)
    if idcode is None or not frame_words:
        raise ValueError("writes no frames")
    if START not in commands:
        raise ValueError("has no command START")
    if not checksums and RCRC not in commands:
        raise ValueError("has neither a checksum nor a command RCRC in the place of one")
    return {
        "idcode": idcode,
        "frame_words": frame_words,
        "compressed": compressed,
        "checksums": checksums,
        "commands": tuple(commands),
    }
