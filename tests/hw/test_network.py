"""Whole accelerators under their cocotb testbench (hw/tb/network), what it covers, and what it notices."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw.tb.common.run import Outcome
from hw.tb.network.coverage import missing, of_cells, of_networks
from hw.tb.network.faults import FAULTS, Fault, notice
from hw.tb.network.networks import FAST, NETWORKS, Network
from hw.tb.network.run import run_network
from qlight.hardware.build import Build, write_build
from qlight.intgraph import Threshold, trace
from tests.hls.test_adapter import verilog_folder

SMALL = {network.name: network for network in NETWORKS["small"]}


def _run(networks: list[Network]) -> list[Outcome]:
    try:
        return run_network(networks)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the top level does not build:\n{error.stderr[-3000:]}")


@pytest.mark.usefixtures("simulator_tools")
@pytest.mark.parametrize("name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS])
def test_network(name: str) -> None:
    outcomes = _run(NETWORKS[name])
    failures = [f"{outcome.test}: {outcome.error}" for outcome in outcomes if outcome.error]
    assert len(outcomes) == 5 * len(NETWORKS[name])
    assert not failures, "\n\n".join(failures)


def test_no_shape_of_fold_is_left_out() -> None:
    assert missing(of_networks()) == []
    assert missing(of_cells()) == []


@pytest.mark.parametrize("network", [each for networks in NETWORKS.values() for each in networks], ids=lambda network: network.name)
def test_images_bring_life_to_every_layer(network: Network) -> None:
    """A layer that always gives the same codes would hide faults: at least a third of all codes occur, and the network to load differs."""
    graph, other = network.graph(0), network.graph(1)
    images = network.images(graph.input.shape)
    tensors, others = trace(graph, images), trace(other, images)
    for node, tensor in zip(graph.nodes, graph.tensors[1:], strict=True):
        if isinstance(node, Threshold):
            assert 3 * len(np.unique(tensors[tensor.name])) >= 2**node.bits, node.name
    assert (tensors[graph.output.name] != others[graph.output.name]).any()


@pytest.mark.slow
@pytest.mark.usefixtures("simulator_tools")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_testbench_notices_fault(fault: Fault) -> None:
    assert notice(fault), "the testbench passes in spite of this fault"


@pytest.fixture
def build(tmp_path: Path) -> Build:
    network = SMALL["xnor"]
    return write_build(network.graph(0), tmp_path / "build", network.folding)


@pytest.mark.slow
@pytest.mark.usefixtures("simulator_tools")
def test_verilog_of_another_tool(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yosys writes the top level as one flat module of plain Verilog; then one of its memories is another network's."""
    if importlib.util.find_spec("pyosys") is None:
        pytest.skip("The check with Yosys needs `pyosys`: pip install pyosys.")
    (build.folder / "yosys").mkdir()
    sources = " ".join(path.relative_to(build.folder).as_posix() for path in build.sources)
    passes = [f"read_slang --top qlight_top {sources}", "proc", "flatten", "opt", "memory_collect", "opt", "bwmuxmap"]
    program = f"from pyosys import libyosys as y; d = y.Design(); [y.run_pass(p, d) for p in {[*passes, 'write_verilog yosys/top.v']!r}]"
    subprocess.run([sys.executable, "-c", program], cwd=build.folder, capture_output=True, check=True)
    monkeypatch.setenv("QLIGHT_DUT", str(build.folder / "yosys"))
    assert [outcome.error for outcome in _run([SMALL["xnor"]])] == ["", "", ""]
    SMALL["xnor"].graph(1).save(build.folder / "graph")
    assert all("differ from the executor's" in outcome.error for outcome in _run([SMALL["xnor"]]))


@pytest.mark.slow
@pytest.mark.usefixtures("simulator_tools")
@pytest.mark.parametrize("name", ["xnor", "streamed"])
def test_verilog_of_vitis_hls(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter around a stand-in with the ports that Vitis HLS documents, in the folder that run_hls.tcl fills."""
    network = SMALL[name]
    monkeypatch.setenv("QLIGHT_DUT", str(verilog_folder(tmp_path / "build", network.graph(0), network.folding)))
    assert [outcome.error for outcome in _run([network])] == ["", "", ""]


def test_verilog_without_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "design").mkdir()
    (tmp_path / "design" / "top.v").write_text("module qlight_top; endmodule\n")
    monkeypatch.setenv("QLIGHT_DUT", str(tmp_path / "design"))
    with pytest.raises(
        FileNotFoundError, match=r"Expected `QLIGHT_DUT` to name a folder with graph/ in it or beside it, but .*design has none"
    ):
        run_network(NETWORKS["small"])
