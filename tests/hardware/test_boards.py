"""Board files: the four that are there, and files of users."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlight.errors import InputError
from qlight.hardware.boards import SHELL, Resources, board_names, boards_folder, load_board

#: from the data sheets: LUT, FF, BRAM36, URAM, DSP
CAPACITY = {
    "pynq_z2": (53200, 106400, 140, 0, 220),
    "aup_zu3": (70560, 141120, 216, 0, 360),
    "kv260": (117120, 234240, 144, 64, 1248),
    "zcu104": (230400, 460800, 312, 96, 1728),
}


@pytest.mark.parametrize("name", CAPACITY)
def test_a_board_has_what_its_data_sheet_says(name: str) -> None:
    board = load_board(name)
    found = board.resources
    assert (found.lut, found.ff, found.bram36, found.uram, found.dsp) == CAPACITY[name]
    assert board.sources.keys() >= {"part", "resources", "clock", "memory"}
    assert board.family == ("xc7" if name == "pynq_z2" else "xcup")
    assert 0 < board.budget.lut < found.lut - SHELL["lut"]
    assert board.budget.uram == found.uram


def test_the_boards_are_these() -> None:
    assert board_names() == sorted(CAPACITY)


@pytest.mark.parametrize("name", ["PYNQ-Z2", "pynqz2", "Pynq_Z2"])
def test_people_write_names_in_their_own_way(name: str) -> None:
    assert load_board(name).name == "pynq_z2"


def test_dram_is_limited_by_memory_or_by_ports() -> None:
    assert load_board("pynq_z2").dram_bytes_per_cycle == pytest.approx(0.7 * 2.1e9 / 100e6)
    assert load_board("zcu104").dram_bytes_per_cycle == pytest.approx(0.7 * 17.0e9 / 300e6)


def test_an_unknown_board_names_the_nearest() -> None:
    with pytest.raises(InputError, match="got 'zcu014'; try zcu104"):
        load_board("zcu014")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    text = (boards_folder() / "kv260.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("mhz = 250", "mhz = 187.5"))
    assert load_board(path).clock_mhz == 187.5
    assert load_board(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('family = "xcup"', 'family = "versal"', "`family` xc7 or xcup"),
        ("lut = 117120", "lut = -1", "`resources.lut` of at least 0"),
        ("lut = 117120", "lut = true", "whole number `resources.lut`"),
        ("uram = 64", "", "whole number `resources.uram`"),
        ("mhz = 250", 'mhz = "fast"', "a number `clock.mhz`"),
        ("mhz = 250", "mhz = nan", "at least 1"),
        ("mhz = 250", "mhz = inf", "at least 1"),
        ("port_bits = 128", "port_bits = 100", "32, 64 or 128"),
        ("[memory]", "[memory", "TOML"),
        ("[resources]", "[elsewhere]", "whole number `resources.lut`"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (boards_folder() / "kv260.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=said) as error:
        load_board(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot"):
        load_board(tmp_path / "none.toml")


def test_resources_add() -> None:
    assert Resources(1, 2, 3, 4, 5) + Resources(10, 20, 30, 40, 50) == Resources(11, 22, 33, 44, 55)
