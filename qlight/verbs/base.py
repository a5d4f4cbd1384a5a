"""What the verbs share: what they say and keep of a run, and options that several of them take."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lightning as L

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import read_checkpoint
from qlight.evaluation.diagnostics import progress_bar
from qlight.files import whole_file
from qlight.models import Classifier
from qlight.models.checkpoint import load_weights

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

    def _finish(self, folder: Path, files: str) -> None:
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
