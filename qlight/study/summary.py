"""What of an attack's records the report needs, in a few kilobytes: mean distortions, and how many images are lost at which price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qlight.evaluation.curves import still_right
from qlight.evaluation.intervals import mean_interval
from qlight.evaluation.records import Records

FILE = "summary.json"
NORMS = ("l2", "linf")
#: points of a curve that are nearer to each other than this share of the images cannot be told apart in a chart
_STEP = 1 / 400

#: [value, low, high] of a mean and its 95 % interval; None where there is nothing to average, low and high None where there is one value
Mean = Sequence[float | None] | None


def summary(records: Records) -> dict[str, Any]:
    """As JSON can hold it.

    Returns:
        "l2", "linf": means over the examples that succeed (section 4.3: the answer is wrong); "l2_turned", "linf_turned": over those of
        them whose image was right before; "lost": {"l2", "queries"}: [x, images that
        are right and not fooled at a price of x] by ascending x, thinned, "queries" None where the attack took gradients or does not count
        image by image; "queries": how many every image took, None where they differ or are not counted.
    """
    counted = bool(records.counted_singly.all()) and not records.gradients.any()
    counts = np.unique(records.queries)
    lost = {"l2": _lost(records, records.l2), "queries": _lost(records, records.queries) if counted else None}
    fooled = records.adversarial_prediction != records.label  # attacks that leave wrong images alone do not call those a success
    means = _means({name: getattr(records, name) for name in NORMS}, fooled, fooled & (records.clean_prediction == records.label))
    return {**means, "lost": lost, "queries": int(counts[0]) if counted and len(counts) == 1 else None}


def distortions(judged: Path, labels: np.ndarray, clean: np.ndarray, successes: int) -> dict[str, Mean]:
    """Mean norms over the examples that succeed on a network, from what its judge kept in a file.

    Args:
        judged: of `qlight.evaluation.analysis.judging.Judge`.
        labels: int64, N, of the images in ascending order of their indices.
        clean: int64, N: what that network says of them.
        successes: how many there must be.

    Returns:
        as of `summary`: "l2", "linf", "l2_turned", "linf_turned".
    """
    from safetensors.numpy import load_file

    found = load_file(judged)
    fooled = found["prediction"] != labels
    assert int(fooled.sum()) == successes, judged
    return _means(found, fooled, fooled & (clean == labels))


def _means(norms: Mapping[str, np.ndarray], fooled: np.ndarray, turned: np.ndarray) -> dict[str, Mean]:
    return {f"{name}{end}": _mean(norms[name][chosen]) for end, chosen in (("", fooled), ("_turned", turned)) for name in NORMS}


def _mean(values: np.ndarray) -> Mean:
    value, low, high = mean_interval(values.tolist())
    # the normal approximation does not know that no norm is below 0
    return None if value is None else [value, None if low is None else max(0.0, low), high]


def _lost(records: Records, price: np.ndarray) -> list[list[float]]:
    """How many images are still right after a price at which others are lost; one that is wrong from the start is lost at 0."""
    prices, left = still_right(records, price)
    points: list[list[float]] = [[0, int(left[0])]]
    for value, count in zip(prices[1:].tolist(), left[1:].tolist(), strict=True):
        if points[-1][1] - count >= _STEP * len(records) or value == prices[-1]:
            points.append([float(f"{value:.5g}"), count])
    return points
