"""The adapter around the core: in Verilator, with a stand-in for what Vitis HLS would write."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from qlight.hardware import registers
from qlight.hardware.build import write_build
from qlight.hardware.hls_adapter import adapter
from qlight.hardware.hls_build import write_hls_build
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.sources import cell_sources
from qlight.hardware.top import top_level
from qlight.intgraph import execute
from qlight.targets import native_rtlsim
from qlight.targets.rtlsim import Instance
from tests.hardware.strategies import random_graph, random_images
from tests.hls.stand_in import stand_in
from tests.targets.test_rtlsim import tools_or_skip

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


def verilog_folder(folder: Path) -> Path:
    """A build folder with verilog/ as the script of Vitis HLS would fill it, and the memory files of the stand-in."""
    build = write_hls_build(GRAPH, folder)
    verilog = folder / "verilog"
    shutil.copytree(folder / "adapter", verilog)
    (verilog / "qlight_hls.sv").write_text(stand_in(build.pipeline))
    for name, text in cell_sources().items():
        (verilog / name).write_text(text)
    rtl = write_build(GRAPH, folder.parent / "rtl")
    shutil.copytree(rtl.folder / "memory", folder / "memory")
    return verilog


@pytest.mark.slow
def test_images_registers_and_loading_through_the_adapter(tmp_path: Path) -> None:
    """The words of a load come at once, and the core takes them slowly: none is lost."""
    tools_or_skip()
    verilog = verilog_folder(tmp_path / "hls")
    library = native_rtlsim.load(native_rtlsim.compiled(sorted(verilog.glob("*.sv")), f"adapter {stand_in(make_pipeline(GRAPH))}"))
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
