"""The registry: what a manifest may state, what `verify` finds, and `build` with a stub in the place of Vivado."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qlight.__main__ import main
from qlight.bitstream.manifest import SUFFIXES, read_manifest, read_manifests, verify
from qlight.errors import InputError
from qlight.hardware.boards import board_names
from qlight.hardware.build import write_build
from qlight.hardware.folders import sha256
from tests.bitstream.files import ZU7EV, bitfile, configuration, handoff
from tests.vivado.test_reports import GRAPH, TIMING, ULTRASCALE

ROOT = Path(__file__).parents[2]
PART = "xczu7ev-ffvc1156-2-e"
BIT = bitfile(configuration(ZU7EV, range(186)), PART)
HWH = handoff("xczu7ev", "ffvc1156", 0xA000_0000, 0xA001_0000).encode()


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """One overlay that is right."""
    folder = tmp_path / "registry/one"
    folder.mkdir(parents=True)
    (folder / "one.bit").write_bytes(BIT)
    (folder / "one.hwh").write_bytes(HWH)
    held: dict[str, Any] = {
        "format": "qlight-bitstream",
        "version": 1,
        "name": "one",
        "board": "zcu104",
        "part": PART,
        "network": "any",
        "loading": "run-time",
        "state": "built",
        "flow": "vivado",
        "built_by": "a test",
        "tool": "a stub",
        "geometry_hash": "0" * 64,
        "graph_hash": "1" * 64,
        "folding": {"conv0": [1, 1]},
        "clock_mhz": 300,
        "timing": {"met": True},
        "resources": {"lut": {"used": 1}},
        "loaded_on": None,
        "files": {"one.bit": sha256(BIT), "one.hwh": sha256(HWH)},
    }
    (folder / "manifest.json").write_text(json.dumps(held))
    return folder.parent


def changed(registry: Path, **values: Any) -> None:
    path = registry / "one/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_projects_own_registry_claims_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    folder = ROOT / "bitstreams"
    assert {each.board for each in verify(folder)} == set(board_names())
    assert [path for path in folder.rglob("*") if path.suffix in SUFFIXES] == []
    assert main(["bitstream", "list", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    assert all(line.endswith("planned, not built, never loaded on a board") for line in said[:4])
    assert said[4].startswith("no bitstream was built yet")
    assert "None is built, and none was ever loaded on a board" in (folder / "README.md").read_text()
    assert main(["bitstream", "verify", "--folder", str(folder), "--name", "kv260-cifar10-w1a1-x0.25"]) == 0
    assert capsys.readouterr().out == "kv260-cifar10-w1a1-x0.25: a plan without files\n"


def test_a_registry_that_is_right(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bitstream", "verify", "--folder", str(registry)]) == 0
    assert capsys.readouterr().out == "one: files, bitstream and handoff file are right\n"
    assert main(["bitstream", "list", "--folder", str(registry)]) == 0
    assert capsys.readouterr().out == "one: zcu104, any: built by a stub, 300 MHz, timing met; never loaded on a board\n"
    changed(registry, state="loaded", loaded_on="a board of a test", timing={"met": False})
    assert read_manifest(registry / "one").line().endswith("timing NOT met; loaded: a board of a test")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "other"}, "not of format qlight-bitstream version 1"),
        ({"more": 1}, "`more` is missing or not known"),
        ({"name": "two"}, "it is of 'two', and its folder is 'one'"),
        ({"board": 3}, "`board` is no text"),
        ({"board": "zcu105"}, "`board` to be one of"),
        ({"part": "xczu9eg"}, "the part of one to be that of zcu104, xczu7ev-ffvc1156-2-e, but got xczu9eg"),
        ({"state": "done"}, "`state` is none of planned, built, loaded"),
        ({"state": "loaded"}, "`loaded_on` does not fit the state loaded"),
        ({"loaded_on": "me"}, "`loaded_on` does not fit the state built"),
        ({"state": "planned"}, "it states `flow` of an overlay that is only planned"),
        ({"loading": "later"}, "`loading` is none of run-time, fixed"),
        ({"graph_hash": "0"}, "`geometry_hash` or `graph_hash` is no hash"),
        ({"tool": None}, "`tool` is missing, though it is built"),
        ({"clock_mhz": "300"}, "`clock_mhz` is no number"),
        ({"files": {"../one.bit": "0" * 64}}, "`files` does not hold checksums by name"),
        ({"files": {"one.bit": sha256(BIT)}}, "`files` are not a .bit and a .hwh of one name"),
        ({"files": {"one.bit": "0" * 64, "one.hwh": sha256(HWH)}}, "the checksum in its manifest, but it is changed or cut off"),
    ],
)
def test_a_wrong_manifest(values: dict[str, Any], words: str, registry: Path) -> None:
    changed(registry, **values)
    with pytest.raises(InputError, match=words.replace("(", r"\(")) as error:
        verify(registry)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "one/one.hwh").unlink(), "the overlay one to hold one.hwh, but it cannot be read"),
        (lambda folder: (folder / "two.BIT").write_text("not a bitstream"), "none names .*two.BIT"),
        (lambda folder: (folder / "one/manifest.json").write_text("{"), "to be the manifest of an overlay, but"),
        (lambda folder: (folder / "one/manifest.json").write_text("[]"), "not of format"),
    ],
)
def test_a_wrong_folder(change: Callable[[Path], object], words: str, registry: Path) -> None:
    change(registry)
    with pytest.raises(InputError, match=words):
        verify(registry)


def test_a_file_that_is_no_bitstream_is_found_though_its_checksum_is_right(registry: Path) -> None:
    content = b"This is not a bitstream."
    (registry / "one/one.bit").write_bytes(content)
    changed(registry, files={"one.bit": sha256(content), "one.hwh": sha256(HWH)})
    with pytest.raises(InputError, match="does not begin as a"):
        verify(registry)


def test_bad_options(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, words in (
        ([], "followed by list, verify or build, but got nothing"),
        (["verfy"], "did you mean verify?"),
        (["list", "--folder", str(registry / "none")], "is no folder; name it with --folder"),
        (["verify", "--folder", str(registry), "--name", "two"], "an overlay of"),
        (["build"], "the following arguments are required"),
        (["list", "--all"], "unrecognized arguments: --all"),
    ):
        assert main(["bitstream", *args]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert main(["bitstream", "--help"]) == 0


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder for a board, and the files that a stub of Vivado puts there."""
    folder, made = tmp_path / "build", tmp_path / "made"
    write_build(GRAPH, folder, board="zcu104")
    made.mkdir()
    for name, content in (
        ("utilization.rpt", ULTRASCALE.encode()),
        ("timing.rpt", TIMING.encode()),
        ("qlight.bit", BIT),
        ("qlight.hwh", HWH),
    ):
        (made / name).write_bytes(content)
    return folder


