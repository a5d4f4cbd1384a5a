"""The designs that an emulated board can be configured with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qlight.board.emulated.board import DECOY
from qlight.board.emulated.core import Core, EngineCore
from qlight.board.emulated.memory import Memory
from qlight.errors import InputError, nearest
from qlight.hardware.build import Build, geometry_hash
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.intgraph import Graph, GraphBuilder

#: what runs behind the registers and streams
ENGINES = ("packed", "rtl")


#: makes an accelerator that reads a board's memory
Make = Callable[[Memory], Core]


def designs(builds: Sequence[Build], engine: str = "packed") -> dict[str, Make]:
    """What makes the accelerators of build folders, and a decoy, by geometry hash.

    Args:
        engine: packed: a model of the registers around the packed engine; rtl: the verilated top level of the build folder.

    Raises:
        InputError: there is no such engine.
        HardwareError: verilator or a compiler is missing for it.
    """
    if engine not in ENGINES:
        raise InputError(
            f"Expected `engine` to be one of {', '.join(ENGINES)}, but got {engine!r}; did you mean {nearest(engine, ENGINES)}?"
        )
    found = {build.geometry_hash: _rtl(build) if engine == "rtl" else _packed(build) for build in builds}
    found[DECOY] = _decoy(builds[0].graph)
    return found


def _packed(build: Build) -> Make:
    cycles = int(build.manifest["cycles"]["image"])
    return lambda memory: EngineCore(build.pipeline, build.geometry_hash, build.words(), cycles, memory)


def _rtl(build: Build) -> Make:
    from qlight.board.emulated.rtl import RtlCore, prepared

    library = prepared(build)
    return lambda memory: RtlCore(build, library, memory)


def _decoy(graph: Graph) -> Make:
    """An accelerator that takes the same images and gives as many other numbers: only its registers tell it from the right one."""
    builder = GraphBuilder((graph.input.shape[0], graph.input.shape[1], graph.input.shape[2]))
    builder.flatten("flat")
    shape = (graph.output.channels, builder.operand.type.channels)
    builder.linear("output", np.random.default_rng(1).integers(-2, 2, shape).astype(np.int8), bits=2, encoding="signed")
    pipeline = make_pipeline(builder.build(np.ones(shape[0]), np.zeros(shape[0])))
    geometry, words = geometry_hash(pipeline), parameter_words(pipeline)
    return lambda memory: EngineCore(pipeline, geometry, words)
