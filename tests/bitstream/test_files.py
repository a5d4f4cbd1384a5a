"""What is said of .bit and .hwh files, right and wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.bitstream import bitfile as module
from qlight.bitstream.bitfile import FDRI, check_bitfile, checksum, read_bitfile
from qlight.bitstream.handoff import address_map, check_handoff
from qlight.board.emulated.design import ACCELERATOR_BASE, DMA_BASE
from qlight.errors import InputError
from qlight.hardware.boards import board_names, load_board
from tests.bitstream.files import CMD, MFWR, Z7020, ZU7EV, bitfile, configuration, crc, end, handoff, write

PART, FAMILY = "xc7z020clg400-1", "xc7"
WORDS = configuration()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file goes; the part has three frames."""
    monkeypatch.setitem(module.FRAMES, "xc7z020", 3)
    return tmp_path / "a.bit"


@given(st.integers(0, 2**32 - 1), st.integers(0, 31), st.integers(0, 2**32 - 1))
def test_the_checksum_is_that_of_single_bits(value: int, register: int, word: int) -> None:
    assert checksum(value, register, word) == crc(value, register, word)


def test_a_right_file(path: Path) -> None:
    path.write_bytes(bitfile(WORDS))
    found = check_bitfile(path, PART, FAMILY)
    assert (found.part, found.date, found.time) == ("7z020clg400", "2026/11/22", "12:00:00")
    assert (found.idcode, found.frame_words, found.checksums, found.compressed) == (0x3727093, 303, 1, False)
    assert found.commands == (0, 7, 1, 5, 13)


def test_of_another_family(path: Path) -> None:
    path.write_bytes(bitfile(configuration(ZU7EV, range(186)), "xczu7ev-ffvc1156-2-e"))
    assert check_bitfile(path, "xczu7ev-ffvc1156-2-e", "xcup").frame_words == 186


def test_one_of_the_size_of_a_real_part(tmp_path: Path) -> None:
    frames = [0] * (10008 * 101)
    head = [*write(CMD, 7), *write(module.IDCODE, Z7020), *write(CMD, 1), *write(FDRI), 2 << 29 | 2 << 27 | len(frames)]
    (tmp_path / "a.bit").write_bytes(bitfile([*head, *frames, 0, *write(CMD, 7), *end()], PART))  # as xc7frames2bit: RCRC, no checksum
    assert check_bitfile(tmp_path / "a.bit", PART, FAMILY).frame_words == 1_010_808


def test_a_compressed_one_writes_fewer_frames(path: Path) -> None:
    words = configuration(frames=range(202), extra=write(MFWR, 0))
    path.write_bytes(bitfile(words))
    assert check_bitfile(path, PART, FAMILY).compressed


def test_every_board_has_an_idcode() -> None:
    assert {module.device_of(load_board(name).part) for name in board_names()} == set(module.IDCODES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin as a .bit file"),
        (b"This is not a bitstream.", "does not begin as a .bit file"),
        (bitfile(WORDS)[:60], "has no design in its header|has no part in its header"),
        (bitfile(WORDS)[:-8], "bytes of data where its header says"),
        (bitfile(WORDS).replace(bytes.fromhex("aa995566"), bytes(4)), "has no synchronization word"),
        (bitfile(WORDS[:200]), "is cut off in a packet"),
        (bitfile(configuration(ends=False)), r"has no command that ends the configuration \(DESYNC\)"),
        (bitfile([*configuration(ends=False), *write(CMD, 13)]), "has no command START"),
        (bitfile([0xE000_0000, *WORDS]), "has the word 0xe0000000 where a packet must begin"),
        (bitfile([2 << 29 | 2 << 27 | 4, *WORDS]), "has the word 0x50000004 where a packet must begin"),
        (bitfile(configuration(checksum=5)), "has the checksum 0x00000005 where its packets give 0x[0-9a-f]{8}"),
        (bitfile([*write(FDRI, 1), *WORDS]), "writes frames before the part's IDCODE"),
        (bitfile(end()), "writes no frames"),
        (bitfile([*write(12, Z7020), *write(CMD, 1), *write(FDRI, *range(101)), *end()]), "neither a checksum nor a command RCRC"),
        (bitfile(configuration(ZU7EV)), "is for IDCODE 0x04a5a093 where xc7z020clg400-1 has 0x03727093"),
        (bitfile(WORDS, "7z010clg400"), "is for the part 7z010clg400 where xc7z020clg400-1 is wanted"),
        (bitfile(WORDS, "7z020clg484"), "is for the part 7z020clg484"),
        (bitfile(configuration(frames=range(302))), "writes 302 words of frames, which is no multiple of 101"),
        (bitfile(configuration(frames=range(202))), "writes 2 frames where xc7z020clg400-1 has 3"),
    ],
)
def test_a_wrong_file(content: bytes, words: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        check_bitfile(path, PART, FAMILY)
    assert "\n" not in str(error.value)


def test_no_file_and_a_part_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_bitfile(tmp_path / "none.bit")
    with pytest.raises(InputError, match="whose IDCODE is known"):
        check_bitfile(tmp_path / "none.bit", "xc7z045ffg900-2", "xc7")


@settings(max_examples=50)
@given(st.integers(0, 303 * 4 - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_frame_is_missed(position: int, change: int) -> None:
    words = configuration()
    words[words.index(2 << 29 | 2 << 27 | 303) + 1 + position // 4] ^= change << 8 * (position % 4)
    data = bitfile(words)[bitfile(WORDS).index(bytes.fromhex("aa995566")) :]
    with pytest.raises(ValueError, match="has the checksum"):
        module._configuration(data)


def test_a_right_handoff(tmp_path: Path) -> None:
    path = tmp_path / "a.hwh"
    path.write_text(handoff())
    check_handoff(path, load_board("pynq_z2"))
    path.write_text(handoff("xck26", "sfvc784", DMA_BASE, ACCELERATOR_BASE))
    check_handoff(path, load_board("kv260"))
    assert address_map("xcup") == {"dma": DMA_BASE, "accelerator": ACCELERATOR_BASE}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no XML", "it is no XML"),
        ("<X/>", "it is for no part"),
        (handoff(device="7z010"), "it is for 7z010-clg400 where the board has xc7z020clg400-1"),
        (handoff(dma=0x4040_0000), "axi_dma_0 has 0x40400000 to 0x4040ffff where the address map has 0x40000000"),
        (handoff(accelerator=0x4002_0000), "qlight_top_0 has 0x40020000"),
        (handoff(length=14), "c_sg_length_width 14 where the driver needs 26"),
        (handoff().replace("qlight_top:1.0", "other:1.0"), "0 blocks qlight_top"),
        (handoff().replace("0x4000FFFF", "many"), "axi_dma_0 has 0x40000000 to"),
        (handoff().replace("<MEMRANGE", "<OTHER"), "has no addresses"),
    ],
)
def test_a_wrong_handoff(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.hwh").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        check_handoff(tmp_path / "a.hwh", load_board("pynq_z2"))
    assert "\n" not in str(error.value)
