"""The designs that an emulated board can be configured with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qlight.board.emulated.board import DECOY
from qlight.board.emulated.core import Core, EngineCore
from qlight.errors import InputError, nearest
from qlight.hardware.build import Build, geometry_hash
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.intgraph import Graph, GraphBuilder

#: what runs behind the registers and streams
ENGINES = ("packed", "rtl")


def designs(builds: Sequence[Build], engine: str = "packed") -> dict[str, Callable[[], Core]]:
    """What makes the accelerators of build folders, and a decoy, by geometry hash.

    Args:
        engine: packed: a model of the registers around the packed engine; rtl: the verilated top level of the build folder.

    Raises:
        InputError: there is no such engine, or no verilator for it.
    """
    if engine not in ENGINES:
        raise InputError(
            f"Expected `engine` to be one of {', '.join(ENGINES)}, but got {engine!r}; did you mean {nearest(engine, ENGINES)}?"
        )
    found: dict[str, Callable[[], Core]] = {}
    for build in builds:
        streamed = [unit.name for unit in build.pipeline.streamed]
        if streamed:
            raise InputError(
                f"Expected a build whose weights are on chip, as an emulated board has no memory ports, but {', '.join(streamed)} of "
                f"{str(build.folder)!r} read them from DRAM; simulate it with --target rtlsim:FOLDER, or export it with resident weights."
            )
        found[build.geometry_hash] = _rtl(build) if engine == "rtl" else _packed(build)
    found[DECOY] = _decoy(builds[0].graph)
    return found


def _packed(build: Build) -> Callable[[], Core]:
    cycles = int(build.manifest["cycles"]["image"])
    return lambda: EngineCore(build.pipeline, build.geometry_hash, build.words(), cycles)


def _rtl(build: Build) -> Callable[[], Core]:
    from qlight.board.emulated.rtl import RtlCore, prepared

    library = prepared(build)
    return lambda: RtlCore(build, library)


def _decoy(graph: Graph) -> Callable[[], Core]:
    """An accelerator that takes the same images and gives as many other numbers: only its registers tell it from the right one."""
    builder = GraphBuilder((graph.input.shape[0], graph.input.shape[1], graph.input.shape[2]))
    builder.flatten("flat")
    shape = (graph.output.channels, builder.operand.type.channels)
    builder.linear("output", np.random.default_rng(1).integers(-2, 2, shape).astype(np.int8), bits=2, encoding="signed")
    pipeline = make_pipeline(builder.build(np.ones(shape[0]), np.zeros(shape[0])))
    geometry, words = geometry_hash(pipeline), parameter_words(pipeline)
    return lambda: EngineCore(pipeline, geometry, words)
