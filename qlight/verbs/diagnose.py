"""The verb ``diagnose``: is it robustness, or are gradients masked?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import lightning as L

from qlight.errors import InputError
from qlight.evaluation import file_sha256, read_checkpoint
from qlight.evaluation.batches import first_images
from qlight.evaluation.diagnostics import Sizes, diagnose
from qlight.evaluation.runner import describe
from qlight.models import Classifier
from qlight.models.checkpoint import load_classifier
from qlight.verbs.base import VerbTrainer, loaded
from qlight.verbs.networks import named_places


class DiagnoseTrainer(VerbTrainer):
    """Lightning's Trainer with the verb ``diagnose``."""

    def diagnose(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        ckpt_path: str | None = None,
        images: int = 32,
        sources: str | None = None,
        eps: float = 0.03,
        sizes: Sizes | None = None,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Look for gradient masking: does the failure of an attack mean robustness?

        Args:
            ckpt_path: the checkpoint of the network to diagnose.
            images: how many images of the test split are used, the first ones.
            sources: checkpoints of other networks, separated by commas (name=path where two have the same name), to see whether attacks on
                them transfer better than direct ones.
            eps: radius of the l-infinity attacks, in pixel units.
            sizes: how much is measured.
            out: folder of diagnostics.json, .csv and .png; null is one below runs/diagnose named by the network and a hash.
            seed: of all random numbers.
        """
        path = loaded(model, ckpt_path)
        if images < 1:
            raise InputError(f"Expected `images` to be at least 1, but got {images}; 32 are enough to see masking.")
        assert datamodule is not None  # the parser asks for it
        places = _paths(sources)
        others = {name: load_classifier(other, read_checkpoint(other)) for name, other in places.items()}
        batch = first_images(datamodule, images)
        device = self.strategy.root_device
        model.eval().to(device)
        crafted_on = [(name, file_sha256(other)) for name, other in places.items()]
        known = f"{file_sha256(path)} {describe(datamodule)} {images} {crafted_on} {eps} {sizes} {seed}"
        digest = hashlib.sha256(known.encode()).hexdigest()
        folder = Path(self.default_root_dir) / "diagnose" / f"{model.label}-{digest[:8]}" if out is None else Path(out)
        with self._progress() as advance:
            diagnosis = diagnose(
                model,
                batch.images.to(device),
                batch.labels.to(device),
                index=batch.index,
                class_names=getattr(datamodule, "class_names", None),
                sources={name: source.to(device) for name, source in others.items()},
                eps=eps,
                seed=seed,
                sizes=sizes,
                label=model.label,
                on_progress=advance,
            )
        self._finish(diagnosis, folder, "diagnostics.json, diagnostics.csv, diagnostics.png")
        return diagnosis


def _paths(sources: str | None) -> dict[str, Path]:
    """Checkpoints by name; one that is given without has its stem for a name."""
    named: dict[str, Path] = {}
    for name, place in named_places(sources):
        path = Path(place).expanduser()
        name = name or path.stem
        if name in named:
            raise InputError(f"Expected `sources` with different names, but {name!r} comes twice; write name=path.")
        named[name] = path
    for path in named.values():
        if not path.is_file():
            raise InputError(f"Expected `sources` to be checkpoints, but there is no file {str(path)!r}; correct the path.")
    return named
