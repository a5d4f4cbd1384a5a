"""Yosys on a unit of a pipeline or all of it, beside what the resource model says and what the board has."""

from __future__ import annotations

from dataclasses import dataclass

from qlight.errors import InputError, nearest
from qlight.hardware.boards import KINDS, Board, Resources
from qlight.hardware.build import pipeline_cells
from qlight.hardware.features import control, memory_style, parts, reader_registers
from qlight.hardware.packing import memory_files
from qlight.hardware.pipeline import Pipeline, check_board
from qlight.hardware.plan import HEADINGS
from qlight.hardware.resources import model, unit_resources, weighed
from qlight.hardware.synthesis import Synthesis, needed, synthesize, yosys_version
from qlight.hardware.top import MEMORY, TOP, TOP_FILE, cell_name, cell_parameters, top_level
from qlight.hardware.units import Mvtu, StreamedMvtu

_READER = ("weight_reader", "dwc")


@dataclass(frozen=True)
class Report:
    """See above.

    Attributes:
        name: of the unit, or of the top level.
        made: what Yosys made.
        predicted: what the model says.
    """

    name: str
    board: Board
    made: Synthesis
    predicted: Resources

    def print(self) -> None:
        """A table with a row a resource."""
        from rich.console import Console
        from rich.table import Table

        table = Table(
            title=f"{self.name} for {self.board.title} ({self.board.part}), Yosys of pyosys {yosys_version()}", title_justify="left"
        )
        for heading in ("resource", "Yosys", "model", "model / Yosys", "budget", "share"):
            table.add_column(heading, justify="left" if heading == "resource" else "right")
        for kind in KINDS:
            made, said, most = (getattr(each, kind) for each in (self.made.resources, self.predicted, self.board.budget))
            scale = 2 if kind == "bram18" else 1
            row = [HEADINGS[kind], f"{made / scale:,g}", f"{said / scale:,g}", f"{said / made:.2f}" if made else "-", f"{most / scale:,g}"]
            table.add_row(*row, f"{made / most:.1%}" if most else "-")
        console = Console(width=120, highlight=False)
        console.print(table)
        console.print(
            f"{self.made.memory_luts:,} of the LUTs are memory; {self.made.lut_cells:,} cells LUT1 to LUT6 before any share a LUT; "
            f"Yosys took {self.made.seconds:.0f} s"
        )


def check_unit(pipeline: Pipeline, name: str) -> None:
    """Refuse a name that no unit has.

    Raises:
        InputError: with the nearest names.
    """
    names = [unit.name for unit in pipeline.units]
    if name not in names:
        close = nearest(name, names) or ", ".join(names[:8])
        raise InputError(f"Expected `unit` to be a unit of the network, but got {name!r}; did you mean {close}?")


def synthesize_pipeline(pipeline: Pipeline, board: Board, unit: str | None = None, seconds: float | None = None) -> Report:
    """Run Yosys for the board's family.

    Args:
        unit: its name; None: the whole accelerator, which takes an hour and more where it is large.
        seconds: the most that Yosys may take.

    Raises:
        InputError: there is no such unit, or the board lacks what the folding asks for.
        HardwareError: pyosys is not installed, or Yosys fails or is too slow.
    """
    check_board(pipeline, board)
    files = {f"{MEMORY}/{name}": text for name, text in memory_files(pipeline)}
    cells = pipeline_cells(pipeline)
    if unit is None:
        digest = pipeline.graph.content_hash
        sources = {**cells, TOP_FILE: top_level(pipeline, digest, "0" * 64)}
        made = synthesize(TOP, sources, board.family, memory=files, seconds=seconds)
        predicted = weighed(
            [control(), *([reader_registers(len(pipeline.streamed))] if pipeline.streamed else [])], model()["coefficients"]
        )
        for each in pipeline.units:
            predicted += unit_resources(each, board.family)
        return Report(TOP, board, made, predicted)
    check_unit(pipeline, unit)
    found = pipeline.unit(unit)
    top = cell_name(found)
    parameters = {name: value.strip('"') if isinstance(value, str) else value for name, value in cell_parameters(found).items()}
    mine = {name: text for name, text in files.items() if name.startswith(f"{MEMORY}/{unit}.")}
    made = synthesize(top, needed(top, cells), board.family, parameters, memory=mine, seconds=seconds)
    # the reader of streamed weights and its converter are instances of their own
    mine_only = [
        part
        for part in parts(found, board.family, memory_style(found) if isinstance(found, Mvtu) else "")
        if not isinstance(found, StreamedMvtu) or part.kind not in _READER
    ]
    return Report(unit, board, made, weighed(mine_only, model()["coefficients"]))
