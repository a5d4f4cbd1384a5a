"""Synthetic .bit and .hwh files, made from the vendor's description and not with the code under test."""

from __future__ import annotations

import struct
from collections.abc import Sequence

NOOP, DUMMY = 0x2000_0000, 0xFFFF_FFFF
CRC, FAR, FDRI, CMD, MFWR, IDCODE = 0, 1, 2, 4, 10, 12
Z7020, ZU7EV = 0x2372_7093, 0x04A5_A093  # the first with the revision of some chips


def crc(value: int, register: int, word: int) -> int:
    """A bit at a time: the word's 32, then the register's 5, the lowest first."""
    for bit in range(37):
        mixed = (((register << 32 | word) >> bit) ^ value) & 1
        value = (value >> 1) ^ (0x82F6_3B78 if mixed else 0)
    return value


def write(register: int, *words: int) -> list[int]:
    return [1 << 29 | 2 << 27 | register << 13 | len(words), *words]


def configuration(
    idcode: int = Z7020,
    frames: Sequence[int] = range(1, 304),
    extra: Sequence[int] = (),
    checksum: int | None = None,
    ends: bool = True,
) -> list[int]:
    """Words after the synchronization word; `frames` as a packet of type 2, then the right checksum unless another is given."""
    words = [NOOP, *write(CMD, 0), *write(CMD, 7), NOOP, *write(IDCODE, idcode), *write(FAR, 0), *write(CMD, 1), *extra]
    words += [*write(FDRI), 2 << 29 | 2 << 27 | len(frames), *frames]
    value = crc(crc(crc(0, IDCODE, idcode), FAR, 0), CMD, 1)
    for position in range(0, len(extra), 2):  # packets of one word
        value = crc(value, extra[position] >> 13 & 31, extra[position + 1])
    for word in frames:
        value = crc(value, FDRI, word)
    words += write(CRC, value if checksum is None else checksum)
    return words + (end() if ends else [])


def end() -> list[int]:
    return [NOOP, *write(CMD, 5), NOOP, *write(CMD, 13), NOOP, NOOP]


def bitfile(words: Sequence[int], part: str = "7z020clg400", size: int | None = None) -> bytes:
    fields = [b"qlight_wrapper;UserID=0XFFFFFFFF;Version=2022.2", part.encode(), b"2026/11/22", b"12:00:00"]
    head = bytes.fromhex("00090ff00ff00ff00ff0000001")
    for letter, text in zip(b"abcd", fields, strict=True):
        head += struct.pack(">BH", letter, len(text) + 1) + text + b"\0"
    data = struct.pack(">4I", DUMMY, 0x0000_00BB, 0x1122_0044, DUMMY) + bytes.fromhex("aa995566") + struct.pack(f">{len(words)}I", *words)
    return head + b"e" + struct.pack(">I", len(data) if size is None else size) + data


def handoff(
    device: str = "7z020", package: str = "clg400", dma: int = 0x4000_0000, accelerator: int = 0x4001_0000, length: int = 26
) -> str:
    ranges = "".join(
        f'<MEMRANGE BASEVALUE="0x{base:08X}" HIGHVALUE="0x{base + 0xFFFF:08X}" INSTANCE="{name}" MEMTYPE="REGISTER"/>'
        for name, base in (("axi_dma_0", dma), ("qlight_top_0", accelerator))
    )
    values = {"c_include_sg": 0, "c_sg_length_width": length, "c_include_mm2s": 1, "c_include_s2mm": 1}
    parameters = "".join(f'<PARAMETER NAME="{name}" VALUE="{value}"/>' for name, value in values.items())
    return f"""<EDKSYSTEM><SYSTEMINFO ARCH="any" DEVICE="{device}" PACKAGE="{package}" SPEEDGRADE="-1"/><MODULES>
<MODULE INSTANCE="ps" VLNV="xilinx.com:ip:processing_system7:5.5"><MEMORYMAP>{ranges}</MEMORYMAP></MODULE>
<MODULE INSTANCE="axi_dma_0" VLNV="xilinx.com:ip:axi_dma:7.1"><PARAMETERS>{parameters}</PARAMETERS></MODULE>
<MODULE INSTANCE="qlight_top_0" VLNV="qlight:user:qlight_top:1.0"/></MODULES></EDKSYSTEM>"""
