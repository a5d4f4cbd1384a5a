"""The verbs that a Trainer runs: Lightning's, and qlight's own, a file of this folder each or those that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor

from qlight.evaluation import save_predictions
from qlight.verbs.attack import AttackTrainer
from qlight.verbs.base import ROOT
from qlight.verbs.comparing import ComparingTrainer
from qlight.verbs.crossing import CrossingTrainer
from qlight.verbs.diagnose import DiagnoseTrainer
from qlight.verbs.export import ExportTrainer

__all__ = ["ROOT", "Trainer"]


class Trainer(AttackTrainer, DiagnoseTrainer, ExportTrainer, CrossingTrainer, ComparingTrainer):
    """Lightning's Trainer with qlight's verbs; ``predict`` also writes a file."""

    def predict(  # type: ignore[override]
        self, model: Any = None, dataloaders: Any = None, datamodule: Any = None, ckpt_path: str | None = None, out: str | None = None
    ) -> Any:
        """Write logits and predicted classes of the test split.

        Args:
            ckpt_path: the checkpoint to predict with.
            out: folder of predictions.npz; null is the run's folder.
        """
        batches = super().predict(model, dataloaders, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        save_predictions(self, cast(list[dict[str, Tensor]], batches or []), Path(out or self.log_dir or ROOT))
        return batches
