"""The adversarial examples of a source network: found in folders of earlier evaluations, or crafted now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer

from qlight.attacks import AttackSuite
from qlight.evaluation.analysis.networks import Network, settings
from qlight.evaluation.checkpoint import file_sha256
from qlight.evaluation.manifest import NAME, Manifest
from qlight.evaluation.records import RecordFolder, Records, file_name
from qlight.evaluation.runner import evaluate, evaluation_manifest

#: where an analysis keeps the folders of its sources, below its own
CRAFTED = "crafted"
#: what an image's adversarial example depends on beside the attack itself
_CONDITIONS = ("weights_sha256", "model", "data", "batches", "seed", "versions", "target", "graph_hash")


@dataclass(frozen=True)
class Examples:
    """The examples that one attack crafted on one network, in a file.

    Attributes:
        source: name of the network.
        attack: label of the attack.
        folder: of the evaluation that made them.
        sha256: of their file: images, predictions and distances; the same in every run.
    """

    source: str
    attack: str
    folder: Path
    sha256: str

    def load(self) -> Records:
        """Read them."""
        records = RecordFolder(self.folder).load(self.attack)
        assert records is not None
        return records


def crafted_on(
    trainer: Trainer,
    source: Network,
    suite: AttackSuite,
    datamodule: LightningDataModule,
    *,
    out: Path,
    seed: int = 0,
    known: Iterable[Path] = (),
) -> dict[str, Examples]:
    """Examples of every attack of the suite on `source`, by label; what is not found in `known` folders or in `out` is crafted into `out`.

    A folder is used if it holds a finished attack of the same label, class and parameters on a network of the same class,
    hyperparameters and weights (by hash), with the same data, seed and versions: then the examples are what would be crafted here. On more
    than one process all must call this, and all get the result.

    Args:
        trainer: see `qlight.evaluation.evaluate`.
        source: the network.
        suite: the attacks.
        datamodule: gives the test data.
        out: folder below which each source has one of its own; an interrupted call goes on where it was.
        seed: of the attacks' random numbers.
        known: folders of evaluations (`python -m qlight attack --out FOLDER`), folders that hold such folders, or `out` folders of other
            analyses, where these keep what they crafted.

    Raises:
        InputError: an attack cannot run on this network; see `evaluate`.
    """
    manifest = evaluation_manifest(trainer, source.module, suite, datamodule, checkpoint=source.checkpoint, seed=seed, label=source.name)
    own = out / f"{file_name(source.name)}-{_folder_sha256(manifest)[:8]}"
    wanted = _plain(manifest)
    found: dict[str, Examples] = {}
    for folder in [own, *_evaluations([out, *known])]:
        held = _held(folder)
        if held is None or any(held.get(name) != wanted[name] for name in _CONDITIONS):
            continue
        for spec in suite:
            path = RecordFolder(folder).path(spec.name)
            if spec.name not in found and held["attacks"].get(spec.name) == wanted["attacks"][spec.name] and path.is_file():
                found[spec.name] = Examples(source.name, spec.name, folder, file_sha256(path))
    # every process has looked before one of them writes
    trainer.strategy.barrier()
    missing = [spec for spec in suite if spec.name not in found]
    if missing:
        evaluate(
            trainer,
            source.module,
            AttackSuite(missing),
            datamodule,
            checkpoint=source.checkpoint,
            seed=seed,
            label=source.name,
            out=own,
        )
        trainer.strategy.barrier()
        for spec in missing:
            found[spec.name] = Examples(source.name, spec.name, own, file_sha256(RecordFolder(own).path(spec.name)))
    return {spec.name: found[spec.name] for spec in suite}


def _evaluations(folders: Iterable[Path]) -> Iterator[Path]:
    """These folders, evaluations one level below them, and what analyses crafted, in an order that does not depend on the file system."""
    for folder in folders:
        yield folder
        for pattern in (f"*/{NAME}", f"{CRAFTED}/*/{NAME}"):
            yield from sorted(path.parent for path in folder.glob(pattern))


def _held(folder: Path) -> dict[str, Any] | None:
    """What the manifest of a folder says; None where there is none that can be read."""
    try:
        held = _plain(Manifest(**json.loads((folder / NAME).read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return held if isinstance(held.get("attacks"), dict) else None


def _plain(manifest: Manifest) -> dict[str, Any]:
    """As JSON gives it back, so that two of them compare."""
    known = json.loads(json.dumps(asdict(manifest)))
    return {**known, "model": settings(known["model"])}


def _folder_sha256(manifest: Manifest) -> str:
    """Of all that `evaluate` wants its folder to be of: everything but the attacks."""
    shared = {name: value for name, value in asdict(manifest).items() if name != "attacks"}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
