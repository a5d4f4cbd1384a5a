"""One picture of a diagnosis: differences against h, success against eps and iterations, and the attacks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlight.evaluation.axes import GRID, INK, frame, nothing
from qlight.evaluation.diagnostics.differences import COSINE, EXPLOSION, ZERO_DIFFERENCES
from qlight.evaluation.diagnostics.sizes import ZOO_H
from qlight.files import whole_file

if TYPE_CHECKING:
    from qlight.evaluation.diagnostics.report import Diagnosis

LINE, BAD = "#0b5cad", "#cf222e"
_PLATE = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}  # keeps figures legible on lines
_BY_ATTACK = {"FGSM": LINE, "BIM": LINE, "PGD": LINE, "CW": LINE, "SPSA": "#bf8700", "Square": "#bf8700", "noise": "#8c959f"}


def draw(diagnosis: Diagnosis, path: Path) -> Path:
    """Write the picture as a PNG, whole or not at all. A region in which a diagnostic fails is tinted red."""
    # The object API: pyplot would keep global state and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    name = diagnosis.label or diagnosis.model.rpartition(".")[2]
    applied = sum(diagnostic.status != "not applicable" for diagnostic in diagnosis.diagnostics)
    figure.suptitle(
        f"{name}: {len(diagnosis.failed)} of {applied} masking diagnostics fail ({diagnosis.correct} images, eps = {diagnosis.eps:g})",
        fontsize=12,
        color=INK,
        fontweight="bold",
    )
    figure.supxlabel(
        "red: a diagnostic fails there; it is judged at ZOO's h.   Bars: blue follows gradients of this network, purple of another, "
        "yellow none; grey is noise.",
        fontsize=8,
        color=INK,
    )
    _differences(diagnosis, axes[0])
    _success(axes[1, 0], diagnosis.eps_curve, "success of BIM against eps", "eps (pixel units, log scale)", diagnosis.eps)
    _success(axes[1, 1], diagnosis.iteration_curve, "success of BIM against iterations", "iterations of eps/10 (log scale)", None)
    _attacks(diagnosis, axes[1, 2])
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return path


def _differences(diagnosis: Diagnosis, axes: Any) -> None:
    """Zero share, explosion and cosine against h."""
    sweep = diagnosis.sweep
    panels = (
        ("differences that are zero", [100 * step.zero_share for step in sweep], 100 * ZERO_DIFFERENCES.threshold, True, "%"),
        ("largest |difference quotient| / largest |gradient|", [step.explosion for step in sweep], EXPLOSION.threshold, True, "ratio"),
        ("cosine of differences to the gradient", [step.cosine for step in sweep], COSINE.threshold, False, "mean cosine"),
    )
    for axis, (title, values, threshold, fails_above, unit) in zip(axes, panels, strict=True):
        frame(axis, title, "h (pixel units, log scale)", unit)
        points = [(step.h, value) for step, value in zip(sweep, values, strict=True) if value is not None]
        if not points:
            nothing(axis, "no gradient to compare with" if sweep else "not measured")
            continue
        axis.set_xscale("log")
        if unit == "%":
            axis.set_ylim(-4, 104)
        elif unit == "ratio":
            positive = [value for _, value in points if value > 0]
            axis.set_yscale("symlog", linthresh=0.1, linscale=0.4)  # so that a ratio of 0 has its place
            axis.set_ylim(-0.02, 4 * max([*positive, 25.0]))
        else:
            axis.set_ylim(min(-0.25, *(value - 0.1 for _, value in points)), 1.08)
            axis.axhline(0, color=GRID, linewidth=0.8, zorder=0)
        low, high = axis.get_ylim()
        axis.axhspan(*((threshold, high) if fails_above else (low, threshold)), color=BAD, alpha=0.07, linewidth=0, zorder=0)
        axis.axhline(threshold, color=BAD, linewidth=0.9, linestyle=(0, (4, 3)))
        axis.set_ylim(low, high)
        axis.axvline(ZOO_H, color=INK, linewidth=0.8, linestyle=":")
        top = 0.03 if unit == "ratio" else 0.55  # where neither line nor threshold is
        axis.annotate("ZOO's h", (ZOO_H, top), xycoords=("data", "axes fraction"), fontsize=7, color=INK, rotation=90,
                      xytext=(3, 0), textcoords="offset points", va="bottom")  # fmt: skip
        axis.plot(*zip(*points, strict=True), color=LINE, marker="o", markersize=5, linewidth=1.8, clip_on=False, zorder=3)
        for at, value in points:
            above = value < (low + high) / 2 if unit != "ratio" else True
            axis.annotate(_short(value, unit), (at, value), fontsize=7.5, color=LINE, ha="center", va="bottom" if above else "top",
                          xytext=(0, 6 if above else -7), textcoords="offset points", zorder=4, bbox=_PLATE)  # fmt: skip


def _success(axis: Any, curve: Any, title: str, label: str, mark: float | None) -> None:
    frame(axis, title, label, "% fooled")
    if not curve:
        nothing(axis, "not applicable")
        return
    axis.set_xscale("log")
    axis.set_ylim(-4, 108)
    if mark is not None:
        axis.axvline(mark, color=INK, linewidth=0.8, linestyle=":")
        axis.annotate("eps", (mark, 2), fontsize=7, color=INK, xytext=(3, 0), textcoords="offset points")
    values = [100 * success for _, success in curve]
    axis.plot([at for at, _ in curve], values, color=LINE, marker="o", markersize=5, linewidth=1.8, clip_on=False, zorder=3)
    if mark is None:
        from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

        axis.set_xticks([at for at, _ in curve])
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_minor_formatter(NullFormatter())


def _attacks(diagnosis: Diagnosis, axis: Any) -> None:
    """Success of each attack as a bar; blue follows gradients, yellow does not, grey is noise."""
    rows = [(a["name"], a["success"]) for a in diagnosis.attacks if a["name"] in _BY_ATTACK or a["name"].startswith("BIM from ")]
    frame(axis, "success of each attack", "% fooled", "")
    if not rows:
        nothing(axis, "not applicable")
        return
    names = [name for name, _ in rows]
    axis.barh(
        range(len(rows)), [100 * success for _, success in rows], color=[_BY_ATTACK.get(name, "#8250df") for name in names], height=0.62
    )
    axis.set_yticks(range(len(rows)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 112)
    axis.grid(axis="y", visible=False)
    for row, (_, success) in enumerate(rows):
        axis.text(100 * success + 1.5, row, f"{100 * success:.0f} %", va="center", fontsize=8, color=INK)


def _short(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"
    if unit == "ratio":
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    return f"{value:.2f}"
