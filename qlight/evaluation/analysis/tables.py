"""The results of an analysis: rows as CSV and JSON, matrices as heat maps; whole or not there."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qlight.attacks.arguments import plain
from qlight.console import wide
from qlight.errors import InputError
from qlight.evaluation.axes import INK
from qlight.files import whole_file


def check_folder(folder: str | Path) -> Path:
    """`folder` as a path.

    Raises:
        InputError: it is a file.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected `out` to be a folder, but {str(folder)!r} is a file; give another path.")
    return folder


def save_rows(path: Path, rows: Sequence[Any]) -> Path:
    """Write dataclass rows of one class as CSV; an empty cell where there is no value."""
    names = [field.name for field in fields(rows[0])]
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows([plain(getattr(row, name)) for name in names] for row in rows)
    return path


def save_json(path: Path, settings: Mapping[str, Any], **tables: Sequence[Any]) -> Path:
    """Write strict JSON (no NaN) of `settings` and of tables of dataclass rows."""
    record = {**settings, **{name: [asdict(row) for row in rows] for name, rows in tables.items()}}
    with whole_file(path) as part:
        part.write_text(json.dumps(plain(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class HeatMap:
    """A matrix with its figures.

    Attributes:
        title: above it.
        rows, columns: names.
        values: len(rows) x len(columns); None where there is no value.
        low, high: ends of the colour scale.
        digits: after the point.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    low: float = 0.0
    high: float = 1.0
    digits: int = 2


def draw(path: Path, maps: Sequence[HeatMap], row_label: str, column_label: str, title: str = "") -> Path:
    """Write the matrices side by side as one PNG, in colours that do not rely on telling red from green."""
    # The object API: pyplot would keep global state and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(3, len(maps))
    down = -(-len(maps) // across)
    # in inches: cells, and the names beside them
    wide = max(0.55 * max(4, len(one.columns)) + 0.075 * max(map(len, one.rows)) for one in maps)
    tall = max(0.42 * max(3, len(one.rows)) + 0.06 * max(map(len, one.columns)) for one in maps)
    figure = Figure(figsize=(across * (0.7 + wide), down * (0.9 + tall)), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False)
    for axis in axes.flat[len(maps) :]:
        axis.set_visible(False)
    for axis, one in zip(axes.flat, maps, strict=False):
        _draw_one(axis, one, row_label, column_label)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return path


def _draw_one(axis: Any, one: HeatMap, row_label: str, column_label: str) -> None:
    from matplotlib import colormaps

    colours = colormaps["cividis"].with_extremes(bad="white")
    numbers = [[float("nan") if value is None else value for value in row] for row in one.values]
    axis.imshow(numbers, cmap=colours, vmin=one.low, vmax=one.high, aspect="auto")
    axis.set_xticks(range(len(one.columns)), one.columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(len(one.rows)), one.rows, fontsize=8)
    axis.set_title(one.title, fontsize=9.5, color=INK, loc="left")
    axis.set_xlabel(column_label, fontsize=8)
    axis.set_ylabel(row_label, fontsize=8)
    axis.spines[:].set_visible(False)
    for y, row in enumerate(one.values):
        for x, value in enumerate(row):
            light = value is not None and (value - one.low) / (one.high - one.low) > 0.55
            axis.text(x, y, cell(value, one.digits), ha="center", va="center", fontsize=8, color=INK if light or value is None else "white")


def cell(value: float | None, digits: int = 2) -> str:
    """A figure in a table; "-" where there is none ("a value which can not be computed", Appendix C).

    >>> cell(0.125), cell(None)
    ('0.12', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}"


def print_matrix(one: HeatMap, corner: str, console: Any = None) -> None:
    """Print a matrix with row and column names."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(corner, overflow="fold")
    for column in one.columns:
        table.add_column(Text(column), justify="right")
    for name, row in zip(one.rows, one.values, strict=True):
        table.add_row(Text(name), *(cell(value, one.digits) for value in row))
    console = wide(console)
    console.print(Text(one.title, style="bold"))  # a table's own title is folded to its width
    console.print(table)
