"""The solver against exhaustive search, and what it says where nothing fits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.hardware.boards import KINDS, SHELL, USABLE, Board, Resources, load_board
from qlight.hardware.cycles import cycles
from qlight.hardware.features import control, reader_registers
from qlight.hardware.fifos import unit_cycles
from qlight.hardware.folding import AFFINE, Fold, layer_cycles
from qlight.hardware.layers import BEAT_BYTES, layers
from qlight.hardware.memories import ULTRA
from qlight.hardware.options import Choice, _bound, choices
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.hardware.plan import make_plan
from qlight.hardware.resources import model, unit_resources, weighed
from qlight.hardware.solver import Solver, _Program
from qlight.hardware.units import Fifo, Unit
from qlight.intgraph import Graph, GraphBuilder
from tests.engines.networks import network_graph
from tests.hardware.affine import affine_graph
from tests.hardware.strategies import random_graph


def tiny(seed: int = 0) -> Graph:
    """A convolution, a pool and a dense layer with few divisors."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((4, 4, 4))
    builder.conv2d("conv", rng.integers(0, 4, (2, 3, 3, 4)).astype(np.uint8), bits=2, encoding="odd", padding=(1, 1, 1, 1))
    builder.max_pool("pool")
    builder.threshold("act", np.sort(rng.integers(-50, 50, (2, 3)), axis=1).astype(np.int32), np.ones(2, np.int8), bits=2)
    builder.flatten("flat")
    builder.linear("output", rng.integers(-128, 128, (3, 8)).astype(np.int8), bits=8, encoding="signed")
    return builder.build(np.ones(3), np.zeros(3))


GRAPH = tiny()
LAYERS = layers(GRAPH)


