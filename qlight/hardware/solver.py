"""The folding solver: the fastest design within a board's budget, or the smallest that reaches a frame rate, or why there is none.

A design takes as many cycles an image as its slowest layer. For a number of cycles, the choices of a layer that are fast enough are known;
one of each layer is taken so that the sums of LUT, FF, BRAM, URAM, DSP and DRAM rate stay within the budget. That is a multiple-choice
knapsack with a flow between neighbours, since what lies between two layers depends on both; HiGHS solves it as a mixed-integer program
(scipy.optimize.milp). More cycles never make a design impossible, so the least number of cycles is found by bisection over those that
some choice takes. *Size* is the sum over the resources of the share of the budget that is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.hardware.boards import KINDS, Board, Resources
from qlight.hardware.features import control, reader_registers
from qlight.hardware.folding import THRESHOLDS, requantization
from qlight.hardware.layers import BEAT_BYTES, Layer
from qlight.hardware.options import Choice, Links, choices
from qlight.hardware.resources import model, weighed

#: what is limited, with the words of messages
LIMITED = (*KINDS, "dram")
NAMES = {"lut": "LUTs", "ff": "flip-flops", "bram18": "block RAM", "uram": "UltraRAM", "dsp": "DSP slices", "dram": "DRAM bandwidth"}
#: seconds that one program may take before its best design so far is taken, and how near to the smallest size that must be proven
_SECONDS, _GAP = 60.0, 1e-3


@dataclass(frozen=True)
class Solution:
    """A design.

    Attributes:
        choices: of each layer, in order.
        links: what lies before each layer.
        cycles: an image: of the slowest layer, or stream.
        proven: whether it is proven that no design is faster, or (for a frame rate) smaller by more than a thousandth.
    """

    choices: tuple[Choice, ...]
    links: tuple[Resources, ...]
    cycles: int
    proven: bool


class Solver:
    """The choices of a network on a board.

    Raises:
        InputError: a layer, by itself, has no choice that fits the board.
    """

    def __init__(self, layers: Sequence[Layer], board: Board, options: Sequence[Sequence[Choice]] | None = None) -> None:
        self.layers, self.board = tuple(layers), board
        if options is None:
            options = [choices(layers, index, board) for index in range(len(layers))]
        self.options = [list(of) for of in options]
        self.links = Links(layers, board)
        #: cycles below which no design is: the input and the output stream
        pixels = int(np.prod(layers[0].source.shape)) // BEAT_BYTES
        self.floor = max(pixels, layers[-1].outputs)
        self.fixed = weighed([control(), reader_registers(0)], model()["coefficients"])

    def fastest(self) -> Solution:
        """The fewest cycles, and the smallest of such designs.

        Raises:
            InputError: no design fits; the message names the layer and the resource. Or none was found in time.
        """
        slowest = max(max(choice.cycles for choice in of) for of in self.options)
        if self._program(slowest).hopeless():
            raise self._impossible(slowest)
        least = max(self.floor, max(min(choice.cycles for choice in of) for of in self.options))
        steps = sorted({max(least, choice.cycles) for of in self.options for choice in of})
        low, high, proven, known = 0, len(steps) - 1, True, None
        while low < high:
            middle = (low + high) // 2
            found, sure = self._program(steps[middle]).solve(feasible=True)
            proven &= sure
            low, high, known = (low, middle, found) if found is not None else (middle + 1, high, known)
        return self._design(steps[low], proven, known or self._some(steps[low]))

    def smallest(self, fps: float) -> Solution:
        """The smallest design that reaches a frame rate.

        Raises:
            InputError: no design reaches it; the message names the layer, or the layer and the resource. Or none was found in time.
        """
        if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < 1e12:
            raise InputError(f"Expected `fps` to be a positive number of images a second, but got {fps!r}; leave it out for the most.")
        allowed = int(self.board.clock_mhz * 1e6 / fps)
        least_of = [min(choice.cycles for choice in of) for of in self.options]
        needs = [(cycles, f"layer {layer.name!r}") for cycles, layer in zip(least_of, self.layers, strict=True)]
        least, what = max([*needs, (self.floor, "a stream of pixels or classes")], key=lambda need: need[0])
        if allowed < least:
            most = self.board.clock_mhz * 1e6 / least
            raise InputError(
                f"Expected `fps` of at most {most:,.0f} on {self.board.title}, since {what} takes {least:,} cycles an image at best and "
                f"the clock is {self.board.clock_mhz:g} MHz, but got {fps:g}; ask for fewer."
            )
        return self._design(allowed, True, self._some(allowed, fps))

    def _some(self, cycles: int, fps: float | None = None) -> list[Choice]:
        """Any design of so many cycles."""
        found, sure = self._program(cycles).solve(feasible=True)
        if found is None and not sure:
            raise InputError(
                f"Expected to find a design for {self.board.title}, or that there is none, within {_SECONDS:g} seconds a program, but "
                "neither was found; take a larger board, or try again on an idle machine."
            )
        if found is None:
            raise self._impossible(cycles, fps)
        return found

    def _design(self, cycles: int, proven: bool, known: list[Choice]) -> Solution:
        """The smallest design of so many cycles; ``known``, where none is found in time."""
        found, sure = self._program(cycles).solve()
        if found is None:
            found, sure = known, False
        links, lanes = [], BEAT_BYTES
        for index, choice in enumerate(found):
            links.append(self.links.of(index, lanes, choice.lanes))
            lanes = choice.given
        read = sum(choice.dram_bytes for choice in found) / self.board.dram_bytes_per_cycle
        taken = max(self.floor, int(np.ceil(read)), *(choice.cycles for choice in found))
        return Solution(tuple(found), tuple(links), taken, proven and sure)

    def _program(self, cycles: int) -> _Program:
        return _Program(self, [[choice for choice in of if choice.cycles <= cycles] for of in self.options], cycles)

    def _impossible(self, cycles: int, fps: float | None = None) -> InputError:
        """Which resource is short, and which layer needs most of it."""
        program = self._program(cycles)
        short, needed, found = program.shortest()
        amounts = [program.amount(choice, short) for choice in found]
        layer = self.layers[int(np.argmax(amounts))]
        instead = "ask for fewer" if fps is not None else "fewer bits or channels"
        if requantization(layer) == THRESHOLDS:
            instead += ", or a network of `export --thresholds affine`"
        wanted = f" at {fps:g} images a second" if fps is not None else ""
        least = "needs at least" if program.alone else "needs"
        scale = {"bram18": 0.5, "dram": 1 / max(cycles, 1)}.get(short, 1)
        need, have, most = (f"{amount * scale:,.1f}".removesuffix(".0") for amount in (needed, program.budget[short], max(amounts)))
        words = {"bram18": "blocks of 36 Kbit", "dram": "bytes a cycle", "uram": "blocks"}.get(short, NAMES[short])
        return InputError(
            f"Expected a board with more {NAMES[short]} than {self.board.title}, since the network{wanted} {least} {need} of {have} usable "
            f"{words}, most of it, {most}, for layer {layer.name!r}; take a larger board, or {instead}."
        )


class _Program:
    """The mixed-integer program for a number of cycles: a 0 or 1 for every choice, and a flow from lanes that it gives to lanes behind."""

    def __init__(self, solver: Solver, options: list[list[Choice]], cycles: int) -> None:
        self.options, self.cycles = options, cycles
        fixed = solver.fixed
        self.budget = {kind: getattr(solver.board.budget, kind) - getattr(fixed, kind) for kind in KINDS}
        self.budget["dram"] = int(solver.board.dram_bytes_per_cycle * cycles)
        self.alone = True
        #: columns: (layer, choice) first, then (layer, lanes before, lanes) with what lies between
        self.flat = [(index, choice) for index, of in enumerate(options) for choice in of]
        self.flows: list[tuple[int, int, int, Resources]] = []
        for index, of in enumerate(options):
            before = {BEAT_BYTES} if index == 0 else {choice.given for choice in options[index - 1]}
            for given in sorted(before):
                for needed in sorted({choice.lanes for choice in of}):
                    self.flows.append((index, given, needed, solver.links.of(index, given, needed)))
        self.use = {
            kind: np.array([self.amount(choice, kind) for _, choice in self.flat] + [getattr(flow[3], kind, 0) for flow in self.flows])
            for kind in LIMITED
        }

    @staticmethod
    def amount(choice: Choice, kind: str) -> int:
        return choice.dram_bytes if kind == "dram" else getattr(choice.resources, kind)

    def solve(self, *, feasible: bool = False) -> tuple[list[Choice] | None, bool]:
        """The choices of the smallest design within the budget, or any of them; None if there is none. And whether that is proven."""
        if any(not of for of in self.options):
            return None, True
        size = np.zeros(len(self.flat) + len(self.flows)) if feasible else self._size()
        return self._run(size, list(LIMITED))

    def hopeless(self) -> list[tuple[float, str, float, list[Choice]]]:
        """The resources of which the layers' least needs, each by itself, are more than there is: no program need be solved to see it."""
        found = []
        for kind in LIMITED:
            links = sum(min(getattr(flow[3], kind, 0) for flow in self.flows if flow[0] == index) for index in range(len(self.options)))
            design = [min(of, key=lambda choice: self.amount(choice, kind)) for of in self.options]
            needed = float(sum(self.amount(choice, kind) for choice in design) + links)
            if needed > self.budget[kind]:
                found.append((needed / max(self.budget[kind], 1e-9), kind, needed, design))
        return found

    def shortest(self) -> tuple[str, float, list[Choice]]:
        """The resource that is short, what is needed of it, and a design that needs so much.

        That is one of which no design has enough, the worst of them (``alone``); else one of which there is too little where the others are
        kept, the least of them; else, where several are short together, the worst one of the smallest design.
        """

        def needs(limits: Callable[[str], list[str]]) -> list[tuple[float, str, float, list[Choice]]]:
            found = []
            for kind in LIMITED:
                design, _ = self._run(self.use[kind].astype(float), limits(kind))
                if design is not None:
                    found.append(self._need(design, kind))
            return [need for need in found if need[0] > 1]

        alone = self.hopeless() or needs(lambda kind: [])
        self.alone = bool(alone)
        if alone:
            return max(alone, key=lambda need: need[0])[1:]
        beside = needs(lambda kind: [other for other in LIMITED if other != kind])
        if beside:
            return min(beside, key=lambda need: need[0])[1:]
        design, _ = self._run(self._size(), [])
        assert design is not None, "without limits any choices are a design"
        return max((self._need(design, kind) for kind in LIMITED), key=lambda need: need[0])[1:]

    def _need(self, design: list[Choice], kind: str) -> tuple[float, str, float, list[Choice]]:
        """How many times the budget a design needs, of what, how much of it, and the design."""
        needed = float(self._total(design, kind))
        return needed / max(self.budget[kind], 1e-9), kind, needed, design

    def _size(self) -> np.ndarray:
        size = np.zeros(len(self.flat) + len(self.flows))
        for kind in LIMITED:
            if self.budget[kind] > 0:
                size += self.use[kind] / self.budget[kind]
        return size

    def _total(self, found: list[Choice], kind: str) -> int:
        total, given = 0, BEAT_BYTES
        for index, choice in enumerate(found):
            link = next(flow[3] for flow in self.flows if flow[:3] == (index, given, choice.lanes))
            total += self.amount(choice, kind) + getattr(link, kind, 0)
            given = choice.given
        return total

    def _run(self, objective: np.ndarray, limits: list[str]) -> tuple[list[Choice] | None, bool]:
        from scipy.optimize import Bounds, LinearConstraint, milp

        columns = len(self.flat) + len(self.flows)
        rows, low, high = self._structure()
        for kind in limits:
            scale = max(self.budget[kind], 1)
            rows.append({int(column): self.use[kind][column] / scale for column in np.flatnonzero(self.use[kind])})
            low.append(-np.inf)
            high.append(self.budget[kind] / scale)
        matrix = _sparse(rows, columns)
        whole = np.concatenate([np.ones(len(self.flat)), np.zeros(len(self.flows))])
        start = time.perf_counter()
        found: Any = milp(
            objective,
            integrality=whole,
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, np.array(low), np.array(high)),  # type: ignore[arg-type]
            options={"time_limit": _SECONDS, "mip_rel_gap": _GAP if objective.any() else 0.0},
        )
        late = time.perf_counter() - start > _SECONDS
        if found.x is None:
            return None, found.status == 2 or not late
        chosen = [choice for value, (_, choice) in zip(found.x, self.flat, strict=False) if value > 0.5]
        # the solver's tolerance is a share of the budget: whole numbers are compared again
        if any(self._total(chosen, kind) > self.budget[kind] for kind in limits):
            return None, False
        return chosen, not late

    def _structure(self) -> tuple[list[dict[int, float]], list[float], list[float]]:
        """One choice a layer; as much flow out of lanes and into lanes as is chosen of them."""
        rows: list[dict[int, float]] = []
        low: list[float] = []
        first_flow = len(self.flat)

        def add(row: dict[int, float], value: float) -> None:
            rows.append(row)
            low.append(value)

        for index in range(len(self.options)):
            add({column: 1.0 for column, (of, _) in enumerate(self.flat) if of == index}, 1.0)
            flows = [(first_flow + column, flow) for column, flow in enumerate(self.flows) if flow[0] == index]
            for lanes in {flow[2] for _, flow in flows}:
                row = {column: 1.0 for column, flow in flows if flow[2] == lanes}
                row |= {column: -1.0 for column, (of, choice) in enumerate(self.flat) if of == index and choice.lanes == lanes}
                add(row, 0.0)
            if index:
                for given in {flow[1] for _, flow in flows}:
                    row = {column: 1.0 for column, flow in flows if flow[1] == given}
                    row |= {column: -1.0 for column, (of, choice) in enumerate(self.flat) if of == index - 1 and choice.given == given}
                    add(row, 0.0)
        return rows, low, list(low)


def _sparse(rows: list[dict[int, float]], columns: int) -> Any:
    from scipy.sparse import csr_array

    data = [value for row in rows for value in row.values()]
    indices = [column for row in rows for column in row]
    starts = np.cumsum([0, *(len(row) for row in rows)])
    return csr_array((data, indices, starts), shape=(len(rows), columns))
