"""A picture of a pipeline: a row of units for every layer, the widths of the streams between them, and how busy each unit is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qlight.errors import InputError
from qlight.files import whole_file
from qlight.hardware.cycles import Cycles, cycles
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import IMPLEMENTATIONS, Affine, Dwc, Fifo, Mvtu, Pool, Reorder, Replay, StreamedMvtu, Swg, Unit

FORMATS = (".png", ".svg", ".pdf")
_COLORS = {Fifo: "#d8dee9", Dwc: "#e5d3b3", Swg: "#b8d8ba", Mvtu: "#a8c5e8", Pool: "#e3b9c8"}
_COLORS |= {Replay: "#c9d9c3", Reorder: "#c9d9c3", StreamedMvtu: "#8fb2dd", Affine: "#c5b8dd"}
_NAMES = {Fifo: "FIFO", Dwc: "DWC", Swg: "SWG", Mvtu: "MVTU", Pool: "pool"}
_NAMES |= {Replay: "replay", Reorder: "reorder", StreamedMvtu: "MVTU, DRAM", Affine: "affine"}
#: inches of a box with its arrow, and of a row
_STEP, _ROW, _BOX = 1.75, 1.0, 1.25


def save_picture(pipeline: Pipeline, path: str | Path) -> None:
    """Draw the pipeline into a PNG, SVG or PDF file; the file appears whole or not at all.

    Raises:
        InputError: ``path`` has another suffix, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"Expected `path` to end in {', '.join(FORMATS)}, but got {path.name!r}; choose one of these.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [[unit for unit in pipeline.units if unit.layer == layer.name] for layer in pipeline.layers]
    most = max(len(row) for row in rows)
    figure = Figure(figsize=(2.6 + _STEP * most + 3.6, 1.1 + _ROW * len(rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[2.0 + _STEP * most, 3.6], sharey=True)
    model = cycles(pipeline)
    for index, row in enumerate(rows):
        _draw_row(left, len(rows) - 1 - index, row, pipeline)
    left.set(xlim=(-1.5, _STEP * most), ylim=(-0.75, len(rows) - 0.35))
    left.axis("off")
    figure.suptitle(
        f"graph {pipeline.graph.content_hash[:12]}: {model.image:,} cycles an image ({model.slowest}), first image after {model.latency:,}"
        "; on arrows: codes x bits a beat"
    )
    _draw_busy(right, rows, model)
    with whole_file(path) as part:
        figure.savefig(part)


def describe(unit: Unit) -> str:
    """A unit's parameters in a few words, in two lines at most."""
    if isinstance(unit, StreamedMvtu):
        return f"PE {unit.pe} SIMD {unit.simd}\n{unit.dram_bytes:,} B an image"
    if isinstance(unit, Mvtu):
        kind = IMPLEMENTATIONS[unit.implementation]
        return f"PE {unit.pe} SIMD {unit.simd}\n{kind}"
    if isinstance(unit, Swg):
        return f"{unit.kernel[0]} x {unit.kernel[1]} on\n{unit.height} x {unit.width} x {unit.channels}"
    if isinstance(unit, Fifo):
        return f"{unit.depth:,} deep"
    if isinstance(unit, Replay):
        return f"{unit.times:,} times\n{unit.frame:,} beats"
    if isinstance(unit, Reorder):
        return f"{unit.outer:,} x {unit.inner:,}"
    if isinstance(unit, Affine):
        return f"{unit.channels:,} channels"
    if isinstance(unit, Pool):
        return "2 x 2, " + ("max or min" if unit.directed else "max")
    return f"{unit.source.lanes} to {unit.target.lanes}"


def _draw_row(axes: Any, y: int, row: list[Unit], pipeline: Pipeline) -> None:
    from matplotlib.patches import FancyBboxPatch

    mvtu = next(unit for unit in row if isinstance(unit, Mvtu))
    axes.text(-1.45, y, f"{mvtu.name}\n{mvtu.mw} x {mvtu.mh}", va="center", fontsize=9, fontweight="bold")
    for place, unit in enumerate(row):
        x = place * _STEP
        axes.add_patch(
            FancyBboxPatch((x, y - 0.3), _BOX, 0.6, boxstyle="round,pad=0,rounding_size=0.06", fc=_COLORS[type(unit)], ec="#555")
        )
        axes.text(x + _BOX / 2, y + 0.17, _NAMES[type(unit)], ha="center", va="center", fontsize=8, fontweight="bold")
        axes.text(x + _BOX / 2, y - 0.1, describe(unit), ha="center", va="center", fontsize=6.5, linespacing=1.1)
        axes.annotate("", (x, y), (x - _STEP + _BOX, y), arrowprops={"arrowstyle": "->", "color": "#555"})
        axes.text(x - 0.25, y + 0.1, f"{unit.source.lanes} x {unit.source.bits}", ha="center", fontsize=6.5, color="#333")
    if row[-1] is pipeline.units[-1]:
        x = len(row) * _STEP
        axes.annotate("", (x, y), (x - _STEP + _BOX, y), arrowprops={"arrowstyle": "->", "color": "#555"}, annotation_clip=False)
        axes.text(x - 0.25, y + 0.1, f"1 x {row[-1].target.bits}", ha="center", fontsize=6.5, color="#333")


def _draw_busy(axes: Any, rows: list[list[Unit]], model: Cycles) -> None:
    """Cycles an image of the units of each layer that are not mere FIFOs, as thin bars."""
    for index, row in enumerate(rows):
        shown = [unit for unit in row if not isinstance(unit, Fifo)]
        height = 0.7 / max(3, len(shown))
        for place, unit in enumerate(shown):
            y = len(rows) - 1 - index + ((len(shown) - 1) / 2 - place) * height
            busy = model.units[unit.name]
            axes.barh(y, busy, height * 0.85, color=_COLORS[type(unit)], edgecolor="#555", linewidth=0.4)
            axes.text(busy, y, f" {_NAMES[type(unit)]} {busy:,} ({busy / model.image:.0%})", va="center", fontsize=6)
    axes.axvline(model.image, color="#a33", linewidth=0.8, linestyle="--", zorder=0)
    axes.set(xlim=(0, 1.45 * model.image), xlabel="cycles an image")
    axes.tick_params(labelsize=7, left=False, labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)