def board_of(budget: Resources, bytes_per_cycle: float = 8.0, name: str = "kv260") -> Board:
    """A board with exactly this budget."""
    whole = {kind: -(-(getattr(budget, kind) + SHELL.get(kind, 0)) // USABLE[kind]) for kind in KINDS}
    board = load_board(name)
    return replace(
        board,
        resources=Resources(**{kind: int(value) for kind, value in whole.items()}),
        clock_mhz=100.0,
        bytes_per_second=bytes_per_cycle * 100e6 / 0.7,
    )


SOLVER = Solver(LAYERS, load_board("kv260"))


def exhaustive(solver: Solver, board: Board, options: list[list[Choice]], cycles: int | None = None) -> tuple[int, float] | None:
    """The fewest cycles, and the least size with it; or the least size within so many cycles."""
    budget = {kind: getattr(board.budget, kind) - getattr(solver.fixed, kind) for kind in KINDS}
    designs = []
    for chosen in itertools.product(*options):
        total = Resources()
        for index, (lanes, choice) in enumerate(zip([BEAT_BYTES, *(each.fold.pe for each in chosen)], chosen, strict=False)):
            total += choice.resources + solver.links.of(index, lanes, choice.lanes)
        if any(getattr(total, kind) > budget[kind] for kind in KINDS):
            continue
        slowest = max(solver.floor, *(choice.cycles for choice in chosen))
        designs.append((slowest, sum(choice.dram_bytes for choice in chosen), total))
    steps = sorted({max(solver.floor, choice.cycles) for of in options for choice in of}) if cycles is None else [cycles]
    for step in steps:
        dram = int(board.dram_bytes_per_cycle * step)
        sizes = [
            sum(getattr(total, kind) / budget[kind] for kind in KINDS if budget[kind] > 0) + (read / dram if dram else 0)
            for slowest, read, total in designs
            if slowest <= step and read <= dram
        ]
        if sizes:
            return step, min(sizes)
    return None


def size_of(solver: Solver, board: Board, solution: tuple[Choice, ...], links: tuple[Resources, ...], cycles: int) -> float:
    total = Resources()
    for choice, link in zip(solution, links, strict=True):
        total += choice.resources + link
    budget = {kind: getattr(board.budget, kind) - getattr(solver.fixed, kind) for kind in KINDS}
    dram = int(board.dram_bytes_per_cycle * cycles)
    size = sum(getattr(total, kind) / budget[kind] for kind in KINDS if budget[kind] > 0)
    return size + (sum(choice.dram_bytes for choice in solution) / dram if dram else 0)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_fastest_and_the_smallest_are_those_of_exhaustive_search(data: st.DataObject) -> None:
    """With a random few choices of each layer and a budget near to what they take."""
    few = [
        data.draw(st.lists(st.sampled_from(of), min_size=2, max_size=14, unique=True).map(list), label=layer.name)
        for of, layer in zip(SOLVER.options, LAYERS, strict=True)
    ]
    middle = Resources(*(sorted(getattr(each.resources, kind) for of in few for each in of)[len(few[0])] for kind in KINDS))
    scale = data.draw(st.floats(0.6, 3.0))
    budget = Resources(*(int(scale * 2 * getattr(middle, kind)) + getattr(SOLVER.fixed, kind) for kind in KINDS))
    board = board_of(budget, data.draw(st.sampled_from([0.05, 1.0, 8.0])))
    solver = Solver(LAYERS, board, few)
    expected = exhaustive(solver, board, few)
    if expected is None:
        with pytest.raises(InputError, match=r"Expected a board with more"):
            solver.fastest()
        return
    found = solver.fastest()
    assert found.proven
    assert found.cycles <= expected[0]
    assert max(choice.cycles for choice in found.choices) <= expected[0]
    assert size_of(solver, board, found.choices, found.links, expected[0]) == pytest.approx(expected[1], rel=2e-3)
    slower = 4 * expected[0]
    reached = exhaustive(solver, board, few, slower)
    assert reached is not None
    small = solver.smallest(100e6 / slower)
    assert size_of(solver, board, small.choices, small.links, slower) == pytest.approx(reached[1], rel=2e-3)


def test_running_out_of_time_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _Program.solve

    def never(program: _Program, *, feasible: bool = False) -> tuple[list[Choice] | None, bool]:
        return None, False

    def first(program: _Program, *, feasible: bool = False) -> tuple[list[Choice] | None, bool]:
        return whole(program, feasible=True) if feasible else (None, False)

    proven = SOLVER.fastest()
    monkeypatch.setattr(_Program, "solve", first)
    found = SOLVER.fastest()
    assert (found.cycles, found.proven, proven.proven) == (proven.cycles, False, True)
    monkeypatch.setattr(_Program, "solve", never)
    for attempt in (SOLVER.fastest, lambda: SOLVER.smallest(100)):
        with pytest.raises(InputError, match="within 60 seconds a program, but neither was found"):
            attempt()


def test_a_choice_that_was_left_out_is_not_better() -> None:
    """Pareto pruning within a layer: of all legal choices, one that is kept is at least as good."""
    board = load_board("pynq_z2")
    kept = choices(LAYERS, 0, board)
    assert {(choice.fold.pe, choice.lanes) for choice in kept} == {(pe, lanes) for pe in (1, 2) for lanes in (1, 2, 4)}
    assert all(choice.cycles == layer_cycles(LAYERS[0], choice.fold) for choice in kept)


def as_deep_as_planned(pipeline: Pipeline) -> list[Unit]:
    """The units, with FIFOs as deep as a plan reckons with: its bounds."""
    before = dict(zip([layer.name for layer in pipeline.layers], [None, *pipeline.layers], strict=False))
    found: list[Unit] = []
    for unit in pipeline.units:
        if isinstance(unit, Fifo) and unit.name.endswith("_out_fifo"):
            unit = replace(unit, depth=unit.source.beats)
        elif isinstance(unit, Fifo) and not unit.name.endswith("_window_fifo"):
            layer = next(layer for layer in pipeline.layers if layer.name == unit.layer)
            ahead = before[layer.name]
            unit = replace(unit, depth=_bound(layer, unit, ahead is not None and bool(ahead.pools)))
        found.append(unit)
    return found


#: plans of a board as it is; and of one that has plenty of UltraRAM, no block RAM, and no DRAM to speak of
BOARDS = {name: load_board(name) for name in ("pynq_z2", "zcu104")}
BOARDS["ultra"] = board_of(Resources(lut=7000, ff=20000, bram18=0, uram=500, dsp=20), bytes_per_cycle=1e-6)


@pytest.mark.parametrize("name", BOARDS)
def test_a_plan_is_a_pipeline_of_as_many_cycles_and_the_same_resources(name: str) -> None:
    graph, board = random_graph(1, side=8, channels=8, bits=2), BOARDS[name]
    plan = make_plan(graph, board, 20000.0)
    assert (ULTRA in [fold.memory for fold in plan.folding.values()]) == (name == "ultra")
    pipeline = make_pipeline(graph, plan.document["folding"])
    assert pipeline.folding == plan.folding
    assert max(unit_cycles(unit) for unit in pipeline.units) <= plan.cycles <= board.clock_mhz * 1e6 / 20000
    assert cycles(pipeline).image <= plan.cycles
    taken, bound = plan.control, plan.control
    for unit, deep in zip(pipeline.units, as_deep_as_planned(pipeline), strict=True):
        taken += unit_resources(unit, board.family)
        bound += unit_resources(deep, board.family)
    for _ in pipeline.streamed:
        bound += weighed([reader_registers(1, together=False)], model()["coefficients"])
    assert bound == plan.resources
    assert (taken.uram, taken.dsp) == (plan.resources.uram, plan.resources.dsp)
    assert plan.dram_bytes == pipeline.dram_bytes
    assert all(share <= 1 for share in plan.shares.values())


def test_fewer_images_a_second_never_take_a_larger_design() -> None:
    board = load_board("kv260")
    sizes = []
    for fps in (1e5, 1e4, 1e3):
        found = SOLVER.smallest(fps)
        sizes.append(size_of(SOLVER, board, found.choices, found.links, int(250e6 / fps)))
    assert sizes[0] >= sizes[1] * 0.998 >= sizes[2] * 0.997


def test_an_impossible_frame_rate_names_the_layer() -> None:
    with pytest.raises(InputError, match=r"`fps` of at most 1,736,111 on KV260, since layer 'conv' takes 144 cycles"):
        SOLVER.smallest(1e7)


@pytest.mark.parametrize("fps", [0, -1.0, float("nan"), True, "fast"])
def test_a_frame_rate_is_a_positive_number(fps: object) -> None:
    with pytest.raises(InputError, match="`fps` to be a positive number"):
        SOLVER.smallest(fps)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "words"), [("lut", "LUTs"), ("ff", "flip-flops")])
