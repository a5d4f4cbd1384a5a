"""What the tasks of a study measured, read from their folders: by the keys of the paper's numbers, and row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qlight.evaluation.diagnostics.sizes import ZOO_H
from qlight.study.claim import Key
from qlight.study.comparing import DISTORTIONS
from qlight.study.configuration import EPS
from qlight.study.estimate import Estimate, mean
from qlight.study.summary import FILE as SUMMARY
from qlight.study.summary import NORMS, Mean

#: agreement rows of Table 5 by their metric in `qlight.study.paper`
_OUTCOMES = {
    "correctly classified": "correctly",
    "misclassified": "misclassified",
    "successful": "successful",
    "unsuccessful": "unsuccessful",
}
#: what the ensemble's rows call attacks on all of its members
ADAPTIVE_TASK = "ensemble/adaptive"
#: bits of a layer of real values, in the rows of the quantization shift
_REAL = 32


@dataclass(frozen=True)
class Attacked:
    """One attack on one network: a row of results, with the intervals of its mean distortions.

    Attributes:
        target, preset, attack, network: of the task.
        row: of `qlight.evaluation.ResultRow`, as read from results.json.
        summary: of `qlight.study.summary`, as read from its file.
        accuracy, l2, linf: over all adversarial examples, and over those that succeed; None where none does.
        turned: the distances over images that the attack turned from right to wrong, by norm.
        folder: with the adversarial examples, unless it was imported.
    """

    target: str
    preset: str
    attack: str
    network: str
    row: Mapping[str, Any]
    summary: Mapping[str, Any]
    accuracy: Estimate
    l2: Estimate | None
    linf: Estimate | None
    turned: Mapping[str, Estimate | None]
    folder: Path

    @property
    def images(self) -> int:
        """Number of images attacked."""
        return int(self.row["images"])


class Results:
    """Results of a study.

    Args:
        folders: by the name of the task.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = dict(folders)

    def json(self, task: str, file: str) -> Any:
        """A file of a task; None where the study has no such task."""
        return json.loads((self.folders[task] / file).read_text(encoding="utf-8")) if task in self.folders else None

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Names, in the order of the study."""
        return tuple(name.partition("/")[2] for name in self.folders if name.startswith("network/"))

    def accuracy(self, network: str) -> tuple[int, int]:
        """Test images that a network has right, and their number."""
        found = self.json(f"network/{network}", "accuracy.json")
        return found["correct"], found["images"]

    @cached_property
    def _direct_attacks(self) -> tuple[Attacked, ...]:
        return tuple(_attacked(name, folder) for name, folder in self.folders.items() if name.startswith("attack/"))

    @cached_property
    def attacked(self) -> tuple[Attacked, ...]:
        """Every attack of a preset on a network or its graph."""
        return tuple(each for each in self._direct_attacks if each.preset != EPS)

    @cached_property
    def with_eps(self) -> tuple[Attacked, ...]:
        """The same attacks with other eps."""
        return tuple(each for each in self._direct_attacks if each.preset == EPS)

    def find(self, target: str, preset: str, attack: str, network: str) -> Attacked | None:
        """One of them; None where the study has none."""
        wanted = (target, preset, attack, network)
        return next((each for each in self.attacked if (each.target, each.preset, each.attack, each.network) == wanted), None)

    @cached_property
    def measured(self) -> dict[Key, Estimate]:
        """Numbers by the paper's keys: of the preset paper, attacks on the networks as trained."""
        found: dict[Key, Estimate] = {}
        for name in self.networks:
            found[Key("none", name, name, "acc")] = Estimate.rate(*self.accuracy(name))
        for key, estimate in (*self._transfer(), *self._direct(), *self._ensemble(), *self._alone()):
            if estimate is not None:
                found[key] = estimate
            else:
                found.pop(key, None)  # of fewer images, from a transfer's diagonal
        return found

    def _direct(self) -> Iterator[tuple[Key, Estimate | None]]:
        for each in self.attacked:
            if (each.target, each.preset) == ("torch", "paper"):
                names = each.attack, each.network, each.network
                for metric, estimate in (("acc", each.accuracy), ("l2", each.l2), ("linf", each.linf)):
                    yield Key(*names, metric), estimate
                yield Key(*names, "acc_right"), _estimate(each.row, "adversarial_accuracy_of_correct")
                for norm, estimate in each.turned.items():
                    yield Key(*names, f"{norm}_turned"), estimate

    def _transfer(self) -> Iterator[tuple[Key, Estimate | None]]:
        for task in self.folders:
            if task.startswith("transfer/"):
                for cell in self.json(task, "transfer.json")["cells"]:
                    if cell["reported"]:
                        names = cell["attack"], cell["source"], cell["target"]
                        yield Key(*names, "acc"), _estimate(cell, "adversarial_accuracy")
                        yield Key(*names, "acc_right"), _estimate(cell, "adversarial_accuracy_of_correct")
                for row in self.json(task, DISTORTIONS)["rows"]:
                    for metric in (f"{norm}{end}" for end in ("", "_turned") for norm in NORMS):
                        yield Key(row["attack"], row["source"], row["target"], metric), _mean(row[metric])

    @cached_property
    def ensembles(self) -> tuple[Any, ...]:
        """What is known of the ensemble by attack, without the adaptive one: from the fewest images to the most, as each also measures the
        clean test set."""
        tasks = [task for task in self.folders if task.startswith("ensemble/") and task != ADAPTIVE_TASK]
        return tuple(sorted((self.json(task, "ensemble.json") for task in tasks), key=lambda content: content["defences"][0]["images"]))

    def _ensemble(self) -> Iterator[tuple[Key, Estimate | None]]:
        known = [(False, content) for content in self.ensembles]
        if ADAPTIVE_TASK in self.folders:
            known.append((True, self.json(ADAPTIVE_TASK, "ensemble.json")))
        for attacked_itself, content in known:
            # of several attacks on the ensemble itself the strongest counts: the last one does
            defences = content["defences"]
            for row in sorted(defences, key=lambda row: -(row["defence_accuracy"] or 0.0)) if attacked_itself else defences:
                if not row["reported"]:
                    continue
                adaptive = row["source"] is not None and row["source"] not in content["members"]
                source = "ensemble" if row["source"] is None or adaptive else row["source"]
                attack = "none" if row["attack"] is None else "adaptive" if adaptive else row["attack"]
                if attacked_itself and not adaptive:
                    continue  # measured on more images by the other tasks
                yield Key(attack, source, "ensemble", "PR"), _estimate(row, "prediction_rate")
                if attack == "none":
                    yield Key(attack, source, "ensemble", "acc"), _estimate(row, "accuracy")
                else:
                    yield Key(attack, source, "ensemble", "d_acc"), _estimate(row, "defence_accuracy")
            for row in content["agreements"] if not attacked_itself else ():
                attack = "none" if row["examples"] == "test set" else row["examples"]
                yield Key(attack, row["source"], "others", _OUTCOMES[row["outcome"]]), _estimate(row, "same_outcome")

    def _alone(self) -> Iterator[tuple[Key, Estimate | None]]:
        for pair in (self.json("gradients", "gradients.json") or {"pairs": ()})["pairs"]:
            if pair["loss"] == "cross-entropy":
                for one, other in ((pair["first"], pair["second"]), (pair["second"], pair["first"])):
                    yield Key("CE", one, other, "cosine"), _estimate(pair, "cosine")
        spread = self.json("spread", "spread.json") or {"logits": (), "differences": ()}
        for row in spread["logits"]:
            yield Key("none", row["network"], row["network"], "logit_variance"), _estimate(row, "variance")
        for row in spread["differences"]:
            if row["h"] == ZOO_H:
                yield Key("none", row["network"], row["network"], "zero_differences"), _estimate(row, "zero")
                yield Key("none", row["network"], row["network"], "difference_99"), Estimate.exact(row["percentile_99"])
        yield from self._unchanged()

    def _unchanged(self) -> Iterator[tuple[Key, Estimate]]:
        """Means over the layers of a network, which see the same images."""
        layers: dict[Key, list[Estimate]] = {}
        for row in (self.json("shift", "shift.json") or {"layers": ()})["layers"]:
            found = _estimate(row, "unchanged")
            if found is not None and (row["kind"] == "activations" or row["bits"] < _REAL):
                metric = "unchanged" if row["kind"] == "activations" else "unchanged_sums"
                layers.setdefault(Key(row["attack"], row["source"], row["network"], metric), []).append(found)
        return ((key, mean(estimates)) for key, estimates in layers.items())


def _estimate(row: Mapping[str, Any], name: str) -> Estimate | None:
    """Of three fields of a row; None where there is no value."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return None
    return Estimate.exact(value) if low is None or high is None else Estimate(value, min(low, value), max(high, value))


def _attacked(task: str, folder: Path) -> Attacked:
    _, target, preset, attack, network = task.split("/")
    (row,) = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    accuracy = _estimate(row, "adversarial_accuracy")
    assert accuracy is not None
    turned = {norm: _mean(summary[f"{norm}_turned"]) for norm in NORMS}
    return Attacked(target, preset, attack, network, row, summary, accuracy, _mean(summary["l2"]), _mean(summary["linf"]), turned, folder)


def _mean(ends: Mean) -> Estimate | None:
    if ends is None:
        return None
    value, low, high = ends
    assert value is not None
    return Estimate.single(value) if low is None or high is None else Estimate(value, low, high)
