"""How axes of pictures look: ink, grid, a title, and words where there is nothing to draw."""

from __future__ import annotations

from typing import Any

INK, GRID = "#24292f", "#d8dee4"


def frame(axis: Any, title: str, x: str, y: str) -> None:
    """Give a matplotlib axis its title, the labels of its axes, a grid behind what is drawn, and two spines."""
    axis.set_title(title, fontsize=9.5, color=INK, loc="left")
    axis.set_xlabel(x, fontsize=8, color=INK)
    axis.set_ylabel(y, fontsize=8, color=INK)
    axis.grid(color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8, colors=INK)


def nothing(axis: Any, text: str) -> None:
    """Say in grey why an axis is empty."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="#8c959f", transform=axis.transAxes)
