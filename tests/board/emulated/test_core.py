"""The model of the accelerator: registers, packets and loading as hw/rtl/README.md says, and the integers of the reference executor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.board.emulated.core import Core, EngineCore
from qlight.board.emulated.parameters import loaded_graph
from qlight.hardware import registers
from qlight.hardware.build import Build, write_build
from qlight.hardware.packing import dram_weights, parameter_words
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.units import Affine
from qlight.intgraph import Graph, execute
from qlight.intgraph.nodes import Array
from tests.hardware.strategies import foldings, random_graph, random_images, supported_graphs

GRAPH, OTHER = random_graph(0, bits=1), random_graph(9, bits=1)
#: cycles that an image takes, for the model's cycle counter
CYCLES = 100


def engine_core(graph: Graph = GRAPH) -> EngineCore:
    pipeline = make_pipeline(graph)
    return EngineCore(pipeline, "ab" * 32, parameter_words(pipeline), CYCLES)


def words_of(images: Array) -> Array:
    return images.reshape(-1).view(np.uint32)


def answers(core: Core, images: Array) -> tuple[Array, list[int]]:
    """Accumulators, and after which images packets end."""
    words, last = core.push(words_of(images))
    classes = core.read(registers.CLASSES)
    assert not last.reshape(-1, classes)[:, :-1].any()
    return words.view(np.int32).reshape(-1, classes), np.flatnonzero(last.reshape(-1, classes)[:, -1]).tolist()


def load(core: Core, words: Array) -> None:
    core.write(registers.CONTROL, registers.LOAD_MODE)
    for start in range(0, len(words), 100):
        assert not len(core.push(words[start : start + 100])[0])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_words_become_the_graph_that_they_were_made_of(data: st.DataObject) -> None:
    graph = data.draw(supported_graphs())
    pipeline = make_pipeline(graph, data.draw(foldings(graph, streamed=True)))
    found = loaded_graph(pipeline, parameter_words(pipeline), [content.tobytes() for _, content in dram_weights(pipeline)])
    if any(isinstance(unit, Affine) for unit in pipeline.units):  # a channel of one code only has lost its direction
        images = random_images(data.draw(st.integers(0, 99)), graph, 20)
        np.testing.assert_array_equal(execute(found, images), execute(graph, images))
    else:
        assert found.content_hash == graph.content_hash


def test_words_of_one_network_in_the_pipeline_of_another() -> None:
    found = loaded_graph(make_pipeline(GRAPH), parameter_words(make_pipeline(OTHER)))
    assert found.content_hash == OTHER.content_hash != GRAPH.content_hash


def test_images_in_any_pieces_and_the_counters() -> None:
    core = engine_core()
    images = random_images(1, GRAPH, 9)
    found, ends = answers(core, images[:4])
    np.testing.assert_array_equal(found, execute(GRAPH, images[:4]))
    assert ends == [0, 1, 2, 3]  # an image a packet after reset
    words = words_of(images[4:])
    pieces = [core.push(piece)[0] for piece in np.split(words, [1, 70, 71, 200])]
    np.testing.assert_array_equal(np.concatenate(pieces).view(np.int32).reshape(-1, 5), execute(GRAPH, images[4:]))
    assert core.read(registers.IMAGES) == 9
    assert core.read(registers.CYCLES_LOW) == 9 * CYCLES
    core.write(registers.CLEAR, 0)
    assert core.read(registers.IMAGES) == core.read(registers.CYCLES_LOW) == 0


def test_packets_of_several_images() -> None:
    core = engine_core()
    images = random_images(2, GRAPH, 7)
    core.write(registers.PACKET, 3)
    assert core.read(registers.PACKET) == 3
    assert answers(core, images)[1] == [2, 5]
    core.write(registers.PACKET, 2)  # begins a packet
    assert answers(core, images[:3])[1] == [1]
    core.write(registers.CONTROL, registers.SOFT_RESET)
    core.write(registers.CONTROL, registers.RUN)
    assert answers(core, images[:2])[1] == [1]


def test_registers() -> None:
    core = engine_core()
    assert core.read(registers.ID) == registers.ID_VALUE
    assert [core.read(register) for register in (registers.IMAGE_BYTES, registers.CLASSES)] == [256, 5]
    assert core.read(registers.PARAMETER_WORDS) == make_pipeline(GRAPH).words
    assert "".join(f"{core.read(register):08x}" for register in registers.GRAPH_HASH) == GRAPH.content_hash
    assert {core.read(register) for register in registers.GEOMETRY_HASH} == {0xABABABAB}
    for register in (registers.ID, registers.GEOMETRY_HASH[0], registers.CLASSES, registers.IMAGES, 0x78):
        before = core.read(register)
        core.write(register, 7)
        assert core.read(register) == before
    core.write(registers.GRAPH_HASH[1], 7)
    assert core.read(registers.GRAPH_HASH[1]) == 7


def test_loading_another_network_and_half_of_one() -> None:
    core, images = engine_core(), random_images(3, GRAPH, 5)
    words = parameter_words(make_pipeline(OTHER))
    core.push(words_of(images)[:10])  # an image that has begun is finished before words are parameters
    core.write(registers.CONTROL, registers.LOAD_MODE)
    assert not core.takes_images
    found = core.push(np.concatenate([words_of(images)[10:64], words]))[0]
    np.testing.assert_array_equal(found.view(np.int32), execute(GRAPH, images[:1])[0])
    assert core.read(registers.LOADED) == len(words)
    core.write(registers.CONTROL, registers.RUN)
    np.testing.assert_array_equal(answers(core, images)[0], execute(OTHER, images))
    load(core, parameter_words(make_pipeline(GRAPH))[: len(words) // 2])
    core.write(registers.CONTROL, registers.RUN)
    assert (answers(core, images)[0] != execute(GRAPH, images)).any()
    load(core, np.concatenate([parameter_words(make_pipeline(GRAPH)), words[:5]]))  # the end of the chain drops the rest
    assert core.read(registers.LOADED) == len(words) + 5
    core.write(registers.CONTROL, registers.RUN)
    np.testing.assert_array_equal(answers(core, images)[0], execute(GRAPH, images))


def test_words_that_are_no_network_give_answers_of_none() -> None:
    core, images = engine_core(), random_images(4, GRAPH, 2)
    load(core, np.full(make_pipeline(GRAPH).words, 0x7FFFFFFF, np.uint32))
    core.write(registers.CONTROL, registers.RUN)
    found = answers(core, images)[0]
    assert (found[0] == found[1]).all()
    assert core.read(registers.IMAGES) == 2


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return write_build(GRAPH, tmp_path_factory.mktemp("core") / "build")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_rtl_does_what_the_model_does(build: Build, seed: int) -> None:
    """Random register writes, images in random pieces, loads, soft resets: the verilated top and the model answer alike."""
    from qlight.board.emulated.rtl import RtlCore, prepared

    rng = np.random.default_rng(seed)
    model: Core = EngineCore(build.pipeline, build.geometry_hash, build.words())
    rtl: Core = RtlCore(build, prepared(build))
    both = (model, rtl)
    networks = [parameter_words(make_pipeline(graph)) for graph in (GRAPH, OTHER)]
    for _ in range(40):
        action = rng.integers(0, 6)
        if action < 3:
            words = words_of(random_images(int(rng.integers(1000)), GRAPH, 4))[: int(rng.integers(1, 257))]
            (one, one_last), (other, other_last) = (core.push(words) for core in both)
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one_last, other_last)
        elif action == 3:
            count = int(rng.integers(1, 5))
            for core in both:
                core.write(registers.PACKET, count)
        elif action == 4:
            for core in both:
                core.write(registers.CONTROL, registers.SOFT_RESET)
                core.write(registers.CONTROL, registers.RUN)
        else:
            for core in both:  # a load between whole images
                core.write(registers.CONTROL, registers.SOFT_RESET)
                core.write(registers.CONTROL, registers.RUN)
            words = networks[rng.integers(2)]
            for core in both:
                load(core, words)
                assert core.read(registers.LOADED) == len(words)
                core.write(registers.CONTROL, registers.RUN)
        for register in (registers.IMAGES, registers.PACKET, registers.CONTROL, registers.LOADED, *registers.GRAPH_HASH):
            assert model.read(register) == rtl.read(register), hex(register)
    assert model.read(registers.IMAGES) > 10
