"""The adapter around the core: in Verilator, with a stand-in for what Vitis HLS would write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from ctypes import CDLL
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.tb.common.tools import MissingToolError, require_tools
from qlight.engines import native_rtlsim
from qlight.engines.rtlsim import Instance
from qlight.engines.rtlsim_memory import MemoryTiming
from qlight.hardware import registers, sources
from qlight.hardware.build import write_build
from qlight.hardware.hls_adapter import adapter
from qlight.hardware.hls_build import write_hls_build
from qlight.hardware.packing import dram_weights, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.sources import cell_sources
from qlight.hardware.top import top_level
from qlight.intgraph import Graph, execute
from tests.engines.test_rtlsim import tools_or_skip
from tests.hardware.strategies import random_graph, random_images
from tests.hls.stand_in import stand_in
from tests.hls.test_streamed import FOLDING
from tests.hls.test_streamed import GRAPH as STREAMED

GRAPH = random_graph(0)


def ports(text: str) -> list[str]:
    """Of the module qlight_top."""
    head = text[text.index("module qlight_top") : text.index("\n);")]
    return re.findall(r"^ +((?:in|out)put .*?),?$", head, re.MULTILINE)


def test_the_ports_are_those_of_the_rtl() -> None:
    pipeline = make_pipeline(GRAPH)
    found = ports(adapter(pipeline, "1" * 64, "2" * 64))
    assert len(found) == 26
    assert found == ports(top_level(pipeline, "1" * 64, "2" * 64))


def test_memory_ports_are_those_of_the_rtl() -> None:
    pipeline = make_pipeline(STREAMED, FOLDING)
    found = ports(adapter(pipeline, "1" * 64, "2" * 64))
    assert len(found) == 26 + 3 * 11
    assert found == ports(top_level(pipeline, "1" * 64, "2" * 64))


def verilog_folder(folder: Path, graph: Graph = GRAPH, folding: Mapping[str, Any] | None = None) -> Path:
    """A build folder with verilog/ as the script of Vitis HLS would fill it, and the memory files of the stand-in."""
    build = write_hls_build(graph, folder, folding)
    verilog = folder / "verilog"
    shutil.copytree(folder / "adapter", verilog)
    (verilog / "qlight_hls.sv").write_text(stand_in(build.pipeline))
    for name, text in cell_sources().items():
        (verilog / name).write_text(text)
    rtl = write_build(graph, folder.parent / "rtl", folding)
    shutil.copytree(rtl.folder / "memory", folder / "memory")
    return verilog


def compiled(verilog: Path, ports: int = 0) -> CDLL:
    """The library of a folder of `verilog_folder`."""
    found = sorted(verilog.glob("*.sv"))
    return native_rtlsim.load(native_rtlsim.compiled(found, "".join(path.read_text() for path in found), ports))


def lint(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        root = require_tools()
    except MissingToolError as error:
        pytest.skip(str(error))
    command = [str(root / "bin" / "verilator"), "--lint-only", "--quiet", "-Wall", *arguments]
    return subprocess.run(command, env=os.environ | {"VERILATOR_ROOT": str(root)}, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("cell", "parameter", "message"),
    [("port", "DATA_BITS=48", "DATA_BITS must be 32, 64 or 128"), ("bases", "ADDRESS_BITS=32", "ADDRESS_BITS must be from 33 to 64")],
)
def test_cells_of_memory_ports(cell: str, parameter: str, message: str) -> None:
    path = sources.hls_folder() / "adapter" / f"qlight_hls_{cell}.sv"
    assert (found := lint(str(path))).stderr == "", found.stderr
    assert message in lint(f"-G{parameter}", str(path)).stderr


@pytest.mark.slow
def test_images_registers_and_loading_through_the_adapter(tmp_path: Path) -> None:
    """The words of a load come at once, and the core takes them slowly: none is lost."""
    tools_or_skip()
    verilog = verilog_folder(tmp_path / "hls")
    library = compiled(verilog)
    build = write_build(GRAPH, tmp_path / "rtl")
    instance, images, other = Instance(library, build), random_images(1, GRAPH, 4), random_graph(9)
    np.testing.assert_array_equal(instance.run(images, stall=3)[0], execute(GRAPH, images))
    instance.load(parameter_words(make_pipeline(other)))
    np.testing.assert_array_equal(instance.run(images)[0], execute(other, images))
    assert instance.read(registers.ID) == registers.ID_VALUE
    assert instance.read(registers.LOADED) == instance.read(registers.PARAMETER_WORDS) == build.pipeline.words
    assert instance.read(registers.IMAGES) == 8
    instance.write(registers.CONTROL, registers.SOFT_RESET)
    instance.write(registers.CONTROL, registers.RUN)
    np.testing.assert_array_equal(instance.run(images)[0], execute(other, images))


@pytest.mark.slow
def test_weights_from_memory_through_the_adapter(tmp_path: Path) -> None:
    """Bases and starts reach the core, which is reset with reads under way and loaded anew; the counters of what was read are right."""
    tools_or_skip()
    verilog, pipeline = verilog_folder(tmp_path / "hls", STREAMED, FOLDING), make_pipeline(STREAMED, FOLDING)
    library = compiled(verilog, len(pipeline.streamed))
    build = write_build(STREAMED, tmp_path / "rtl", FOLDING)
    other, images = random_graph(9, side=4), random_images(1, STREAMED, 4)
    instance = Instance(library, build, MemoryTiming(latency=60))
    found, spent = instance.run(images)
    np.testing.assert_array_equal(found, execute(STREAMED, images))
    assert [port.bytes for port in spent.traffic] == [4 * unit.dram_bytes for unit in pipeline.streamed]
    for words in (5, 16, 19):
        instance.transfer(np.frombuffer(images.tobytes(), np.uint32)[:words], 0)
        instance.step(30 * words)
        instance.write(registers.CONTROL, registers.SOFT_RESET)
        instance.write(registers.CONTROL, registers.RUN)
        np.testing.assert_array_equal(instance.run(images)[0], execute(STREAMED, images))
    loaded = make_pipeline(other, FOLDING)
    instance.load(parameter_words(loaded), [content for _, content in dram_weights(loaded)])
    np.testing.assert_array_equal(instance.run(images)[0], execute(other, images))
    assert [port.bytes for port in instance.weights.traffic()] == instance.weights.given()
    assert instance.read(registers.STREAMS) == 3
    assert instance.read(registers.STREAM_ERROR) == 0
    assert all(port.starved == 0 < port.busy for port in instance.weights.traffic())
