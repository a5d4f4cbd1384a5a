"""Build folders of the HLS twin are written whole, read only if they are, and their script says the right things in the right order."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qlight.errors import InputError
from qlight.hardware import hls_top, sources
from qlight.hardware.build import load_build, write_build
from qlight.hardware.hls_build import HlsBuild, load_hls_build, write_hls_build
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.intgraph import GraphBuilder
from tests.hardware.strategies import random_graph

GRAPH = random_graph(0)
FOLDING = {"conv0": (2, 4), "conv1": (4, 12), "output": (1, 8)}


@pytest.fixture
def build(tmp_path: Path) -> HlsBuild:
    return write_hls_build(GRAPH, tmp_path / "build", FOLDING, board="zcu104")


def test_what_was_written_is_read(build: HlsBuild, tmp_path: Path) -> None:
    found = load_hls_build(build.folder)
    assert found.graph.content_hash == GRAPH.content_hash
    assert found.pipeline.units == build.pipeline.units
    assert found.manifest == build.manifest
    assert found.manifest["board"] == {"name": "zcu104", "part": "xczu7ev-ffvc1156-2-e", "clock_mhz": 300}
    assert load_hls_build(write_hls_build(random_graph(7), tmp_path / "other", FOLDING).folder).geometry_hash == found.geometry_hash
    assert write_hls_build(GRAPH, tmp_path / "folded", {**FOLDING, "output": (5, 8)}).geometry_hash != found.geometry_hash
    again = write_hls_build(GRAPH, tmp_path / "again", FOLDING, board="zcu104")
    assert (again.folder / "manifest.json").read_bytes() == (build.folder / "manifest.json").read_bytes()


def test_the_parameters_are_those_of_the_rtl(build: HlsBuild, tmp_path: Path) -> None:
    rtl = write_build(GRAPH, tmp_path / "rtl", FOLDING)
    np.testing.assert_array_equal(build.words(), rtl.words())
    np.testing.assert_array_equal(build.words(), parameter_words(rtl.pipeline))
    assert {name: build.manifest[name] for name in ("graph_hash", "cycles", "folding", "parameter_words")} == {
        name: rtl.manifest[name] for name in ("graph_hash", "cycles", "folding", "parameter_words")
    }


def test_memories_that_a_folding_asks_for(tmp_path: Path) -> None:
    asked = {**FOLDING, "conv0": {"pe": 2, "simd": 4, "memory": "block"}, "output": {"pe": 1, "simd": 8, "memory": "distributed"}}
    found = write_hls_build(GRAPH, tmp_path / "build", asked)
    text = (load_hls_build(found.folder).sources / hls_top.SOURCE).read_text()
    assert re.findall(r"BIND_STORAGE variable = weights type = ram_s2p impl = (\w+)", text) == ["bram", "lutram"]
    assert "BIND_STORAGE" not in hls_top.source(make_pipeline(GRAPH, FOLDING))


def test_every_stream_has_one_writer_and_one_reader(build: HlsBuild) -> None:
    text = (build.sources / hls_top.SOURCE).read_text()
    region = text[text.index(f"void {hls_top.FUNCTION}") :]
    calls = re.findall(r"^    (?:run_|qlight::)\S+\((.*)\);", region, re.MULTILINE)
    for name in re.findall(r"^    static \S+ (\w+)", region, re.MULTILINE):
        assert sum(name in call.split(", ") for call in calls) == 2, name
    depths = dict(re.findall(r"STREAM variable = s_(\w+) depth = (\d+)", region))
    units = build.pipeline.units
    for before, fifo in itertools.pairwise(units):
        if hasattr(fifo, "depth"):
            assert int(depths[before.name]) == fifo.depth  # type: ignore[attr-defined]
    assert {int(depth) for depth in depths.values()} >= {2}


def test_names_of_files_exist(build: HlsBuild) -> None:
    for path in build.sources.glob("*.[ch]pp"):
        for name in re.findall(r'^#include "(.*)"', path.read_text(), re.MULTILINE):
            assert (build.sources / name).is_file(), f"{path.name} includes {name}"


def test_builds_of_one_kind_are_not_those_of_the_other(build: HlsBuild, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"to be a build of --format rtl, but it is one of --format hls; export another"):
        load_build(build.folder)
    write_build(GRAPH, tmp_path / "rtl", FOLDING)
    with pytest.raises(InputError, match=r"to be a build of --format hls, but it is one of --format rtl; export another"):
        load_hls_build(tmp_path / "rtl")
    with pytest.raises(InputError, match=r"Expected `folder` to be a build folder, but .* is not there; .*--format hls"):
        load_hls_build(tmp_path / "none")


@pytest.mark.parametrize("name", ["hls/qlight_mvtu.hpp", "hls/memory/conv0.weights.inc", "run_hls.tcl", "adapter/qlight_top.sv"])
def test_a_changed_file(name: str, build: HlsBuild) -> None:
    path = build.folder / name
    path.write_text(path.read_text() + " ")
    with pytest.raises(InputError, match=f"Expected {re.escape(name)} of the build .* to have the checksum in its manifest"):
        load_hls_build(build.folder)


def test_units_of_another_version(build: HlsBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qlight.hardware.hls_build.source", lambda pipeline: "another")
    with pytest.raises(InputError, match=r"Expected the sources of .* to be those of its geometry hash, but another version of qlight"):
        load_hls_build(build.folder)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected `board` to be one of .*zcu104.*, but got 'zcu105'; try zcu104"):
        write_hls_build(GRAPH, tmp_path / "x", board="zcu105")
    builder = GraphBuilder((32, 32, 1))
    builder.flatten("flat")
    builder.linear("wide", np.ones((2, 1024), np.int8), bits=8, encoding="signed")
    wide = builder.build(np.ones(2), np.zeros(2))
    with pytest.raises(InputError, match="of at most 4096 bits, the widest integer of Vitis HLS, but 'wide' has 8192; use less PE or SIMD"):
        write_hls_build(wide, tmp_path / "x", {"wide": (1, 1024)})
    assert "#define AP_INT_MAX_W 4096" in hls_top.header(make_pipeline(wide, {"wide": (1, 512)}))
    assert "AP_INT_MAX_W" not in hls_top.header(make_pipeline(wide, {"wide": (1, 128)}))
    assert not list(tmp_path.iterdir())


def test_an_installation_without_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.qlight, "__file__", str(tmp_path / "qlight" / "__init__.py"))
    with pytest.raises(InputError, match=r"Expected the C\+\+ units in hw/hls of this installation, but there are none"):
        sources.unit_sources()


_STUBS = """
foreach name {open_project set_top add_files open_solution set_part create_clock config_rtl csim_design cosim_design export_design} {
    proc $name {args} "puts \\[concat $name \\$args\\]"
}
proc csynth_design {} {
    puts csynth_design
    file mkdir project/solution/syn/verilog
    close [open project/solution/syn/verilog/qlight_hls.v w]
}
source run_hls.tcl
"""


def run_script(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script in tclsh, with stubs for the commands of Vitis HLS that print what they are given."""
    shell = shutil.which("tclsh")
    if shell is None:
        pytest.skip("tclsh is not installed")
    return subprocess.run([shell], input=_STUBS, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_script(build: HlsBuild) -> None:
    found = run_script(build.folder)
    assert found.stderr == ""
    here = build.folder.resolve()
    assert found.stdout.splitlines() == [
        "open_project -reset project",
        f"set_top {hls_top.FUNCTION}",
        f"add_files -cflags {{-std=c++14 -I{here}/hls}} {here}/hls/{hls_top.SOURCE}",
        f"add_files -tb -cflags {{-std=c++14 -I{here}/hls}} {here}/hls/testbench.cpp",
        "open_solution -reset -flow_target vivado solution",
        "set_part xczu7ev-ffvc1156-2-e",
        "create_clock -period 3.333 -name default",
        "config_rtl -reset control -reset_level low",
        "csim_design",
        "csynth_design",
        "export_design -format ip_catalog -display_name {qlight accelerator}",
    ]
    assert f"void {hls_top.FUNCTION}(" in (here / "hls" / hls_top.SOURCE).read_text()
    assert {path.name for path in (here / "verilog").iterdir()} == {"qlight_hls.v", *(path.name for path in (here / "adapter").iterdir())}


def test_the_script_without_a_board(tmp_path: Path) -> None:
    folder = write_hls_build(GRAPH, tmp_path / "build", FOLDING).folder
    assert "Set QLIGHT_PART in the environment, or export with --board." in run_script(folder).stderr
    found = run_script(folder, QLIGHT_PART="xc7z020clg400-1", QLIGHT_PERIOD="8", QLIGHT_STEPS="cosim")
    assert "set_part xc7z020clg400-1\ncreate_clock -period 8 " in found.stdout
    assert found.stdout.splitlines()[-1] == "cosim_design -rtl verilog"
