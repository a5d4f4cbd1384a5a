"""Networks with weights in DRAM in the HLS C++: as `test_networks`, and every weight read once an image; loading; weights in UltraRAM."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qlight.engines.csim import CSimEngine
from qlight.errors import InputError
from qlight.hardware import hls_top
from qlight.hardware.build import DRAM, write_build
from qlight.hardware.cycles import cycles
from qlight.hardware.folding import choose
from qlight.hardware.hls_build import HlsBuild, load_hls_build, write_hls_build
from qlight.hardware.layers import layers
from qlight.hardware.packing import dram_weights, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.units import Affine
from qlight.intgraph import GraphBuilder, execute
from tests.engines.networks import network_graph, starved_network
from tests.hardware.affine import affine_graph
from tests.hardware.strategies import random_graph, random_images
from tests.hls.test_networks import check_network, odd_graph, run_test_bench
from tests.hls.test_units import tools_or_skip

#: convolutions in two and four folds, and a dense layer of one vector; widths of rows above, below and equal to those of ports
GRAPH = random_graph(0, side=4)
FOLDING: dict[str, Any] = {
    "conv0": {"pe": 4, "simd": 4, "weights": "streamed", "port_bits": 128},
    "conv1": {"pe": 2, "simd": 8, "weights": "streamed"},
    "output": {"pe": 5, "simd": 4, "weights": "streamed", "port_bits": 32},
}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> HlsBuild:
    return write_hls_build(GRAPH, tmp_path_factory.mktemp("hls") / "build", FOLDING, board="zcu104")


def test_a_small_network(build: HlsBuild) -> None:
    check_network(build, 6)


def test_another_network_is_loaded_through_stream_and_dram(build: HlsBuild) -> None:
    """Into an instance that has run, and fetched ahead, and back again."""
    tools_or_skip()
    engine, other, images = CSimEngine(build.folder, threads=1), random_graph(9, side=4), random_images(4, GRAPH, 3)
    assert (execute(other, images) != execute(GRAPH, images)).any()
    words, weights = parameter_words(make_pipeline(other, FOLDING)), [found for _, found in dram_weights(make_pipeline(other, FOLDING))]
    instance, once = engine._instance(), tuple(unit.dram_bytes for unit in build.pipeline.streamed)
    for count in (1, 3):
        found, spent = instance.run(images[:count])
        np.testing.assert_array_equal(found, execute(GRAPH, images[:count]))
        assert spent.traffic == tuple(count * each for each in once)
        instance.load(words, weights)
        found, spent = instance.run(images)
        np.testing.assert_array_equal(found, execute(other, images))
        assert spent.traffic == tuple(3 * each for each in once)
        instance.load(build.words(), build.weights())
    engine.load(other)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(engine))(images), execute(other, images))


def test_what_was_written(build: HlsBuild, tmp_path: Path) -> None:
    """Parameters and weights are the RTL's; every layer has its port, whose base has a place of its own."""
    rtl = write_build(GRAPH, tmp_path / "rtl", FOLDING)
    np.testing.assert_array_equal(build.words(), rtl.words())
    assert build.manifest["dram"] == rtl.manifest["dram"]
    for entry, found in zip(build.manifest["dram"], build.weights(), strict=True):
        assert found.tobytes() == (rtl.folder / entry["file"]).read_bytes() == (build.folder / entry["file"]).read_bytes()
    text = (build.sources / hls_top.SOURCE).read_text()
    pattern = r"mode = m_axi port = (\w+) bundle = (\w+) offset = slave depth = (\d+) latency = \d+ max_read_burst_length = 16 num_read"
    ports = [(f"weights{port}", f"w{port}", str(unit.dram_words)) for port, unit in enumerate(build.pipeline.streamed)]
    assert re.findall(pattern, text) == ports
    assert re.findall(r"mode = s_axilite port = (\w+) bundle = control offset = (\d+)", text) == [
        ("weights0", "16"),
        ("weights1", "28"),
        ("weights2", "40"),
    ]
    assert re.findall(r"STABLE variable = (\w+)", text) == [name for name, _, _ in ports]
    header = (build.sources / hls_top.HEADER).read_text()
    assert f"{hls_top.FUNCTION}(hls::stream<ap_uint<32>>& s_axis, qlight::Chain& cfg, hls::stream<ap_uint<32>>& m_axis, " in header
    assert "const ap_uint<128>* weights0, const ap_uint<64>* weights1, const ap_uint<32>* weights2);" in header
    assert not list(build.sources.glob("memory/*.weights.inc"))


def test_every_stream_of_weights_has_one_writer_and_one_reader(build: HlsBuild) -> None:
    text = (build.sources / hls_top.SOURCE).read_text()
    region = text[text.index(f"void {hls_top.FUNCTION}") :]
    calls = re.findall(r"^    (?:run_|qlight::)\S+\((.*)\);", region, re.MULTILINE)
    names = re.findall(r"^    static \S+ (\w+)", region, re.MULTILINE)
    assert {"o_conv0", "w_conv0", "w_conv1", "r_conv1", "w_output", "r_output"} < set(names)
    assert "r_conv0" not in names, "words are rows"
    for name in names:
        assert sum(name in call.split(", ") for call in calls) == 2, name


def test_damaged_weights(build: HlsBuild, tmp_path: Path) -> None:
    folder = write_hls_build(GRAPH, tmp_path / "build", FOLDING).folder
    path = folder / DRAM / "conv1.weights.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(InputError, match=r"Expected dram/conv1\.weights\.bin of the build .* to have the checksum in its manifest"):
        load_hls_build(folder)


