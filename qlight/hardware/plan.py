"""A plan: how a network is folded on a board, what that takes of the board, and how many images a second it is estimated to run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qlight.errors import InputError
from qlight.files import whole_file
from qlight.hardware.boards import KINDS, Board, Resources
from qlight.hardware.features import control
from qlight.hardware.folding import Folding
from qlight.hardware.layers import layers
from qlight.hardware.memories import ULTRA
from qlight.hardware.options import Choice
from qlight.hardware.pipeline import implementation
from qlight.hardware.resources import model, weighed
from qlight.hardware.solver import LIMITED, Solver
from qlight.hardware.units import IMPLEMENTATIONS
from qlight.intgraph import Graph

#: of `LIMITED`, as headings
HEADINGS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM36", "uram": "URAM", "dsp": "DSP", "dram": "DRAM"}
FORMAT = "qlight-plan"
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class LayerPlan:
    """A layer of a plan.

    Attributes:
        name: of the layer.
        choice: its fold, cycles and DRAM bytes.
        multiply: how its products are made, in words.
        resources: of its units, with those between it and the layer before.
    """

    name: str
    choice: Choice
    multiply: str
    resources: Resources


@dataclass(frozen=True)
class Plan:
    """See above.

    Attributes:
        board: for which it is.
        graph_hash: of the network.
        layers: in order.
        control: what the control registers take, those that memory ports share included.
        cycles: an image in steady state; `fps` is an estimate at the board's clock.
        proven: whether the solver proved that it is the best.
    """

    board: Board
    graph_hash: str
    layers: tuple[LayerPlan, ...]
    control: Resources
    cycles: int
    proven: bool

    @property
    def fps(self) -> float:
        """Estimated images a second: no board measured it."""
        return self.board.clock_mhz * 1e6 / self.cycles

    @property
    def resources(self) -> Resources:
        """Of everything; what the block design adds is not in it, nor in the budget."""
        total = self.control
        for layer in self.layers:
            total += layer.resources
        return total

    @property
    def dram_bytes(self) -> int:
        """Weights read an image."""
        return sum(layer.choice.dram_bytes for layer in self.layers)

    @property
    def shares(self) -> dict[str, float]:
        """Of what a plan may take of the board (`Board.budget`, `Board.dram_bytes_per_cycle`), by resource; 0 where there is none."""
        budget, total = self.board.budget, self.resources
        found = {kind: getattr(total, kind) / getattr(budget, kind) if getattr(budget, kind) else 0.0 for kind in KINDS}
        return found | {"dram": self.dram_bytes / (self.cycles * self.board.dram_bytes_per_cycle)}

    @property
    def bottleneck(self) -> str:
        """The layer that takes the most cycles; of equal ones the one whose memory port takes them."""

        def cycles(layer: LayerPlan) -> tuple[int, bool]:
            choice = layer.choice
            return choice.cycles, choice.dram_bytes * 8 == choice.cycles * choice.fold.port_bits

        return max(self.layers, key=cycles).name

    @property
    def scarcest(self) -> str:
        """Of `LIMITED`, what most is taken of."""
        shares = self.shares
        return max(LIMITED, key=lambda kind: shares[kind])

    @property
    def folding(self) -> Folding:
        """As `make_pipeline` takes it."""
        return {layer.name: layer.choice.fold for layer in self.layers}

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it; `load_folding` reads it again."""
        return {
            "format": FORMAT,
            "graph_hash": self.graph_hash,
            "board": self.board.name,
            "clock_mhz": self.board.clock_mhz,
            "cycles": self.cycles,
            "fps_estimate": round(self.fps, 2),
            "proven": self.proven,
            "bottleneck": self.bottleneck,
            "resources": asdict(self.resources),
            "dram_bytes": self.dram_bytes,
            "shares": {kind: round(share, 4) for kind, share in self.shares.items()},
            "folding": {layer.name: layer.choice.fold.entry for layer in self.layers},
        }

    def save(self, path: str | Path) -> None:
        """Write `document`; the file appears whole or not at all.

        Raises:
            InputError: the folder cannot be written, or ``path`` is a folder.
        """
        with whole_file(path) as part:
            part.write_text(json.dumps(self.document, indent=1) + "\n", encoding="ascii")

    def print(self) -> None:
        """A table of the layers, the sums beside the board's budget, and what limits the plan."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"{self.board.title}, {self.board.part}, {self.board.clock_mhz:g} MHz", title_justify="left")
        for heading in ("layer", "PE", "SIMD", "weights", "memory", "products", "cycles", "LUT", "FF", "BRAM36", "URAM", "DSP", "DRAM kB"):
            table.add_column(heading, justify="left" if heading in ("layer", "weights", "memory", "products") else "right")
        for layer in self.layers:
            fold, choice = layer.choice.fold, layer.choice
            held = "-" if fold.streamed else fold.memory
            start = [layer.name, str(fold.pe), str(fold.simd), fold.weights, held, layer.multiply, f"{choice.cycles:,}"]
            table.add_row(*start, *_amounts(layer.resources), f"{choice.dram_bytes / 1e3:,.0f}" if choice.dram_bytes else "-")
        table.add_section()
        table.add_row("control", "", "", "", "", "", "", *_amounts(self.control), "")
        table.add_row("sum", "", "", "", "", "", f"{self.cycles:,}", *_amounts(self.resources), f"{self.dram_bytes / 1e3:,.0f}")
        most = self.board.dram_bytes_per_cycle * self.cycles
        table.add_row("budget", "", "", "", "", "", "", *_amounts(self.board.budget), f"{most / 1e3:,.0f}")
        table.add_row("share", "", "", "", "", "", "", *(f"{self.shares[kind]:.0%}" for kind in LIMITED))
        console = Console(width=150, highlight=False)
        console.print(table)
        lines = [f"estimated {self.fps:,.0f} images a second; slowest layer: {self.bottleneck}; scarcest: {HEADINGS[self.scarcest]}"]
        lines.append("LUT and FF are the model's of Yosys, not the vendor's; the budget leaves out what the block design takes")
        if affine := [layer.name for layer in self.layers if layer.choice.fold.affine]:
            lines.append(f"codes by an affine function in place of thresholds: {', '.join(affine)}")
        if any(layer.choice.fold.memory == ULTRA for layer in self.layers):
            lines.append("weights in UltraRAM have no reset value: load parameters before the first image")
        if not self.proven:
            lines.append("the solver ran out of time: there may be a better design")
        console.print("\n".join(lines))


def load_folding(path: str | Path, argument: str) -> dict[str, Any]:
    """The ``folding`` of a file that `Plan.save` wrote, as `make_pipeline` takes it.

    Args:
        argument: what messages call ``path``.

    Raises:
        InputError: the file cannot be read, or is none.
    """
    expected = f"Expected `{argument}` to be a file of `hardware plan --out`"
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise InputError(f"{expected}, but {str(path)!r} has {Path(path).stat().st_size} bytes; plan again.")
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{expected}, but {str(path)!r} cannot be read ({error.strerror}); name one that is there.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{expected}, but {str(path)!r} is not JSON ({error}); plan again.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("folding"), dict):
        raise InputError(f"{expected}, but {str(path)!r} is none; plan again.")
    return found["folding"]


def make_plan(graph: Graph, board: Board, fps: float | None = None, options: Sequence[Sequence[Choice]] | None = None) -> Plan:
    """The fastest design within the board's budget, or the smallest that reaches a frame rate.

    Args:
        fps: images a second; None: as many as can be.
        options: the choices of every layer, where they are known (`Solver.options` of a board of the same family and memory ports).

    Raises:
        InputError: the cells cannot run the graph, or no design fits; the message names the layer and the resource, or the layer that is
            too slow.
    """
    found = layers(graph)
    solver = Solver(found, board, options)
    solution = solver.fastest() if fps is None else solver.smallest(fps)
    planned = tuple(
        LayerPlan(
            layer.name, choice, IMPLEMENTATIONS[implementation(layer, choice.fold.simd, choice.fold.multiply)], choice.resources + link
        )
        for layer, choice, link in zip(found, solution.choices, solution.links, strict=True)
    )
    taken = solver.fixed if any(choice.fold.streamed for choice in solution.choices) else weighed([control()], model()["coefficients"])
    return Plan(board, graph.content_hash, planned, taken, solution.cycles, solution.proven)


def _amounts(resources: Resources) -> list[str]:
    return [f"{resources.bram36:g}" if kind == "bram18" else f"{getattr(resources, kind):,}" for kind in KINDS]
