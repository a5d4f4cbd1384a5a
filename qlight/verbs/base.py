"""What the verbs share: what they say and keep of a run, and options that several of them take."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lightning as L

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import read_checkpoint
from qlight.evaluation.analysis import Network
from qlight.evaluation.diagnostics import progress_bar
from qlight.evaluation.runner import describe
from qlight.files import whole_file
from qlight.models import Classifier
from qlight.models.checkpoint import load_weights
from qlight.verbs.networks import identities

#: below which folders of results are made
ROOT = "runs"


class VerbTrainer(L.Trainer):
    """Lightning's Trainer with what its verbs need."""

    #: the configuration of this run as YAML; the CLI sets it
    configuration: str | None = None

    def _say(self, text: str) -> None:
        if self.is_global_zero:
            print(text, flush=True)

    def _progress(self) -> AbstractContextManager[Any]:
        """The context of a function that shows how far a verb is; None where nothing is shown."""
        return progress_bar() if self.progress_bar_callback else contextlib.nullcontext()

    def _folder(
        self, verb: str, out: str | None, networks: Sequence[Network], datamodule: L.LightningDataModule | None, *more: Any
    ) -> Path:
        """Where the results go: `out`, or a folder named by a hash of `networks`, the data and ``more``: of all that they depend on."""
        if out is not None:
            return Path(out)
        known = [identities(networks), describe(datamodule), self.limit_test_batches, *more]
        digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=repr).encode()).hexdigest()
        folder = Path(self.default_root_dir) / verb / digest[:8]
        self._say(f"results in {folder}")
        return folder

    def _finish(self, found: Any, folder: Path, files: str) -> None:
        """Print what was found, and keep it with the configuration: ``files`` of ``folder``."""
        found.print()
        found.save(folder)
        self._save_configuration(folder)
        print(f"wrote {folder}: {files}")

    def _save_configuration(self, folder: Path) -> None:
        if self.configuration is not None:
            with whole_file(folder / "configuration.yaml") as part:
                part.write_text(self.configuration, encoding="utf-8")


def named_attacks(attacks: AttackSuite | None) -> AttackSuite:
    """The attacks that a verb cannot do without."""
    if attacks is None:
        raise InputError("Expected `--attacks` to name the attacks, but got none; for example --attacks FGSM,BIM.")
    return attacks


def loaded(model: Classifier, ckpt_path: str | None) -> Path:
    """Load the checkpoint's weights into `model`; its path."""
    if ckpt_path is None:
        raise InputError("Expected `ckpt_path` to be the checkpoint to attack, but got none; `fit` writes one.")
    path = Path(ckpt_path)
    load_weights(model, path, read_checkpoint(path))
    return path