def stub(build: Path, monkeypatch: pytest.MonkeyPatch, last: str = "exit 0") -> None:
    """Put a vivado on PATH that checks how it is called and copies what is there into place."""
    path = build.parent / "bin/vivado"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"""#!/bin/sh
[ "$*" = "-mode batch -nojournal -nolog -source vivado/build.tcl" ] && [ -f vivado/build.tcl ] || exit 9
mkdir -p vivado/reports
cp {build.parent}/made/*.rpt vivado/reports
cp {build.parent}/made/qlight.* .
{last}
"""
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def run(build: Path, *more: str) -> int:
    options = ["--build", str(build), "--folder", str(build.parent / "registry"), "--name", "new", "--network", "of a test"]
    return main(["bitstream", "build", *options, *more])


def test_a_build_by_a_stub(build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stub(build, monkeypatch)
    for _ in range(2):  # the second replaces the first
        assert run(build) == 0
    assert "new: zcu104, of a test: built by Vivado v.2022.2, 300 MHz, timing met; never loaded on a board" in capsys.readouterr().out
    (found,) = read_manifests(build.parent / "registry")
    stated = json.loads((build / "manifest.json").read_text())
    assert (found.state, found.loading, found.part, found.clock_mhz) == ("built", "run-time", PART, 300)
    assert (found.geometry_hash, found.graph_hash, found.folding) == (stated["geometry_hash"], GRAPH.content_hash, stated["folding"])
    assert found.files == {"new.bit": sha256(BIT), "new.hwh": sha256(HWH)}
    assert found.timing == stated["implementation"]["timing"]
    assert verify(build.parent / "registry") == [found]


@pytest.mark.parametrize(
    ("name", "content", "last", "words"),
    [
        ("qlight.bit", b"no bitstream", "exit 0", "what it made is not right"),
        ("qlight.bit", BIT, "rm qlight.bit", "qlight.bit is not there"),
        ("qlight.hwh", handoff().encode(), "exit 0", "it is for 7z020-clg400 where the board has"),
        ("timing.rpt", TIMING.replace("0.123", "-0.123").encode(), "exit 0", "the timing is not met (WNS -0.123 ns)"),
        ("timing.rpt", b"", "exit 0", "its reports are not right"),
        ("timing.rpt", b"", "echo hm; echo ERROR: no licence; exit 1", "Vivado failed (ERROR: no licence)"),
    ],
)
def test_a_build_that_fails(
    name: str, content: bytes, last: str, words: str, build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub(build, monkeypatch, last)
    (build.parent / "made" / name).write_bytes(content)
    assert run(build) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (build.parent / "registry/new").exists()


def test_a_build_without_vivado_or_for_no_board(
    build: Path, registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run(build) == 1
    assert "needs `vivado`, which is not on PATH" in capsys.readouterr().err
    assert run(build, "--flow", "vivaldi") == 2
    assert "did you mean vivado?" in capsys.readouterr().err
    assert run(build, "--name", "../x") == 2
    assert "`name` to be the name of a folder" in capsys.readouterr().err
    write_build(GRAPH, build.parent / "plain")
    assert run(build.parent / "plain") == 2
    assert "export it with --board" in capsys.readouterr().err
