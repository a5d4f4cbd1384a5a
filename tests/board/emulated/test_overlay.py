"""Overlays on disk, the emulated ones, and what a board says to files that are none."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qlight.board.emulated.board import FIRMWARE, MANAGER, Board, BusError, DiskFullError
from qlight.board.emulated.design import ACCELERATOR_BASE, DMA_BASE, container, handoff, read_container
from qlight.board.emulated.designs import designs
from qlight.board.emulated.faults import KINDS, Fault, Faults
from qlight.board.overlay import find_overlay, named_by_content
from qlight.errors import HardwareError, InputError
from qlight.hardware import registers
from qlight.hardware.build import Build


def test_an_emulated_overlay_says_that_it_is_no_bitstream(build: Build) -> None:
    overlay = find_overlay(build.folder)
    content = overlay.bitstream.read_bytes()
    assert content.startswith(b"This is not a bitstream")
    assert b"\xaa\x99\x55\x66" not in content  # the sync word of a configuration
    assert read_container(content) == (build.geometry_hash, build.graph.content_hash)
    assert (overlay.dma, overlay.accelerator) == ("axi_dma_0", "qlight_top_0")
    with pytest.raises(ValueError, match="container"):
        read_container(b"\xff" * 64)


def test_the_handoff_file_has_the_address_map_that_the_board_decodes() -> None:
    ranges = {item.get("INSTANCE"): int(item.get("BASEVALUE", ""), 16) for item in ElementTree.fromstring(handoff()).iter("MEMRANGE")}
    assert ranges == {"axi_dma_0": DMA_BASE, "qlight_top_0": ACCELERATOR_BASE}


def test_copies_are_named_by_content_and_a_changed_file_gets_another_name(build: Build, tmp_path: Path) -> None:
    overlay = find_overlay(build.folder)
    first = named_by_content(overlay, tmp_path / "kept")
    assert first == named_by_content(overlay, tmp_path / "kept")
    assert first.bitstream.read_bytes() == overlay.bitstream.read_bytes()
    assert first.bitstream.stem == first.handoff.stem
    changed = tmp_path / "changed"
    changed.mkdir()
    shutil.copy(overlay.handoff, changed / "same.hwh")
    (changed / "same.bin").write_bytes(container("0" * 64, "1" * 64))
    assert named_by_content(find_overlay(changed), tmp_path / "kept").bitstream != first.bitstream


def test_a_copy_that_is_damaged_or_cannot_be_made(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay, kept = find_overlay(build.folder), tmp_path / "kept"
    first = named_by_content(overlay, kept)
    first.bitstream.write_bytes(b"cut off")
    assert named_by_content(overlay, kept).bitstream.read_bytes() == overlay.bitstream.read_bytes()
    first.bitstream.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(HardwareError, match="No space left on device"):
        named_by_content(overlay, kept)
    assert [path.name for path in kept.iterdir()] == [first.handoff.name], "nothing half-written stays"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "hold one bitstream"),
        ({"a.bit": b"", "b.hwh": b""}, "got none"),
        ({"a.bit": b"", "a.hwh": b"", "b.bin": b"", "b.hwh": b""}, "a.bit, b.bin"),
        ({"a.bit": b"", "a.hwh": b"no XML"}, "no XML"),
        ({"a.bit": b"", "a.hwh": b"<X/>"}, "0 AXI DMAs"),
        ({"a.bit": b"", "a.hwh": handoff().replace(b"qlight_top:1.0", b"other:1.0")}, "0 blocks qlight_top"),
        ({"a.bit": b"", "a.hwh": b"<?xml version='1.0' encoding='nonsense'?><X/>"}, "no XML"),
    ],
)
def test_folders_without_an_overlay(files: dict[str, bytes], words: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        find_overlay(tmp_path)


def test_a_board_decodes_addresses_of_its_design_only(build: Build) -> None:
    board = Board(designs([build]), Faults())
    name = find_overlay(build.folder).bitstream.name
    with pytest.raises(BusError, match="no design"):
        board.read(ACCELERATOR_BASE)
    board.write_file(FIRMWARE + name, find_overlay(build.folder).bitstream.read_bytes())
    board.write_file(f"{MANAGER}firmware", name.encode())
    assert board.read_file(f"{MANAGER}state") == b"operating\n"
    assert board.read(ACCELERATOR_BASE + registers.ID) == registers.ID_VALUE
    with pytest.raises(BusError, match="0x1000"):
        board.read(0x1000)
    board.write(0xFF5E0000, 5)
    assert board.read(0xFF5E0000) == 5
    board.suffer(Fault("wrong_bitstream"))
    assert board.read(ACCELERATOR_BASE + registers.ID) == registers.ID_VALUE
    assert f"{board.read(ACCELERATOR_BASE + registers.GEOMETRY_HASH[0]):08x}" != build.geometry_hash[:8]
    board.write_file(FIRMWARE + "cut.bin", b"cut off")
    board.write_file(f"{MANAGER}firmware", b"cut.bin")
    assert board.read_file(f"{MANAGER}state") == b"write error\n"
    with pytest.raises(BusError, match="no design"):
        board.write(ACCELERATOR_BASE, 0)
    board.power_off()


def test_a_full_disk_keeps_what_there_was_room_for() -> None:
    board = Board({}, Faults(), disk_bytes=200)
    with pytest.raises(DiskFullError, match="no space left"):
        board.write_file(FIRMWARE + "a.bin", b"x" * 300)
    assert 0 < len(board.read_file(FIRMWARE + "a.bin")) < 200
    board.suffer(Fault("full_disk", seconds=60))
    with pytest.raises(DiskFullError):
        board.write_file(FIRMWARE + "b.bin", b"x")


def test_faults_from_the_command_line() -> None:
    assert Fault.parse("hang") == Fault("hang", 0, 0.5)
    assert Fault.parse("crash@7:2") == Fault("crash", 7, 2.0)
    for text in ("frezze", "delay@x", "delay@1:y", "delay@-1", "delay@1:nan"):
        with pytest.raises(InputError, match="fault"):
            Fault.parse(text)
    faults = Faults()
    for kind in KINDS:
        faults.arm(Fault(kind, 3))
    assert faults.take(3) is None
    assert [taken.kind for _ in KINDS if (taken := faults.take(1))] == [*KINDS]
    assert not faults.waiting
