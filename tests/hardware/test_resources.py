"""Memories by their shape, and the resource model against what Yosys made of the units in resource_model.json."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlight.errors import HardwareError, InputError
from qlight.hardware import synthesis
from qlight.hardware.boards import load_board
from qlight.hardware.features import dot, memory_style
from qlight.hardware.layers import layers
from qlight.hardware.memories import best_style, memory, packing
from qlight.hardware.pipeline import implementation, make_pipeline
from qlight.hardware.resources import model, unit_resources
from qlight.hardware.sources import cell_sources
from qlight.hardware.synth import check_unit, synthesize_pipeline
from qlight.hardware.synthesis import needed, synthesize
from qlight.hardware.units import FOUR, MULTIPLY, PACKED, PLANES, XNOR, Mvtu
from tests.engines.networks import network_graph
from tests.hardware.strategies import random_graph

SAMPLES: list[dict[str, Any]] = model()["samples"]
HELD_OUT = [sample for sample in SAMPLES if sample["split"] == "held out"]


@pytest.mark.parametrize(
    ("depth", "width", "bram18"),
    [(512, 36, 1), (1024, 36, 2), (1024, 18, 1), (4096, 4, 1), (4097, 4, 2), (288, 2048, 57), (32768, 1, 2), (512, 1152, 32)],
)
def test_a_memory_takes_as_many_blocks_as_its_shape_needs(depth: int, width: int, bram18: int) -> None:
    assert memory(depth, width, "block").bram18 == bram18


def test_a_memory_of_luts() -> None:
    assert memory(32, 6, "distributed").lut == 4
    assert memory(33, 3, "distributed").lut in (4, 8)
    assert memory(64, 7, "distributed", "xcup").lut == 8
    assert memory(1, 8).ff == 16
    assert memory(4096, 72, "ultra", "xcup").uram == 1
    assert memory(4097, 73, "ultra", "xcup").uram == 4


def test_ultra_is_refused_where_there_is_none() -> None:
    with pytest.raises(InputError, match="xcup only"):
        memory(4096, 72, "ultra", "xc7")


@given(st.integers(2, 5000), st.integers(1, 3000))
def test_memories_hold_what_they_must(depth: int, width: int) -> None:
    for family in ("xc7", "xcup"):
        assert 0 < packing(depth, width, memory(depth, width, "block", family)) <= 1
        assert memory(depth, width, "distributed", family).lut * 64 >= depth * width
        auto = memory(depth, width, "auto", family)
        assert auto in (memory(depth, width, "block", family), memory(depth, width, "distributed", family))
        assert memory(depth, width, best_style(depth, width), family).lut <= memory(depth, width, "distributed", family).lut + width


@pytest.mark.parametrize("depth", [512, 1024, 2048, 4096])
def test_blocks_are_well_packed_where_the_depth_allows_it(depth: int) -> None:
    for width in (36, 72, 144, 288, 576, 1152):
        assert packing(depth, width, memory(depth, width, "block")) >= 0.8


def test_the_samples_are_units_that_the_fit_has_and_has_not_seen() -> None:
    kinds = {sample["kind"] for sample in SAMPLES}
    assert kinds == set(model()["coefficients"])
    assert len(HELD_OUT) >= 20
    seen = {str((sample["cell"], sample["family"], sample["parameters"])) for sample in SAMPLES if sample["split"] == "fit"}
    assert not any(str((sample["cell"], sample["family"], sample["parameters"])) in seen for sample in HELD_OUT)


def test_whole_units_that_the_fit_has_not_seen_are_met() -> None:
    """The errors that the documentation states, from the numbers themselves."""
    off = [abs(each["model"]["lut"] / each["yosys"]["lut"] - 1) for each in HELD_OUT if each["kind"] == "mvtu"]
    assert round(sorted(off)[-1], 3) == model()["errors"]["mvtu"]["lut"]["largest"] <= 0.25
    assert all(each["model"]["dsp"] == each["yosys"]["dsp"] for each in SAMPLES)


def test_luts_a_product() -> None:
    """By Yosys: at most 1.9 for 1 x 1 bits, accumulators included, and 7 for 2 x 2 without them; four 4 x 4-bit products a DSP.

    Of eight columns and more, and for 2 x 2 bits of four rows and more, which share the sum of the activations.
    """

    def of(rows: int, accumulators: bool, **wanted: int) -> list[float]:
        found = []
        for each in SAMPLES:
            fold = each["parameters"]
            if each["cell"] == "dot" and wanted.items() <= fold.items() and fold["PE"] >= rows and fold["SIMD"] >= 8:
                luts = each["yosys"]["lut"] - (0 if accumulators else fold["PE"] * fold["ACC_BITS"])
                found.append(luts / (fold["PE"] * fold["SIMD"]))
        return found

    binary, two = of(1, True, IMPL=XNOR), of(4, False, IMPL=PLANES, WEIGHT_BITS=2, ACTIVATION_BITS=2)
    assert len(binary) >= 8
    assert max(binary) <= 1.9
    assert len(two) >= 3
    assert max(two) <= 7
    fours = [each for each in SAMPLES if each["cell"] == "dot" and each["parameters"]["IMPL"] == FOUR]
    assert {each["parameters"]["PE"] * each["parameters"]["SIMD"] / each["yosys"]["dsp"] for each in fours} == {4.0}


def test_dsp_slices() -> None:
    assert [dot(8, 4, 4, 4, False, 16, each, "xcup").exact.dsp for each in (PLANES, PACKED, FOUR)] == [0, 16, 8]
    assert dot(8, 4, 8, 8, False, 20, MULTIPLY, "xc7").exact.dsp == 32
    assert dot(8, 4, 8, 1, True, 20, MULTIPLY, "xc7").exact.dsp == 0
    assert dot(8, 4, 1, 8, False, 20, MULTIPLY, "xc7").exact.dsp == 0, "a bit and a byte: an AND"
    assert dot(5, 4, 4, 4, False, 16, FOUR, "xcup").exact.dsp == 8


def test_products_of_a_layer_by_what_is_asked_for() -> None:
    binary, two, four = (layers(network_graph(bits, bits))[1] for bits in (1, 2, 4))
    assert [implementation(binary, 8, each) for each in ("auto", "lut", "dsp", "dsp4")] == [XNOR, XNOR, MULTIPLY, MULTIPLY]
    assert [implementation(two, 8, each) for each in ("auto", "lut", "dsp", "dsp4")] == [PLANES, PLANES, PACKED, FOUR]
    assert [implementation(four, 8, each) for each in ("auto", "lut", "dsp", "dsp4")] == [PACKED, PLANES, PACKED, FOUR]
    first, last = layers(network_graph(1, 1))[0], layers(network_graph(1, 1))[-1]
    assert [implementation(first, 9, each) for each in ("auto", "lut", "dsp")] == [MULTIPLY, PLANES, MULTIPLY]
    assert implementation(last, 8, "lut") == MULTIPLY, "signed weights with -1 and +1 have no planes"


def test_more_parallel_units_take_more() -> None:
    small, large = (
        make_pipeline(random_graph(0), {"conv0": (8, 4), "conv1": fold, "output": (1, 2)}).unit("conv1") for fold in ((1, 2), (4, 8))
    )
    assert isinstance(small, Mvtu)
    for family in ("xc7", "xcup"):
        assert unit_resources(small, family).lut < unit_resources(large, family).lut
    assert unit_resources(small, "xc7", "block").bram18 == 1 + unit_resources(small, "xc7", "distributed").bram18


def test_the_top_level_states_the_memory_that_the_model_assumes() -> None:
    pipeline = make_pipeline(random_graph(0))
    from qlight.hardware.top import cell_parameters

    for unit in pipeline.units:
        if isinstance(unit, Mvtu):
            assert cell_parameters(unit)["RAM_STYLE"] == f'"{memory_style(unit)}"'


def test_a_cell_needs_the_cells_that_it_instantiates() -> None:
    assert set(needed("qlight_mvtu", cell_sources())) == {"qlight_mvtu.sv", "qlight_dot.sv", "qlight_threshold.sv"}
    assert set(needed("qlight_fifo", cell_sources())) == {"qlight_fifo.sv"}


def test_without_pyosys_synthesis_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HardwareError, match="pip install pyosys"):
        synthesize("qlight_fifo", needed("qlight_fifo", cell_sources()), "xc7", {"WIDTH": 8, "DEPTH": 2})


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(InputError, match="got 'conv'; did you mean conv"):
        check_unit(make_pipeline(random_graph(0)), "conv")


@pytest.mark.slow
def test_yosys_on_a_unit_beside_the_model(capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("pyosys") is None:
        pytest.skip("Synthesis needs `pyosys`: pip install pyosys.")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pipeline = make_pipeline(random_graph(0), {"conv0": (1, 4), "conv1": (2, 8), "output": (1, 2)})
    for name in ("conv1", "conv1_swg"):
        report = synthesize_pipeline(pipeline, load_board("pynq_z2"), name, 300)
        assert report.predicted.dsp == report.made.resources.dsp
        assert report.predicted.lut == pytest.approx(report.made.resources.lut, rel=0.5)
        again = synthesize_pipeline(pipeline, load_board("pynq_z2"), name)
        assert again.made == report.made, "from the cache"
        report.print()
    said = capsys.readouterr().out
    assert "conv1_swg for PYNQ-Z2" in said
    with pytest.raises(HardwareError, match="does not synthesize qlight_fifo"):
        synthesize("qlight_fifo", {"qlight_fifo.sv": "module other; endmodule"}, "xc7")
    with pytest.raises(HardwareError, match="did not finish qlight_fifo within"):
        synthesize("qlight_fifo", needed("qlight_fifo", cell_sources()), "xc7", {"WIDTH": 9, "DEPTH": 9}, seconds=0.05)
