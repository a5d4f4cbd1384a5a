"""Accuracy against queries, against eps and by class, side by side, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qlight.errors import InputError
from qlight.evaluation.axes import INK, frame, nothing
from qlight.evaluation.curves import Attack, against_eps, against_queries, by_class
from qlight.files import whole_file

#: told apart by deuteranopes and protanopes too; dashed from the ninth on
_COLOURS = ("#0067a5", "#c44e00", "#007a5e", "#9b3f8f", "#000000", "#bf8700", "#56a0d3", "#7a4a1f")


def save_curves(attacks: Sequence[Attack], path: str | Path) -> Path:
    """Draw the attacks of `qlight.evaluation.curves.load_attacks`.

    Accuracies are over all images, wrong ones included. An attack whose images have no counts of their own stands in the first panel as a
    point at its mean; one that crafted elsewhere is not in it. Bars of the second panel are 95 % Wilson intervals.

    Returns:
        `path`.

    Raises:
        InputError: `path` does not end in .png or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"Expected `out` to end in .png, but got {str(path)!r}; rename it.")
    # The object API: pyplot would keep global state and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names, right, images = by_class(attacks)
    figure = Figure(figsize=(13, max(3.6, 1.6 + 0.26 * len(names))), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    queries, eps, classes = figure.subplots(1, 3, width_ratios=(1.15, 1, 1.25))
    _queries(queries, attacks)
    _eps(eps, attacks)
    _classes(classes, names, right, images)
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return path


def _queries(axis: Any, attacks: Sequence[Attack]) -> None:
    found = [(attack, against_queries(attack)) for attack in attacks]
    asking = [(attack, points) for attack, points in found if not attack.row.gradients and not attack.row.gradients_from]
    _frame(axis, "accuracy against queries", "queries an image (log scale)")
    if not asking:
        nothing(axis, "no attack that only queries")
        return
    axis.set_xscale("log")
    means = {attack.name: max(1.0, attack.row.queries / attack.row.images) for attack, _ in asking}
    last = max([*means.values(), *(points[-1][0] for _, points in asking if points)])
    for number, (attack, points) in enumerate(asking):
        style = _style(number)
        if points is None:
            axis.plot(means[attack.name], attack.row.adversarial_accuracy, "D", color=style["color"], label=f"{attack.name} (mean queries)")
            continue
        points = [(max(1.0, x), y) for x, y in points]
        axis.plot(*zip(*points, (last, points[-1][1]), strict=True), drawstyle="steps-post", label=attack.name, **style)
    axis.legend(fontsize=7, frameon=False)


def _eps(axis: Any, attacks: Sequence[Attack]) -> None:
    _frame(axis, "accuracy against eps, 95 %", "eps, in levels of an 8-bit pixel")
    lines = against_eps(attacks)
    if not lines:
        nothing(axis, "no attack with an eps")
        return
    for number, (title, line) in enumerate(lines.items()):
        rows = [attack.row for attack in line]
        levels = [255 * row.parameters["eps"] + 0.06 * (number - (len(lines) - 1) / 2) for row in rows]  # beside each other
        accuracy = [row.adversarial_accuracy for row in rows]
        low = [row.adversarial_accuracy - row.adversarial_accuracy_low for row in rows]
        high = [row.adversarial_accuracy_high - row.adversarial_accuracy for row in rows]
        axis.errorbar(levels, accuracy, (low, high), marker="o", markersize=4, capsize=2, label=title, **_style(number))
    axis.axhline(attacks[0].row.clean_accuracy, color=INK, linewidth=0.8, linestyle=":")
    axis.annotate("clean", (1, attacks[0].row.clean_accuracy), xycoords=("axes fraction", "data"), fontsize=7, ha="right", va="bottom")
    axis.set_xlim(left=0)
    axis.legend(fontsize=7, frameon=False)


def _classes(axis: Any, names: Sequence[str], right: Any, images: Any) -> None:
    """A line an attack, a column a class: images that are right of all that there are."""
    share = np.where(images > 0, right / images.clip(1), np.nan)
    axis.set_title("right of all images, by class", fontsize=9.5, color=INK, loc="left")
    axis.imshow(share, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for line, column in np.argwhere(images > 0).tolist():
        shade = "black" if share[line, column] > 0.6 else "white"
        axis.text(column, line, f"{right[line, column]}/{images[line, column]}", ha="center", va="center", fontsize=6.5, color=shade)
    axis.set_xticks(range(share.shape[1]))
    axis.set_xlabel("class", fontsize=8, color=INK)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(labelsize=7.5, colors=INK, length=0)


def _style(number: int) -> dict[str, Any]:
    return {"color": _COLOURS[number % len(_COLOURS)], "linewidth": 1.7, "linestyle": "-" if number < len(_COLOURS) else "--"}


def _frame(axis: Any, title: str, label: str) -> None:
    frame(axis, title, label, "accuracy")
    axis.set_ylim(-0.03, 1.03)
