"""A run that is killed and resumed ends with the weights of an unbroken run: a real Trainer, a tiny model."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from qlight.data import Batch
from qlight.errors import InputError

from .conftest import InMemory

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
]


class Tiny(LightningModule):
    """One linear layer, and the indices it was shown."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3072, 10)
        self.seen: list[list[int]] = []

    def _loss(self, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layer(batch.images.flatten(1)), batch.labels)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.seen.append(batch.index.tolist())
        return self._loss(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def fit(
    folder: Path, resume: str | None = None, saving: ModelCheckpoint | None = None, data: dict[str, Any] | None = None, **trainer: Any
) -> Tiny:
    """40 training images in global batches of 8: 5 steps an epoch."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model = Tiny()
    module = InMemory(**{"batch_size": 8, "augment": True, "flip": True, "validation": 10, **(data or {})})
    Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        default_root_dir=folder,
        callbacks=[saving] if saving else [],
        enable_checkpointing=saving is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        **trainer,
    ).fit(model, module, ckpt_path=resume)
    return model


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return fit(tmp_path_factory.mktemp("unbroken"), max_epochs=3)


def same(model: Tiny, unbroken: Tiny) -> bool:
    return torch.equal(model.layer.weight, unbroken.layer.weight) and torch.equal(model.layer.bias, unbroken.layer.bias)


def test_the_unbroken_run_sees_every_image_once_an_epoch_in_new_order(unbroken: Tiny) -> None:
    epochs = [list(itertools.chain(*unbroken.seen[start : start + 5])) for start in (0, 5, 10)]
    assert [len(set(epoch)) for epoch in epochs] == [40, 40, 40]
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize(("steps", "workers"), [(1, 0), (3, 0), (5, 0), (7, 0), (9, 0), (7, 2)])
def test_resume_after_a_kill(tmp_path: Path, unbroken: Tiny, steps: int, workers: int) -> None:
    """A checkpoint saved every so many steps, then a kill; with workers, which prefetch more than was used."""
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=steps, filename="saved")
    first = fit(tmp_path, saving=saving, max_steps=steps, data={"num_workers": workers})
    resumed = fit(tmp_path, str(tmp_path / "saved.ckpt"), max_epochs=3, data={"num_workers": workers})
    assert first.seen + resumed.seen == unbroken.seen
    assert same(resumed, unbroken)


@pytest.mark.parametrize("val_check_interval", [1.0, 2])
def test_resume_from_a_checkpoint_of_validation(tmp_path: Path, unbroken: Tiny, val_check_interval: int | float) -> None:
    saving = ModelCheckpoint(tmp_path, save_top_k=-1, save_on_train_epoch_end=False, filename="{step}")
    fit(tmp_path, saving=saving, max_epochs=2, val_check_interval=val_check_interval)
    saved = sorted(tmp_path.glob("*.ckpt"))
    assert len(saved) == (2 if val_check_interval == 1.0 else 4)
    for path in saved:
        assert same(fit(tmp_path, str(path), max_epochs=3, val_check_interval=val_check_interval), unbroken)


@pytest.mark.parametrize("steps", [3, 5, 8])
def test_a_run_that_max_steps_ended_goes_on_with_more(tmp_path: Path, unbroken: Tiny, steps: int) -> None:
    """Lightning counts the unfinished epoch as processed; the order of images must not jump to that of the next."""
    fit(tmp_path, saving=ModelCheckpoint(tmp_path, filename="saved"), max_steps=steps)
    resumed = fit(tmp_path, str(tmp_path / "saved.ckpt"), max_steps=15)
    assert resumed.seen == unbroken.seen[steps:]
    assert same(resumed, unbroken)


def test_resuming_twice(tmp_path: Path, unbroken: Tiny) -> None:
    fit(tmp_path, saving=ModelCheckpoint(tmp_path, filename="first"), max_steps=3)
    fit(tmp_path, str(tmp_path / "first.ckpt"), saving=ModelCheckpoint(tmp_path, filename="second"), max_steps=9)
    assert same(fit(tmp_path, str(tmp_path / "second.ckpt"), max_steps=15), unbroken)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"batch_size": 4}, ["`batch_size` = 8", "got 4"]),
        ({"seed": 1}, ["`seed` = 0", "got 1"]),
        ({"validation": 9}, ["`images` = 40", "got 41"]),
    ],
)
def test_other_data_in_mid_epoch_is_refused(tmp_path: Path, data: dict[str, Any], words: list[str]) -> None:
    fit(tmp_path, saving=ModelCheckpoint(tmp_path, every_n_train_steps=3, filename="saved"), max_steps=3)
    with pytest.raises(InputError) as caught:
        fit(tmp_path, str(tmp_path / "saved.ckpt"), max_epochs=3, data=data)
    assert all(word in str(caught.value) for word in words)


def test_overfitting_a_few_batches_still_works(tmp_path: Path) -> None:
    """Lightning then replaces the sampler by a sequential one."""
    with pytest.warns(UserWarning, match="overfit"):
        model = fit(tmp_path, max_epochs=2, overfit_batches=2)
    assert model.seen[:2] == model.seen[2:]
