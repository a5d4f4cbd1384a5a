"""Result rows: what was attacked, with what, on which images, and what came out; on screen, as CSV and as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from qlight.attacks.arguments import plain
from qlight.console import wide
from qlight.errors import InputError
from qlight.files import whole_file

#: what is not the same in every run: not in the result files
TIMES = ("seconds", "timing")


@dataclass(frozen=True)
class ResultRow:
    """One attack on one network.

    Attributes:
        label: the network as the paper names it: float, w1a1, w2a32, ...
        checkpoint: file name of the checkpoint; None where the network was not loaded from one.
        checkpoint_sha256: its SHA-256, 64 hexadecimal digits; of an integer graph, that of the checkpoint it says it was lowered from.
        model: class and hyperparameters of the network; of an integer graph, also its metadata.
        data: class and hyperparameters of the data module.
        images: number of images attacked: the whole test set, or the data module's `limit`.
        attack: label of the attack.
        class_path: its class.
        parameters: every argument with the value used, defaults included.
        seed: of the evaluation; an attack's random numbers are derived from it.
        clean_accuracy: on the clean images, 0 to 1; clean_accuracy_low, clean_accuracy_high: its 95 % Wilson interval.
        adversarial_accuracy: on one adversarial example for each image (the paper's acc, section 4.3), 0 to 1, with its interval.
        correct: images that are right before the attack.
        adversarial_accuracy_of_correct: the share of these that is right after it, with its interval; None where there is none.
        successes: adversarial examples that are misclassified, whatever the clean prediction was (section 4.3, literally).
        mean_l2, mean_linf: mean norms of the perturbation over the successes, pixels in [0, 1]; None where there is no success.
        flipped: images right before the attack and wrong after it.
        mean_l2_flipped, mean_linf_flipped: the same means over the flipped images alone; None where there is none.
        queries: images that the attack asked the network about.
        forwards: images that the network computed for it: fewer where an attack knows answers without computing them (ZOO's filter).
        gradients: images differentiated.
        target: what ran the network: torch, packed, ...
        graph_hash: content hash of the integer graph that the target ran; None where there is none.
        gradients_from: hash of the weights of another network that the attack crafted on, and to which its queries, forwards and gradients
            went, as the target has no gradient; None where the attack asked the target itself.
        seconds: time spent crafting, summed over processes and interruptions. Not in the result files, which are the same in every run.
        timing: how long queries took (`qlight.evaluation.timing.per_query`), of the first process; None where the target, as most, does not
            say. Not in the result files either, but in timing.json.
        versions: of qlight, torch and torchattacks.
    """

    label: str
    checkpoint: str | None
    checkpoint_sha256: str | None
    model: dict[str, Any]
    data: dict[str, Any]
    images: int
    attack: str
    class_path: str
    parameters: dict[str, Any]
    seed: int
    clean_accuracy: float
    clean_accuracy_low: float
    clean_accuracy_high: float
    adversarial_accuracy: float
    adversarial_accuracy_low: float
    adversarial_accuracy_high: float
    correct: int
    adversarial_accuracy_of_correct: float | None
    adversarial_accuracy_of_correct_low: float | None
    adversarial_accuracy_of_correct_high: float | None
    successes: int
    mean_l2: float | None
    mean_linf: float | None
    flipped: int
    mean_l2_flipped: float | None
    mean_linf_flipped: float | None
    queries: int
    forwards: int
    gradients: int
    target: str = "torch"
    graph_hash: str | None = None
    gradients_from: str | None = None
    seconds: float | None = None
    timing: dict[str, float] | None = None
    versions: dict[str, str] = field(default_factory=lambda: versions())


def versions() -> dict[str, str]:
    """The versions that produced a row."""
    import torch

    import qlight

    found = {"qlight": getattr(qlight, "__version__", "unknown"), "torch": str(torch.__version__)}
    try:
        found["torchattacks"] = metadata.version("torchattacks")
    except metadata.PackageNotFoundError:
        found["torchattacks"] = "unknown"
    return found


def save_results(rows: Sequence[ResultRow], folder: str | Path) -> tuple[Path, Path]:
    """Write `results.csv` and `results.json` into `folder` (made if missing), each whole or not at all.

    JSON is strict (no NaN): a value that is not there is null. In CSV it is an empty cell, and a mapping is JSON text in its cell.

    Returns:
        the two paths.

    Raises:
        InputError: no rows, or the folder cannot be written.
    """
    if not rows:
        raise InputError("Expected `rows` to hold at least one result, but got none; evaluate an attack first.")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected `folder` to be a folder, but {str(folder)!r} is a file; give another path.")
    records = [{key: value for key, value in plain(asdict(row)).items() if key not in TIMES} for row in rows]
    csv_path, json_path = folder / "results.csv", folder / "results.json"
    with whole_file(json_path) as part:
        part.write_text(json.dumps(records, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with whole_file(csv_path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [f.name for f in fields(ResultRow) if f.name not in TIMES])
        writer.writeheader()
        for record in records:
            writer.writerow({key: json.dumps(value) if isinstance(value, dict) else value for key, value in record.items()})
    return csv_path, json_path


def load_results(path: str | Path) -> list[ResultRow]:
    """The rows of a `results.json`, or of the folder that holds it.

    Raises:
        InputError: it is not there, or it is not such a file.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    try:
        return [ResultRow(**record) for record in json.loads(path.read_text(encoding="utf-8"))]
    except OSError as error:
        raise InputError(f"Expected `path` to be a results.json, but {str(path)!r} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"Expected `path` to be a results.json, but {str(path)!r} is not one: {error}.") from error


def print_table(rows: Sequence[ResultRow], console: Any = None) -> None:
    """Print the paper's columns, acc, l2 and l-infinity, for each network and attack; "-" where there is no value.

    Args:
        rows: the results.
        console: a `rich.console.Console`; default: standard output.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    # Narrow enough for 80 columns; what is left out stands in the files.
    title = (
        "Adversarial accuracy over all images (acc, with its 95 % interval) and\n"
        "over those right before (right); mean distortion of the fooled images"
    )
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    table.add_column("attack", overflow="fold")
    for heading in ("images", "clean", "acc", "95 %", "right", "l2", "linf", "sec"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(row.label if row.target == "torch" else f"{row.label} {row.target}"),  # not markup, whatever brackets it holds
            Text(row.attack),
            str(row.images),
            _figure(row.clean_accuracy, 3),
            _figure(row.adversarial_accuracy, 3),
            "-".join(f"{end:.2f}".removeprefix("0") for end in (row.adversarial_accuracy_low, row.adversarial_accuracy_high)),
            _figure(row.adversarial_accuracy_of_correct, 3),
            _figure(row.mean_l2, 3),
            _figure(row.mean_linf),
            _figure(row.seconds, 1),
        )
    wide(console).print(table)


def _figure(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
