"""``export --format rtl``, ``attack --target rtlsim:`` and ``--certify``: the accelerator from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qlight.__main__ import main
from qlight.hardware import load_build, load_hls_build, make_pipeline, write_build
from tests.cli.test_bad_input import _fails
from tests.cli.test_exchange import export
from tests.cli.test_targets import options, results, save
from tests.engines.networks import network_graph
from tests.engines.test_rtlsim import tools_or_skip
from tests.models.networks import classifier

SHORT = "{SPSA: {class_path: SPSA, init_args: {steps: 1, evaluations: 4}}}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(classifier(1, 1), tmp_path / "network.ckpt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_build_folder_is_written(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(export(arrays, "--out", "build", "--format", "rtl", "--target_cycles", "40000")) == 0
    said = capsys.readouterr().out
    build = load_build("build")
    cycles = json.loads((here / "build/manifest.json").read_text())["cycles"]
    assert cycles["image"] <= 40000
    assert f"wrote build: {cycles['image']} cycles an image" in said
    assert build.graph.content_hash == build.manifest["graph_hash"]


def test_a_plan_is_exported(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(export(arrays, "--out", "graph", "--images", "0")) == 0
    assert main(["hardware", "plan", "--graph", "graph", "--board", "pynq_z2", "--fps", "2000", "--out", "plan.json"]) == 0
    plan = json.loads((here / "plan.json").read_text())
    folded = export(arrays, "--out", "build", "--format", "rtl", "--board", "pynq_z2", "--folding", "plan.json", "--images", "0")
    assert main(folded) == 0
    build = load_build("build")
    assert build.pipeline.folding == make_pipeline(build.graph, plan["folding"]).folding
    assert build.manifest["cycles"]["image"] == plan["cycles"] <= 100e6 / 2000
    assert build.graph.content_hash == plan["graph_hash"]
    (here / "plan.json").write_text("{}")
    capsys.readouterr()
    assert main(folded) == 2
    assert capsys.readouterr().err.endswith("a file of `hardware plan --out`, but 'plan.json' is none; plan again.\n")


def test_a_build_folder_of_the_hls_twin_is_written(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(export(arrays, "--out", "build", "--format", "hls", "--board", "PYNQ-Z2", "--target_cycles", "40000", "--images", "0")) == 0
    build = load_hls_build("build")
    assert build.manifest["board"] == {"name": "pynq_z2", "part": "xc7z020clg400-1", "clock_mhz": 100}
    assert f"wrote build: {build.manifest['cycles']['image']} cycles an image" in capsys.readouterr().out
    assert "set period [setting QLIGHT_PERIOD 10.000]" in (here / "build/run_hls.tcl").read_text()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--format", "qonnx", "--board", "zcu104"], "`board` with --format rtl or hls only, but got --format qonnx"),
        (["--format", "hls", "--board", "zcu105"], "'zcu105'; try zcu104"),
        (["--format", "graph", "--target_cycles", "9"], "`target_cycles` with --format rtl or hls only"),
        (["--format", "rtl", "--folding", "{conv2: [3, 1]}"], "`folding` to have every layer, but 'conv1' is missing"),
        (["--format", "rtl", "--folding", "{conv1: {pe: 1, simd: 3, weights: far}}"], "'conv2' is missing"),
        (["--format", "rtl", "--folding", "none.json"], "`folding` to be a file of `hardware plan --out`, but 'none.json' cannot be read"),
        (["--format", "rtl", "--folding", "{conv1: {pe: 1, simd: [3]}}"], "folding"),
        (["--format", "rtl", "--target_cycles", "3"], "3"),
    ],
)
def test_bad_options_of_export(more: list[str], words: str, arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in _fails(export(arrays, "--out", "build", "--images", "0", *more), capsys, here)


def test_bad_targets(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target, more, words in (
        ("rtlsim:", [], "`python -m qlight export --format rtl` writes such a folder"),
        ("rtlsim:nowhere", [], "nowhere"),
        ("csim:", [], "`python -m qlight export --format hls` writes such a folder"),
        ("csim:nowhere", [], "nowhere"),
        ("torch:network.ckpt", ["--certify", "3"], "`certify` to be a number of queries with --target packed:FOLDER"),
    ):
        assert words in _fails(options(arrays, "--target", target, "--attacks", SHORT, *more), capsys, here)


@pytest.mark.slow
def test_the_rtl_is_attacked_and_certifies_the_packed_engine(arrays: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools_or_skip()
    assert main(export(arrays, "--out", "build", "--format", "rtl", "--images", "0")) == 0
    assert main(options(arrays, "--target", "packed:build", "--attacks", SHORT, "--certify", "12", "--out", "packed")) == 0
    assert "certified: 12 random queries of" in capsys.readouterr().out
    assert main(options(arrays, "--target", "rtlsim:build", "--attacks", SHORT, "--out", "rtlsim")) == 0
    (packed,), (rtl,) = results(here / "packed"), results(here / "rtlsim")
    assert (packed["target"], rtl["target"]) == ("packed", "rtlsim")
    assert all(packed[name] == rtl[name] for name in packed if name not in ("target", "model"))
    same = [(here / name / "adversarial/SPSA.safetensors").read_bytes() for name in ("packed", "rtlsim")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--folding", "{conv9: [1, 1]}"], "Expected `folding` to name layers of the graph, but got 'conv9'"),
        (["--board", "zcu10"], "try zcu104"),
    ],
)
def test_what_cannot_be_built_is_refused_before_images_are_computed(
    arrays: Path, here: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], message: str
) -> None:
    assert main(export(arrays, "--out", "build", "--format", "rtl", *wrong)) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert "clean accuracy" not in shown.out
    assert not (here / "build").exists()


def test_a_plan_takes_a_build_folder_and_says_what_is_no_graph(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["hardware", "plan", "--graph", str(tmp_path / "nothere"), "--board", "zcu104"]) == 2
    assert "nothere' is not there; `python -m qlight export" in capsys.readouterr().err
    write_build(network_graph(1, 1), tmp_path / "build")
    assert main(["hardware", "plan", "--graph", str(tmp_path / "build"), "--board", "zcu104", "--fps", "100"]) == 0
    assert "images" in capsys.readouterr().out
