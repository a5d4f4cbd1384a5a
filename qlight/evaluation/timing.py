"""How long queries took, attack by attack, where a target says so (a board): apart from the results, which are the same in every run."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qlight.files import whole_file

TIMING_FILE = "timing.json"
Sums = dict[str, float]


class Timing:
    """Sums of a target's own counts while each attack ran on this process.

    Args:
        module: a target whose `timing()` gives sums since its start: images, batches, seconds of their round trips, device_seconds of these
            on the accelerator, waited_seconds before it, reconnects, and repeated images. Others are not timed.
    """

    def __init__(self, module: Any) -> None:
        self._read = getattr(module, "timing", None)
        self.sums: dict[str, Sums] = {}

    @contextlib.contextmanager
    def of(self, attack: str) -> Iterator[None]:
        """Add what the target counts inside to an attack's sums."""
        if self._read is None:
            yield
            return
        before, start = self._read(), time.perf_counter()
        try:
            yield
        finally:
            spent = {name: value - before[name] for name, value in self._read().items()}
            self.sums[attack] = added(self.sums.get(attack, {}), spent | {"attack_seconds": time.perf_counter() - start})


def added(one: Mapping[str, float], other: Mapping[str, float]) -> Sums:
    """Sums of both.

    >>> added({"images": 2}, {"images": 3, "batches": 1})
    {'images': 5, 'batches': 1}
    """
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def per_query(sums: Mapping[str, float]) -> dict[str, float] | None:
    """What a row shows of an attack's sums; None where nothing was asked.

    Returns:
        images and batches that the target was sent, milliseconds of a batch's round trip and of an image's share of it, of these on the
        accelerator, images a second of the attack, connections that were made anew, and images that were sent again.

    >>> per_query({"images": 100, "batches": 2, "seconds": 0.4, "device_seconds": 0.3, "attack_seconds": 0.5})["image_ms"]
    4.0
    """
    if not sums.get("images"):
        return None
    images = sums["images"]
    return {
        "images": images,
        "batches": sums["batches"],
        "batch_ms": round(1e3 * sums["seconds"] / sums["batches"], 6),
        "image_ms": round(1e3 * sums["seconds"] / images, 6),
        "device_ms": round(1e3 * sums["device_seconds"] / images, 6),
        "images_per_second": round(images / sums["attack_seconds"], 3) if sums["attack_seconds"] else 0.0,
        "reconnects": sums.get("reconnects", 0),
        "repeated": sums.get("repeated", 0),
    }


def kept(folder: Path, new: Mapping[str, Sums]) -> dict[str, Sums]:
    """The sums of a folder of results with those of this run added; written down where there are any."""
    path = folder / TIMING_FILE
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found = {str(name): {str(key): float(value) for key, value in sums.items()} for name, sums in held.items()}
    except (OSError, ValueError, AttributeError, TypeError):  # none, or not one: times are not worth an error
        found = {}
    for name, sums in new.items():
        found[name] = added(found.get(name, {}), sums)
    if new:
        with whole_file(path) as part:
            part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found