def test_rows_that_are_too_wide(tmp_path: Path) -> None:
    builder = GraphBuilder((8, 8, 4))
    builder.flatten("flat")
    builder.linear("wide", np.ones((32, 256), np.int8), bits=8, encoding="signed")
    graph = builder.build(np.ones(32), np.zeros(32))
    fold = {"pe": 32, "simd": 32, "weights": "streamed"}
    with pytest.raises(InputError, match=r"rows of streamed weights, of at most 4096 bits, .* but 'wide' has 8192; use less"):
        write_hls_build(graph, tmp_path / "x", {"wide": fold})
    write_hls_build(graph, tmp_path / "y", {"wide": fold | {"weights": "resident"}})


@pytest.mark.slow
def test_weights_in_ultraram(tmp_path: Path) -> None:
    """Memories without content: the test bench loads them, as the target does; a board without UltraRAM is refused."""
    tools_or_skip()
    folding = {"conv0": (2, 4), "conv1": {"pe": 4, "simd": 8, "memory": "ultra"}, "output": FOLDING["output"]}
    build = write_hls_build(GRAPH, tmp_path / "build", folding, board="zcu104")
    text = (build.sources / hls_top.SOURCE).read_text()
    assert re.findall(r"^.*\n.*\n.*impl = uram", text, re.MULTILINE) == [
        "    static qlight::Weights<u_conv1> weights;\n#pragma HLS ARRAY_PARTITION variable = weights type = complete dim = 1\n"
        "#pragma HLS BIND_STORAGE variable = weights type = ram_s2p impl = uram"
    ]
    assert {path.name for path in build.sources.glob("memory/*.weights.inc")} == {"conv0.weights.inc"}
    images = random_images(1, GRAPH, 3)
    np.testing.assert_array_equal(CSimEngine(build.folder, threads=1)(images), execute(GRAPH, images))
    found = run_test_bench(build.sources, build.sources, tmp_path)
    assert (found.returncode, found.stdout[-8:]) == (0, "0 wrong\n"), found.stdout
    with pytest.raises(InputError, match="Expected `memory` of 'conv1' to be auto, block or distributed on PYNQ-Z2, which has no UltraRAM"):
        write_hls_build(GRAPH, tmp_path / "x", folding, board="pynq_z2")


@pytest.mark.slow
def test_a_port_that_is_the_bottleneck(tmp_path: Path) -> None:
    """A dense layer whose rows come more slowly than they could be used: an image takes as many calls as it has words."""
    tools_or_skip()
    graph, folding = starved_network()
    build = write_hls_build(graph, tmp_path / "build", folding)
    images = random_images(0, graph, 30)
    found, spent = CSimEngine(build.folder, threads=1).run(images)
    np.testing.assert_array_equal(found, execute(graph, images))
    assert set(np.diff(spent.done)[10:]) == {cycles(build.pipeline).image} == {24 * 16 * 3 // 32}
    assert spent.traffic == (30 * 24 * 16 * 3 // 8,)


@pytest.mark.slow
def test_an_odd_network(tmp_path: Path) -> None:
    """Names of the graph are words of C++; rows of 96, 90, 12 and 48 bits; one fold, and one beat a vector; all streamed."""
    folds = {"for": (3, 8), "point": (5, 6), "last": (2, 4), "int": (6, 1)}
    ports = {"for": 64, "point": 32, "last": 128, "int": 32}
    folding = {name: {"pe": pe, "simd": simd, "weights": "streamed", "port_bits": ports[name]} for name, (pe, simd) in folds.items()}
    check_network(write_hls_build(odd_graph(), tmp_path / "build", folding))


@pytest.mark.slow
def test_codes_by_affine_functions(tmp_path: Path) -> None:
    """Of 6 bits, in a resident layer, pixel by pixel, and in a streamed one, fold by fold; other functions are loaded."""
    tools_or_skip()
    graph, other = (affine_graph(random_graph(seed, side=4, bits=6), seed) for seed in (1, 2))
    folding = {"conv0": (2, 12), "conv1": {"pe": 4, "simd": 8, "weights": "streamed"}, "output": (1, 8)}
    build = write_hls_build(graph, tmp_path / "build", folding)
    found = [unit for unit in build.pipeline.units if isinstance(unit, Affine)]
    assert [unit.repeat for unit in found] == [1, 16]
    check_network(build)
    assert all((build.sources / "memory" / f"{unit.name}.forms.inc").is_file() for unit in found)
    engine, images = CSimEngine(build.folder, threads=1), random_images(3, graph, 2)
    engine.load(other)
    np.testing.assert_array_equal(engine(images), execute(other, images))


@pytest.mark.slow
def test_a_network_of_the_paper(tmp_path: Path) -> None:
    """w1a1 with its last convolution and its dense layers streamed; QLIGHT_WIDTH: how wide it is."""
    width = float(os.environ.get("QLIGHT_WIDTH", "0.125"))
    channels, outputs = int(512 * width), int(1024 * width)
    graph = network_graph(1, 1, thresholds="ties", seed=1, width=width)
    folding: dict[str, Any] = {name: fold.entry for name, fold in choose(layers(graph), int(320_000 * width)).items()}
    for name, (pe, simd) in {"conv5": (8, 16), "dense0": (4, 16), "dense1": (2, 16), "output": (1, 8)}.items():
        folding[name] = {"pe": pe, "simd": simd, "weights": "streamed"}
    build = write_hls_build(graph, tmp_path / "build", folding)
    bits = {"conv5": 9 * channels**2, "dense0": 16 * channels * outputs, "dense1": outputs**2, "output": 8 * 10 * outputs}
    assert {entry["layer"]: 8 * entry["bytes"] for entry in build.manifest["dram"]} == bits
    check_network(build)
