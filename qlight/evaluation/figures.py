"""From the records of an attack to the figures of a result row."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qlight.evaluation.intervals import wilson_interval
from qlight.evaluation.records import Records
from qlight.files import whole_file

#: Columns of `images.csv`.
CSV_COLUMNS = (
    *("loader", "index", "label", "clean_prediction", "adversarial_prediction", "success", "l2", "linf"),
    *("queries", "forwards", "gradients", "iterations", "c"),
)


def figures(records: Records) -> dict[str, Any]:
    """Accuracies with their 95 % Wilson intervals, mean distortions (section 4.3) and counts, as `ResultRow` names them.

    Sums run in the order of the images, so they do not depend on batches, processes or interruptions.
    """
    images = len(records)
    right = records.clean_prediction == records.label
    fooled = records.adversarial_prediction != records.label
    flipped = right & fooled
    correct, resisting, still = int(right.sum()), int((~fooled).sum()), int((right & ~fooled).sum())
    low, high = wilson_interval(resisting, images)
    clean_low, clean_high = wilson_interval(correct, images)
    still_low, still_high = wilson_interval(still, correct)
    return {
        "images": images,
        "clean_accuracy": correct / images,
        "clean_accuracy_low": clean_low,
        "clean_accuracy_high": clean_high,
        "adversarial_accuracy": resisting / images,
        "adversarial_accuracy_low": low,
        "adversarial_accuracy_high": high,
        "correct": correct,
        "adversarial_accuracy_of_correct": still / correct if correct else None,
        "adversarial_accuracy_of_correct_low": still_low if correct else None,
        "adversarial_accuracy_of_correct_high": still_high if correct else None,
        "successes": int(fooled.sum()),
        "mean_l2": _mean(records.l2, fooled),
        "mean_linf": _mean(records.linf, fooled),
        "flipped": int(flipped.sum()),
        "mean_l2_flipped": _mean(records.l2, flipped),
        "mean_linf_flipped": _mean(records.linf, flipped),
        "queries": int(records.queries.sum()),
        "forwards": int(records.forwards.sum()),
        "gradients": int(records.gradients.sum()),
        "seconds": None if np.isnan(records.seconds).any() else float(records.seconds.sum()),
    }


def _mean(values: np.ndarray, chosen: np.ndarray) -> float | None:
    return float(values[chosen].sum() / chosen.sum()) if chosen.any() else None


def save_images_csv(path: Path, attacks: Mapping[str, Records]) -> None:
    """Write one line an attack and image; a cell is empty where the attack does not say."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("attack", *CSV_COLUMNS))
        for attack, records in attacks.items():
            columns = {name: getattr(records, name).tolist() for name in CSV_COLUMNS}
            columns["success"] = [int(value) for value in columns["success"]]
            columns["iterations"] = ["" if value < 0 else value for value in columns["iterations"]]
            columns["c"] = ["" if value != value else value for value in columns["c"]]
            for name in ("queries", "forwards", "gradients"):
                columns[name] = [value if own else "" for value, own in zip(columns[name], records.counted_singly, strict=True)]
            writer.writerows((attack, *row) for row in zip(*columns.values(), strict=True))
