"""A finished diagnosis: as one sentence, as a table, as JSON and CSV, and as a picture."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qlight.attacks.arguments import plain
from qlight.console import wide
from qlight.errors import InputError
from qlight.evaluation.diagnostics.differences import AtStep
from qlight.evaluation.diagnostics.record import Diagnostic
from qlight.files import whole_file

_COLUMNS = ("name", "group", "status", "figure", "comparison", "threshold", "unit", "verdict", "measured", "source")
_MARKS = {"pass": ("pass", "green"), "fail": ("FAIL", "bold red"), "not applicable": ("n/a", "dim")}
_DOUBTS = {
    "set-up": "set the network up as attacks expect before anything else is believed",
    "gradients": "attacks that follow its gradients may overstate robustness",
    "differences": "attacks that take finite differences, as ZOO does, do not measure robustness",
}


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        label: of the network, "" where none was given.
        model: its class.
        images, correct: how many there were, and how many of them the network classifies rightly; only these are attacked.
        eps, seed: as given.
        sizes: of the measurements.
        diagnostics: the records.
        sweep: the differences at each h.
        eps_curve, iteration_curve: (eps or iterations, success of BIM) pairs.
        attacks: name, eps, parameters and success of every attack.
        per_image: index, label, predicted class and, for the rightly classified, the names of the attacks of `eps` that fool it.
        versions: of qlight, torch and torchattacks.
    """

    label: str
    model: str
    images: int
    correct: int
    eps: float
    seed: int
    sizes: dict[str, Any]
    diagnostics: tuple[Diagnostic, ...]
    sweep: tuple[AtStep, ...] = ()
    eps_curve: tuple[tuple[float, float], ...] = ()
    iteration_curve: tuple[tuple[float, float], ...] = ()
    attacks: tuple[dict[str, Any], ...] = ()
    per_image: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Diagnostic:
        """The diagnostic of this name; KeyError where there is none."""
        for diagnostic in self.diagnostics:
            if diagnostic.name == name:
                return diagnostic
        raise KeyError(name)

    @property
    def failed(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that fail."""
        return tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.status == "fail")

    @property
    def verdict(self) -> str:
        """All of it in one sentence."""
        applied = sum(diagnostic.status != "not applicable" for diagnostic in self.diagnostics)
        if not self.failed:
            if not self.correct:
                return (
                    f"No diagnostic of {applied} fails, but the network classifies none of {self.images} images rightly: nothing to attack."
                )
            return f"No diagnostic of {applied} fails: nothing here says that gradients are masked."
        doubts = [
            f"{text} ({', '.join(_words(d.name) for d in failed)})"
            for group, text in _DOUBTS.items()
            if (failed := [diagnostic for diagnostic in self.failed if diagnostic.group == group])
        ]
        return f"{len(self.failed)} of {applied} diagnostics fail: {'; '.join(doubts)}."

    def to_json(self) -> str:
        """Strict JSON (no NaN) of everything, the same for the same network, images, seed and sizes."""
        record = {**asdict(self), "verdict": self.verdict}
        return json.dumps(plain(record), indent=2, allow_nan=False) + "\n"

    def save(self, folder: str | Path) -> tuple[Path, Path, Path]:
        """Write diagnostics.json, diagnostics.csv and diagnostics.png into `folder` (made if missing), each whole or not at all.

        Raises:
            InputError: `folder` is a file or cannot be written.
        """
        from qlight.evaluation.diagnostics.plot import draw

        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"Expected `folder` to be a folder, but {str(folder)!r} is a file; give another path.")
        json_path, csv_path, png_path = (folder / f"diagnostics.{suffix}" for suffix in ("json", "csv", "png"))
        with whole_file(json_path) as part:
            part.write_text(self.to_json(), encoding="utf-8")
        with whole_file(csv_path) as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(_COLUMNS)
            writer.writerows([getattr(diagnostic, name) for name in _COLUMNS] for diagnostic in self.diagnostics)
        draw(self, png_path)
        return json_path, csv_path, png_path

    def print(self, console: Any = None) -> None:
        """Print the table and the verdict.

        Args:
            console: a `rich.console.Console`; default: standard output.
        """
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        about = f"{self.label or self.model}, {self.images} images ({self.correct} right), eps={self.eps:g}, seed {self.seed}"
        table = Table(title=f"Masking diagnostics: {about}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True)
        table.add_column("diagnostic", overflow="fold", max_width=24)
        table.add_column("figure", justify="right", no_wrap=True)
        table.add_column("passes", justify="right", no_wrap=True)
        table.add_column("verdict", overflow="fold")
        group = None
        for diagnostic in self.diagnostics:
            if group not in (None, diagnostic.group):
                table.add_section()
            group = diagnostic.group
            mark, style = _MARKS[diagnostic.status]
            table.add_row(
                Text(mark, style=style),
                Text(_words(diagnostic.name)),
                "-" if diagnostic.figure is None else f"{diagnostic.figure:.3g}",
                f"{diagnostic.comparison} {diagnostic.threshold:g}",
                Text(diagnostic.verdict, style="dim" if diagnostic.status == "not applicable" else ""),
            )
        console = wide(console)
        console.print(table)
        console.print(Text(self.verdict, style="bold"))


def _words(name: str) -> str:
    return name.replace("_", " ")