def test_a_board_that_is_too_small_names_the_resource_and_the_layer(kind: str, words: str) -> None:
    plenty = {"lut": 50000, "ff": 50000, "bram18": 300, "uram": 50, "dsp": 500}
    board = board_of(Resources(**plenty | {kind: getattr(SOLVER.fixed, kind) + 40}))
    with pytest.raises(InputError, match=rf"more {words} than KV260, .* for layer 'conv'") as error:
        Solver(LAYERS, board).fastest()
    assert "\n" not in str(error.value)


def test_weights_that_fit_nowhere_name_the_memory() -> None:
    """Nearly a million bits of weights, with no block RAM, few LUTs and no DRAM to speak of."""
    graph = network_graph(4, 4)
    board = board_of(Resources(lut=15000, ff=200000, bram18=0, uram=0, dsp=100), bytes_per_cycle=1e-6, name="pynq_z2")
    with pytest.raises(InputError, match=r"Expected a board with more (LUTs|block RAM|DRAM bandwidth) than PYNQ-Z2, .*layer '"):
        make_plan(graph, board)


def test_a_fold_goes_through_json_to_the_pipeline() -> None:
    plan = make_plan(GRAPH, load_board("pynq_z2"))
    entries = plan.document["folding"]
    assert make_pipeline(GRAPH, entries).folding == plan.folding
    assert all(isinstance(fold, Fold) for fold in plan.folding.values())


def test_affine_functions_fit_where_thresholds_do_not() -> None:
    """Codes of 8 bits: the same network with rough thresholds needs more block RAM for them than the board has."""
    rough = random_graph(1, bits=8, channels=4)
    board = board_of(Resources(lut=4000, ff=20000, bram18=2, uram=0, dsp=80))
    plan = make_plan(fit := affine_graph(rough, 3), board)
    pipeline = make_pipeline(fit, plan.document["folding"])
    assert [fold.requantize for fold in plan.folding.values()] == [AFFINE, AFFINE, "auto"]
    assert cycles(pipeline).image == plan.cycles
    taken = weighed([control()], model()["coefficients"])
    for unit in pipeline.units:
        taken += unit_resources(unit, board.family)
    assert (taken.dsp, taken.bram18) == (plan.resources.dsp, plan.resources.bram18)
    with pytest.raises(InputError, match=r"fewer bits or channels, or a network of `export --thresholds affine`\.$"):
        make_plan(rough, board)
