"""Reports of Vivado, on samples that are made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qlight.__main__ import main
from qlight.errors import InputError
from qlight.hardware.build import load_build, write_build
from qlight.hardware.vivado_reports import parse_timing, parse_utilization, record_implementation, summary
from tests.hardware.strategies import random_graph

GRAPH = random_graph(0)
SAMPLES = Path(__file__).with_name("samples")
ULTRASCALE, SERIES_7, TIMING = ((SAMPLES / f"{name}.rpt").read_text() for name in ("utilization_xcup", "utilization_xc7", "timing"))


def test_utilization() -> None:
    assert parse_utilization(ULTRASCALE) == {
        "tool": "Vivado v.2022.2",
        "device": "xczu7ev-ffvc1156-2-e",
        "utilization": {
            "lut": {"used": 61234, "available": 230400},
            "ff": {"used": 45678, "available": 460800},
            "bram36": {"used": 120.5, "available": 312},
            "uram": {"used": 12, "available": 96},
            "dsp": {"used": 96, "available": 1728},
        },
    }
    older = parse_utilization(SERIES_7)
    assert older["tool"] == "Vivado v.2018.2"
    assert [older["utilization"][kind]["used"] for kind in ("lut", "ff", "bram36", "uram", "dsp")] == [26000, 30000, 124, 0, 24]


def test_timing() -> None:
    assert parse_timing(TIMING) == {
        "wns_ns": 0.123,
        "tns_ns": 0.0,
        "whs_ns": 0.010,
        "ths_ns": 0.0,
        "wpws_ns": 0.427,
        "failing_endpoints": 0,
        "met": True,
        "clocks_mhz": {"clk_pl_0": 100.0, "clk_out1_qlight_clk_wiz_0_0": 300.0},
    }
    failed = TIMING.replace("      0.123        0.000                      0", "     -0.456      -12.300                     78")
    failed = failed.replace("All user specified timing constraints are met.", "Timing constraints are not met.")
    found = parse_timing(failed)
    assert (found["wns_ns"], found["tns_ns"], found["failing_endpoints"], found["met"]) == (-0.456, -12.3, 78, False)
    assert not parse_timing(TIMING.replace("constraints are met", "x").replace("All user", "Timing constraints are not met"))["met"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lut, ff, bram36, dsp is missing"),
        (ULTRASCALE.replace("DSPs", "Multipliers"), "report_utilization, but dsp is missing"),
        (ULTRASCALE.replace("| Device  ", "| Devise  "), "the tool's version or the device is missing"),
        (ULTRASCALE.replace("120.5", "many "), "a number in the report of Vivado at Block RAM Tile, but got 'many'"),
        (ULTRASCALE[: ULTRASCALE.index("3. BLOCKRAM")], "bram36, dsp is missing"),
    ],
)
def test_damaged_utilization(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_utilization(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"report_timing_summary, but WNS\(ns\) is missing"),
        (TIMING[: TIMING.index("      0.123")], "is missing; run vivado/build.tcl again"),
        (TIMING.replace("0.123", "NA"), r"a number in the report of Vivado at WNS\(ns\), but got 'NA'"),
        (TIMING.replace("0.427", ""), "a number for every column of slacks is missing"),
    ],
)
def test_damaged_timing(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_timing(text)


def implemented(folder: Path, utilization: str = ULTRASCALE, timing: str = TIMING, board: str | None = "zcu104") -> Path:
    write_build(GRAPH, folder, board=board)
    reports = folder / "vivado/reports"
    reports.mkdir(parents=True)
    (reports / "utilization.rpt").write_text(utilization)
    (reports / "timing.rpt").write_text(timing)
    return folder


def test_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = implemented(tmp_path / "build")
    before = json.loads((folder / "manifest.json").read_text())
    (folder / "qlight.bit").write_bytes(b"bitstream")
    assert main(["hardware", "report", "--build", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "Vivado v.2022.2, xczu7ev-ffvc1156-2-e, 300 MHz: timing met (WNS 0.123 ns); lut 61234 of 230400 (27%)" in said
    after = json.loads((folder / "manifest.json").read_text())
    found = after.pop("implementation")
    assert after == before
    assert found["timing"]["wns_ns"] == 0.123
    assert found["clock_mhz"] == 300
    assert found["bitstream_sha256"].startswith("85434d19")
    assert load_build(folder).manifest["implementation"] == found
    assert record_implementation(folder) == found
    assert "NOT met" in summary({**found, "timing": {**found["timing"], "met": False}})
    assert not list(folder.glob(".*"))


def test_reports_that_are_not_of_the_build(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"to be one for a board, but .* is not; export it with --board"):
        record_implementation(implemented(tmp_path / "plain", board=None))
    with pytest.raises(InputError, match="Expected reports of the part xck26-sfvc784-2LV-c, but they are of xczu7ev-ffvc1156-2-e"):
        record_implementation(implemented(tmp_path / "kv260", board="kv260"))
    slow = TIMING.replace("300.000", "100.000")
    with pytest.raises(InputError, match="reports of a clock clk_out1 of 300 MHz, but got 100;"):
        record_implementation(implemented(tmp_path / "slow", timing=slow))
    with pytest.raises(InputError, match="reports of a clock clk_out1 of 300 MHz, but got none;"):
        record_implementation(implemented(tmp_path / "none", timing=TIMING.replace("clk_out1", "other")))
    older = implemented(tmp_path / "older", SERIES_7, TIMING.replace("300.000", "100.000"), board="pynq_z2")
    assert record_implementation(older)["bitstream_sha256"] is None
    (older / "vivado/reports/timing.rpt").unlink()
    with pytest.raises(InputError, match=r"timing.rpt', but it cannot be read .* run vivado/build.tcl in Vivado"):
        record_implementation(older)
    with pytest.raises(InputError, match=r"to be a build folder, but .* is not there"):
        record_implementation(tmp_path / "nowhere")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", "report"]) == 2
    assert "the following arguments are required: --build" in capsys.readouterr().err
    assert main(["hardware", "reprot"]) == 2
    assert "followed by plan, synth or report, but got 'reprot'; did you mean report?" in capsys.readouterr().err
