"""The steps of a study that compare what is deployed: 8-bit pixels beside real ones, and the RTL beside the integer graph."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qlight.errors import InputError
from qlight.evaluation.batches import first_images
from qlight.evaluation.records import RecordFolder, Records
from qlight.hardware import write_build
from qlight.intgraph import Graph, logits
from qlight.study.steps import GRAPH, data_module, write_json
from qlight.targets import PackedEngine
from qlight.targets.pixels import to_pixels

REVISION = 1
PIXELS, RTLSIM = "pixels.json", "rtlsim.json"
#: what the rows of `RTLSIM` call clean images
CLEAN = "none"


def pixels(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """What rounding to 8 bits changes, of one attack: a row a network.

    Each of ``options["names"]`` has two of the needs, the attack on the network and the attack on its graph.

    Raises:
        InputError: the examples of an attack are not there, only their numbers.
    """
    places = list(needs.values())
    rows = []
    for number, name in enumerate(options["names"]):
        one, other = (_records(place, options["attack"]) for place in places[2 * number : 2 * number + 2])
        rows.append({"network": name, "images": len(one), **_rounding(one, other)})
    write_json(folder / PIXELS, {"rows": rows})


def _records(place: Path, attack: str) -> Records:
    """What an attack left, with its images."""
    records = RecordFolder(place).load(attack)
    if records is None:
        raise InputError(
            f"Expected {str(place)!r} to hold the images of {attack}, but it was imported as numbers; remove "
            f"{str(place.parent)!r}, so that the attack runs here."
        )
    return records


def _rounding(one: Records, other: Records) -> dict[str, float | None]:
    levels = np.rint(one.adversarial.astype(np.float64) * 255)
    same = (levels == np.rint(other.adversarial.astype(np.float64) * 255)).reshape(len(one), -1).all(1)
    moved = np.sqrt(((levels / 255 - one.adversarial) ** 2).reshape(len(one), -1).sum(1))
    alike = (one.adversarial_prediction == other.adversarial_prediction)[same]
    return {
        "clean_alike": float((one.clean_prediction == other.clean_prediction).mean()),
        "rounding": float(moved.mean()),
        "l2": float(one.l2.mean()),
        "same": float(same.mean()),
        "alike": float(alike.mean()) if len(alike) else None,
    }


def rtlsim(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """The accelerator of a graph, the first need, in simulation: clean images, and those that attacks on the graph, the other needs, made.

    Every accumulator is compared with the packed engine's.

    Raises:
        InputError: the examples of an attack are not there, only their numbers.
    """
    from qlight.targets import RtlSimEngine

    place, *attacked = needs.values()
    clean = first_images(data_module(options["data"], limit=options["images"]), options["images"])
    asked = {CLEAN: (clean.images, clean.labels.numpy())}
    for name, where in zip(options["attacks"], attacked, strict=True):
        records = _records(where, name)
        asked[name] = torch.from_numpy(records.adversarial[: options["images"]]), records.label[: options["images"]]
    graph = Graph.load(place / GRAPH)
    reference, rows = PackedEngine(graph, threads=1), []
    with tempfile.TemporaryDirectory() as build:
        geometry = write_build(graph, Path(build) / "rtl").geometry_hash
        engine = RtlSimEngine(Path(build) / "rtl", threads=1)
        for name, (images, labels) in asked.items():
            seen = to_pixels(images, graph.input.shape).numpy()
            expected, found = reference(seen), engine(seen)
            right = [int((logits(graph, sums).argmax(1) == labels).sum()) for sums in (expected, found)]
            equal = int((expected == found).all(1).sum())
            rows.append({"attack": name, "images": len(seen), "equal": equal, "packed_correct": right[0], "correct": right[1]})
    write_json(folder / RTLSIM, {"graph_hash": graph.content_hash, "geometry_hash": geometry, "rows": rows})
