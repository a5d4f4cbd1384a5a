"""What networks predict for examples that were crafted elsewhere; each answer is kept, so that it is asked for once."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from qlight.errors import InputError
from qlight.evaluation.analysis.examples import Examples
from qlight.evaluation.analysis.networks import Network
from qlight.evaluation.batches import Images
from qlight.evaluation.diagnostics.subject import forward
from qlight.evaluation.metrics import distortion
from qlight.evaluation.model_checks import check_logits
from qlight.evaluation.records import Records
from qlight.evaluation.results import versions
from qlight.files import whole_file

#: where an analysis keeps its answers, below its own folder
JUDGED = "judged"
#: images in a forward pass: always as many, so that a resumed analysis sees the same roundings
ROWS = 128


class Judge:
    """Networks' predictions on the clean images of a test set and on adversarial ones.

    Args:
        images: the clean images, all that examples may be of; on the CPU.
        folder: where answers are kept, named by the hashes of network and images; made when something is written.
        device: where networks run.
        known: folders of other judges, see `judged_in`; an answer that is there is kept here too.
    """

    def __init__(self, images: Images, folder: Path, device: torch.device | str = "cpu", known: Iterable[Path] = ()) -> None:
        self.images, self.folder, self.device, self.known = images, folder, torch.device(device), tuple(known)
        self._row = {number: row for row, number in enumerate(images.index.tolist())}
        if len(self._row) != len(images.labels):
            raise InputError("Expected `images` with an index of their own each, but some come twice; change the data module.")
        content = images.images.contiguous().numpy().tobytes()
        self._sha256 = hashlib.sha256(content + images.labels.numpy().tobytes()).hexdigest()

    def clean(self, network: Network) -> np.ndarray:
        """Predicted classes of the clean images: int64, N."""
        path = self._path(network, self._sha256)
        found = self._kept(path, ("prediction",), len(self.images.labels))
        if found is None:
            found = {"prediction": self._predicted(network, self.images.images, self.images.labels)}
            _write(path, found)
        return found["prediction"]

    def on(self, network: Network, examples: Examples, crafted: Records | None = None) -> Records:
        """The records of `examples` as they are on `network`: its predictions, and the distances of the images that it sees.

        Args:
            network: the target; one of 8-bit pixels sees rounded images.
            examples: crafted on any network.
            crafted: what `examples.load()` gives, if it is at hand.

        Raises:
            InputError: the examples are of other images than `images`.
        """
        crafted = examples.load() if crafted is None else crafted
        rows = self._rows(crafted, examples)
        path = self._path(network, examples.sha256)
        found = self._kept(path, ("prediction", "l2", "linf"), len(rows))
        if found is None:
            clean, adversarial = self.images.images[rows], torch.from_numpy(crafted.adversarial)
            if network.attacked.rounded is not None:
                clean, adversarial = network.attacked.rounded(clean), network.attacked.rounded(adversarial)
            found = {
                "prediction": self._predicted(network, adversarial, self.images.labels[rows]),
                "l2": distortion(clean, adversarial, 2).numpy(),
                "linf": distortion(clean, adversarial, float("inf")).numpy(),
            }
            _write(path, found)
        return replace(
            crafted,
            clean_prediction=self.clean(network)[rows],
            adversarial_prediction=found["prediction"],
            success=found["prediction"] != crafted.label,
            l2=found["l2"],
            linf=found["linf"],
        )

    def _path(self, network: Network, sha256: str) -> Path:
        return self.folder / f"{network.identity[:16]}-{sha256[:16]}.safetensors"

    def _kept(self, path: Path, names: tuple[str, ...], count: int) -> dict[str, np.ndarray] | None:
        """An answer on so many images, of this judge or of another; None where there is none."""
        for folder in (self.folder, *self.known):
            found = _read(folder / path.name, names)
            if found is not None and len(found["prediction"]) == count:
                if folder != self.folder:
                    _write(path, found)
                return found
        return None

    def _predicted(self, network: Network, images: Tensor, labels: Tensor) -> np.ndarray:
        network.module.to(self.device)
        with network.view() as view:
            logits = forward(view, images.to(self.device), ROWS).cpu()
        check_logits(logits, images, labels)
        return logits.argmax(1).numpy()

    def _rows(self, crafted: Records, examples: Examples) -> np.ndarray:
        """Where the images of records stand among the clean ones."""
        rows = np.array([self._row.get(number, -1) for number in crafted.index.tolist()], np.int64)
        if (rows < 0).any() or (crafted.loader != 0).any() or (self.images.labels.numpy()[rows] != crafted.label).any():
            raise InputError(
                f"Expected examples of these test images, but those of {examples.attack} in {str(examples.folder)!r} are of others; "
                "give the same data, or leave that folder out."
            )
        wrong = [row for row, checksum in zip(rows, crafted.clean_checksum, strict=True) if self._checksum(row) != checksum]
        if wrong:
            raise InputError(
                f"Expected examples of these test images, but image {int(self.images.index[wrong[0]])} is another one in "
                f"{str(examples.folder)!r}; give the same data, or leave that folder out."
            )
        return rows

    def _checksum(self, row: int) -> int:
        return zlib.crc32(self.images.images[row].contiguous().numpy().tobytes())


def judged_in(folders: Iterable[Path]) -> list[Path]:
    """Where analyses, whose `out` folders these are, kept answers that would be the same now: with the same versions of everything."""
    found = [folder for folder in folders if (folder / JUDGED).is_dir()]
    return [folder / JUDGED for folder in found if any(_versions(path) == versions() for path in folder.glob("*.json"))]


def _versions(report: Path) -> Any:
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("versions") if isinstance(found, dict) else None


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """What is kept; None where nothing usable is."""
    try:
        found = load_file(path)
    except (OSError, SafetensorError):
        return None
    return {name: found[name] for name in names} if set(names) <= set(found) else None


def _write(path: Path, columns: dict[str, np.ndarray]) -> None:
    with whole_file(path) as part:
        save_file({name: np.ascontiguousarray(column) for name, column in columns.items()}, part)
