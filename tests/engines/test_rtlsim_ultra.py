"""Weights in UltraRAM in simulation: no memory file holds them, the engine loads them, and the integers are the reference executor's."""

from __future__ import annotations

import numpy as np
import pytest

from qlight.engines.rtlsim import Instance, RtlSimEngine
from qlight.hardware import registers
from qlight.hardware.build import write_build
from qlight.hardware.cycles import image_ends
from qlight.intgraph import execute
from tests.engines.test_rtlsim import tools_or_skip
from tests.hardware.strategies import random_graph, random_images

GRAPH = random_graph(0, side=4)
FOLDING = {"conv0": [2, 4], "conv1": {"pe": 2, "simd": 8, "memory": "ultra"}, "output": {"pe": 5, "simd": 4, "memory": "block"}}


@pytest.mark.slow
def test_the_engine_loads_what_ultraram_cannot_hold_from_the_start(tmp_path) -> None:
    tools_or_skip()
    build = write_build(GRAPH, tmp_path / "build", FOLDING)
    engine = RtlSimEngine(build.folder, threads=1)
    images = random_images(1, GRAPH, 4)
    found, spent = engine.run(images)
    np.testing.assert_array_equal(found, execute(GRAPH, images))
    assert list(spent.done) == image_ends(build.pipeline, 4)
    np.testing.assert_array_equal(engine(images), execute(GRAPH, images))
    assert engine.read_register(registers.LOADED) == build.pipeline.words
    other = random_graph(9, side=4)
    engine.load(other)
    np.testing.assert_array_equal(engine(images), execute(other, images))
    bare = Instance(engine._library, build)
    assert (bare.run(images)[0] != execute(GRAPH, images)).any(), "as on a board, nobody has loaded it"
    bare.load(build.words())
    np.testing.assert_array_equal(bare.run(images)[0], execute(GRAPH, images))
