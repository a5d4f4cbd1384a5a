"""Two real processes under DDP: what each of them is shown."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from qlight.data import Batch

from .conftest import InMemory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec"),
    # `validation: 0`, as asked for.
    pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval"),
]


class Witness(LightningModule):
    """A linear layer that writes down, for each process, which images it was shown."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3072, 10)
        self.folder = folder
        self.seen: dict[str, list[list[int]]] = {"train": [], "test": [], "predict": []}

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.seen["train"].append(batch.index.tolist())
        return nn.functional.cross_entropy(self.layer(batch.images.flatten(1)), batch.labels)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        raise AssertionError("`validation` is 0, so there is nothing to validate on.")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen["test"].append(batch.index.tolist())

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen["predict"].append(batch.index.tolist())

    def _write(self) -> None:
        (self.folder / f"{self.trainer.state.fn}-{self.global_rank}.json").write_text(json.dumps(self.seen))
        torch.save(self.layer.state_dict(), self.folder / "weights.pt")

    def on_fit_end(self) -> None:
        self._write()

    def on_test_end(self) -> None:
        self._write()

    def on_predict_end(self) -> None:
        self._write()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def run(folder: Path, verb: str, **trainer: Any) -> tuple[list[dict[str, list[list[int]]]], torch.Tensor]:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    folder.mkdir(exist_ok=True)
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    module = InMemory(batch_size=8, eval_batch_size=8, validation=0, augment=True, flip=True)
    launched = Trainer(accelerator="cpu", max_epochs=2, default_root_dir=folder, **options, **trainer)
    getattr(launched, verb)(Witness(folder), datamodule=module)
    seen = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return seen, torch.load(folder / "weights.pt", weights_only=True)["weight"]


def test_training_steps_are_those_of_one_process(tmp_path: Path) -> None:
    [alone], weight = run(tmp_path / "one", "fit", devices=1)
    shared, weight_shared = run(tmp_path / "two", "fit", devices=2, strategy="ddp_spawn")
    assert len(shared) == 2
    assert alone["train"] == [a + b for a, b in zip(shared[0]["train"], shared[1]["train"], strict=True)]
    torch.testing.assert_close(weight_shared, weight)


@pytest.mark.parametrize("verb", ["test", "predict"])
def test_evaluation_shows_every_image_once(tmp_path: Path, verb: str) -> None:
    """23 images: 12 for one process, 11 for the other."""
    shared, _ = run(tmp_path, verb, devices=2, strategy="ddp_spawn")
    counts = [sum(map(len, seen[verb])) for seen in shared]
    assert sorted(counts) == [11, 12]
    assert sorted(index for seen in shared for batch in seen[verb] for index in batch) == list(range(23))
