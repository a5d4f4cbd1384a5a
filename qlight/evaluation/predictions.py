"""What ``predict`` leaves behind: one .npz with logits, predicted classes and confidences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch import Tensor

from qlight.files import whole_file


def save_predictions(trainer: L.Trainer, batches: Sequence[dict[str, Tensor]], folder: Path) -> Path | None:
    """Write ``folder/predictions.npz`` (logits N x 10 float32, predicted N int64, confidence N float32) from rank zero; return its path.

    With several processes each holds its share of the images, and every rank writes ``predictions_<rank>.npz`` instead.
    """
    if not batches:
        return None
    joined = {name: torch.cat([batch[name] for batch in batches]).numpy() for name in ("logits", "predicted", "confidence")}
    name = "predictions.npz" if trainer.world_size == 1 else f"predictions_{trainer.global_rank}.npz"
    with whole_file(folder / name) as temporary, temporary.open("wb") as file:
        np.savez(file, logits=joined["logits"], predicted=joined["predicted"], confidence=joined["confidence"])
    print(f"wrote {folder / name}")
    return folder / name
