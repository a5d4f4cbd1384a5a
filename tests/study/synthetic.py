"""Result folders of a study that never ran: every number drawn, every file as the tasks write it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from qlight.evaluation.batches import first_images
from qlight.evaluation.figures import figures
from qlight.evaluation.intervals import wilson_interval
from qlight.evaluation.records import RecordFolder, Records
from qlight.study.claim import ENSEMBLE, FLOAT, FULL, WEIGHTS
from qlight.study.comparing import DISTORTIONS
from qlight.study.deployed import RTLSIM, pixels
from qlight.study.steps import data_module
from qlight.study.summary import FILE as SUMMARY
from qlight.study.summary import distortions, summary

NAMES = (FLOAT, *FULL, *WEIGHTS)
ATTACKS = ("FGSM", "BIM", "CW", "SPSA", "ZOO")
#: images of an attack
IMAGES = 6
DATA = {"class_path": "qlight.data.SyntheticDigits", "init_args": {"train_size": 20, "test_size": 12, "validation": 10}}
OPTIONS = {"name": "synthetic", "dataset": "CIFAR10", "data": DATA, "seed": 3}
_VERSIONS = {"qlight": "1", "torch": "2", "torchattacks": "3"}
_FREE = ("SPSA", "ZOO")
#: attacks whose mean distances are in claims: two images have one, so that it has an interval
_MEANS = ("CW", "ZOO")


class Study:
    """Folders of tasks below ``root``, as `write` of the report takes them.

    Args:
        names: networks.
        attacks: of the preset paper.
    """

    def __init__(self, root: Path, names: Iterable[str] = NAMES, attacks: Iterable[str] = ATTACKS) -> None:
        self.root, self.names, self.attacks = root, tuple(names), tuple(attacks)
        self.draw = np.random.default_rng(7)
        self.clean = first_images(data_module(DATA, limit=IMAGES), IMAGES)
        self.needs: dict[str, Path] = {}
        for name in self.names:
            self._json(
                f"network/{name}", "accuracy.json", {"correct": int(self.draw.integers(50, 100)), "images": 100, "sha256": _hash(name)}
            )
        for target in ("torch", "packed"):
            for attack in self.attacks:
                for name in self.names:
                    self._attack(f"attack/{target}/paper/{attack}/{name}", target, attack, name)
        for eps in (0.01, 0.1):
            for name in self.names:
                self._attack(f"attack/torch/eps/FGSM {eps:g}/{name}", "torch", f"FGSM {eps:g}", name, eps)
        for attack in self.attacks:
            self._transfer(attack)
            folder = self.root / f"pixels-paper-{attack}"
            folder.mkdir()
            places = {f"{t}/{n}": self.needs[f"attack/{t}/paper/{attack}/{n}"] for n in self.names for t in ("torch", "packed")}
            pixels({"names": self.names, "attack": attack}, places, folder)
            self.needs[f"pixels/paper/{attack}"] = folder
        row = {"attack": "FGSM", "images": 3, "equal": 3, "packed_correct": 2, "correct": 2}
        content = {"graph_hash": _hash("graph"), "geometry_hash": _hash("geometry"), "rows": [row | {"attack": "none"}, row]}
        self._json(f"rtlsim/{self.names[0]}", RTLSIM, content)
        self._ensembles()
        self._analyses()

    def _json(self, task: str, file: str, content: Any) -> None:
        folder = self.root / task.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(content))
        self.needs[task] = folder

    def _attack(self, task: str, target: str, attack: str, name: str, eps: float = 0.03) -> None:
        clean, count = self.clean, IMAGES
        labels = clean.labels.numpy()
        adversarial = np.clip(clean.images.numpy() + self.draw.uniform(-0.03, 0.03, clean.images.shape), 0, 1).astype(np.float32)
        if target == "packed":
            adversarial = (np.rint(adversarial * 255) / 255).astype(np.float32)
        change = (adversarial - clean.images.numpy()).reshape(count, -1)
        said = (labels + (self.draw.random(count) < 0.6)) % 10
        counts = self.draw.integers(1, 500, count)
        before = (labels + (self.draw.random(count) < 0.2)) % 10
        if attack in _MEANS:
            said[:2], before[:2] = (labels[:2] + 1) % 10, labels[:2]
        records = Records(
            loader=np.zeros(count, np.int64),
            index=clean.index.numpy(),
            label=labels,
            clean_prediction=before,
            adversarial_prediction=said,
            success=(said != labels) & ((before == labels) | (attack not in _FREE)),  # these return such an image as it is
            l2=np.linalg.norm(change, axis=1).astype(np.float64),
            linf=np.abs(change).max(1).astype(np.float64),
            queries=counts,
            forwards=counts,
            gradients=np.zeros(count, np.int64) if attack in _FREE else counts,
            counted_singly=np.ones(count, bool),
            iterations=np.full(count, -1, np.int64),
            c=np.full(count, np.nan),
            clean_checksum=np.zeros(count, np.uint32),
            seconds=np.zeros(count),
            adversarial=adversarial,
        )
        kappa = {"kappa": 0.0} if attack in ("CW", "ZOO") else {}
        row = {name: value for name, value in figures(records).items() if name != "seconds"}
        row |= {"label": name, "model": {"init_args": {"width": 0.25}}, "data": DATA, "attack": attack, "class_path": f"x.{attack}"}
        row |= {"parameters": {"eps": eps, **kappa}, "seed": 3, "target": target, "versions": _VERSIONS}
        row |= {"graph_hash": _hash(name) if target == "packed" else None}
        self._json(task, "results.json", [row])
        folder = RecordFolder(self.needs[task])
        folder.append(attack, records)
        folder.finish(attack)
        self._json(task, SUMMARY, summary(records))

    def _transfer(self, attack: str) -> None:
        cells, rows = [], []
        labels = self.clean.labels.numpy()
        task = f"transfer/{attack}"
        judged = self.root / task.replace("/", "-") / "judged"
        judged.mkdir(parents=True)
        before = {name: (labels + (self.draw.random(IMAGES) < 0.2)) % 10 for name in self.names}
        for source in self.names:
            for target in self.names:
                wrong, right = self.draw.random(IMAGES) < 0.5, before[target] == labels
                wrong[:2] |= attack in _MEANS
                norms = {name: self.draw.uniform(0.1, 2.0, IMAGES) for name in ("l2", "linf")}
                ours, theirs = _hash(target), _hash(f"{attack} {source}")
                columns = {"prediction": (labels + wrong) % 10, **norms}
                save_file(columns, judged / f"{ours[:16]}-{theirs[:16]}.safetensors")
                means = {
                    f"mean_{name}{end}": float(value[chosen].mean()) if chosen.any() else None
                    for name, value in norms.items()
                    for end, chosen in (("", wrong), ("_flipped", wrong & right))
                }
                cell = {"attack": attack, "source": source, "target": target, "kappa": 5.0 if attack == "CW" else None, "reported": True}
                cell |= {"images": IMAGES, "successes": int(wrong.sum()), "target_sha256": ours, "examples_sha256": theirs, **means}
                cell |= {"correct": int(right.sum()), "flipped": int((wrong & right).sum())}
                cell |= _share("adversarial_accuracy_of_correct", int((~wrong & right).sum()), int(right.sum()))
                cells.append(cell | _share("adversarial_accuracy", int((~wrong).sum()), IMAGES))
                kept = distortions(judged / f"{ours[:16]}-{theirs[:16]}.safetensors", labels, before[target], int(wrong.sum()))
                rows.append({"attack": attack, "source": source, "target": target} | kept)
        self._json(task, "transfer.json", {"cells": cells, "data": DATA})
        self._json(task, DISTORTIONS, {"rows": rows})

    def _ensembles(self) -> None:
        members = [name for name in ENSEMBLE if name in self.names]
        for attack, images in [(attack, 200 - 10 * number) for number, attack in enumerate(self.attacks) if attack != "ZOO"]:
            defences, agreements = [self._defence(None, None, images)], []
            for source in members:
                defences.append(self._defence(source, attack, images))
                outcomes = [
                    ("test set", "correctly classified"),
                    ("test set", "misclassified"),
                    (attack, "successful"),
                    (attack, "unsuccessful"),
                ]
                for examples, outcome in outcomes:
                    row = {"source": source, "examples": examples, "outcome": outcome, "images": images}
                    agreements.append(row | _share("same_outcome", int(self.draw.integers(0, images)), images))
            content = {
                "members": dict.fromkeys(members, "0"),
                "m": 4,
                "attacks": {attack: {}},
                "defences": defences,
                "agreements": agreements,
            }
            self._json(f"ensemble/{attack}", "ensemble.json", content)
        content = {"members": dict.fromkeys(members, "0"), "m": 4, "attacks": {"FGSM": {}}, "agreements": []}
        content["defences"] = [self._defence(None, None, 20), self._defence("all members", "AdaptivePGD", 20)]
        self._json("ensemble/adaptive", "ensemble.json", content)

    def _defence(self, source: str | None, attack: str | None, images: int) -> dict[str, Any]:
        predicted = int(self.draw.integers(1, images))
        row = {"source": source, "attack": attack, "m": 4, "reported": True, "images": images, "predicted": predicted}
        row |= {"kappa": 5.0 if attack == "CW" else None}
        row |= _share("prediction_rate", predicted, images) | _share("accuracy", int(self.draw.integers(0, predicted)), predicted)
        return row | _share("defence_accuracy", int(self.draw.integers(0, images)) if attack else None, images)

    def _analyses(self) -> None:
        pairs = []
        for loss in ("cross-entropy", "margin"):
            for place, first in enumerate(self.names):
                for second in self.names[place:]:
                    pair = {"loss": loss, "first": first, "second": second, "images": 9, "without_direction": 1}
                    pairs.append(pair | _between("cosine", float(self.draw.uniform(-0.2, 0.8)), 0.1))
        self._json("gradients", "gradients.json", {"pairs": pairs})
        logits, differences, layers = [], [], []
        for name in self.names:
            row = {"network": name, "images": 9, "accuracy": 0.5, "between_classes": 1.0, "between_images": 2.0}
            logits.append(row | _between("variance", 3.0, 0.5) | _between("ratio", 1.0, 0.1))
            numbers = {"median": 0.1, "percentile_99": 2.0, "largest": 3.0, "largest_gradient": None}
            differences.append({"network": name, "h": 1e-4, "images": 4, **numbers} | _between("zero", 0.5, 0.1))
            for source in self.names:
                for layer, kind in (("network.features.0.conv", "sums"), ("network.features.0.activation", "activations")):
                    row = {"source": source, "attack": "FGSM", "network": name, "layer": layer, "kind": kind, "bits": 2, "values": 7}
                    layers.append(row | {"images": 9, "change": 0.1} | _between("unchanged", 0.5, 0.2) | _between("fooled", 0.5, 0.2))
        self._json("spread", "spread.json", {"logits": logits, "differences": differences})
        self._json("shift", "shift.json", {"layers": layers})
        asked = {
            "name": "zero_differences",
            "figure": 0.5,
            "comparison": "<=",
            "threshold": 0.1,
            "status": "fail",
            "verdict": "Half are zero.",
        }
        content = {
            "images": 9,
            "correct": 8,
            "eps": 0.03,
            "verdict": "1 fails.",
            "diagnostics": [asked],
            "eps_curve": [[0.01, 0.2], [0.1, 0.9]],
        }
        self._json(f"diagnose/{self.names[-1]}", "diagnostics.json", content)


def _share(name: str, count: int | None, total: int) -> dict[str, float | None]:
    if count is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = wilson_interval(count, total)
    return {name: count / total, f"{name}_low": low, f"{name}_high": high}


def _between(name: str, value: float, half: float) -> dict[str, float]:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
