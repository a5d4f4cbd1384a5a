"""Checkpoints are untrusted: what Lightning writes is read, code is not run, and all else is one sentence."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.evaluation import file_sha256, read_checkpoint
from tests.evaluation.helpers import QUIET, loader, random_images, trainer

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]


class Small(L.LightningModule):
    """Trains one layer."""

    def __init__(self, width: float = 0.25, weight_bit_width: int = 1, gradient_bit_width: int | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(192, 10)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)}


@pytest.mark.filterwarnings("ignore:.*val_dataloader", "ignore:.*smaller than the logging interval")
def test_a_checkpoint_of_lightning_is_read_with_its_callbacks(tmp_path: Path) -> None:
    callbacks = [
        ModelCheckpoint(tmp_path / "checkpoints", monitor="loss", save_last=True, save_top_k=2),
        EarlyStopping("loss"),
        LearningRateMonitor(),
        Timer(),
    ]
    fit = trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=True, logger=CSVLogger(tmp_path / "logs"))
    module = Small()
    fit.fit(module, loader(random_images(8), torch.arange(8)))
    by_hand = tmp_path / "checkpoints" / "by_hand.ckpt"
    fit.save_checkpoint(by_hand)
    paths = list((tmp_path / "checkpoints").glob("*.ckpt"))
    assert len(paths) == 4
    for path in paths:
        found = read_checkpoint(path)
        assert found["hyper_parameters"] == {"width": 0.25, "weight_bit_width": 1, "gradient_bit_width": None}
        assert len(found["callbacks"]) == 3
        assert found["optimizer_states"]
    for name, value in module.state_dict().items():
        assert torch.equal(read_checkpoint(by_hand)["state_dict"][name], value)


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    assert file_sha256(str(path)) == file_sha256(path)


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


WHOLE = {"state_dict": {"w": torch.zeros(3)}, "hyper_parameters": {}}


def write(path: Path, what: str) -> None:
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "random bytes":
        path.write_bytes(bytes(range(256)) * 40)
    elif what == "text":
        path.write_text("state_dict: hyper_parameters\n" * 20)
    elif what == "truncated":
        torch.save(WHOLE, path)
        path.write_bytes(path.read_bytes()[:-200])
    elif what == "another zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x_train.npy", b"1234")
    elif what == "half a pickle":
        path.write_bytes(pickle.dumps({"state_dict": {}})[:-5])
    elif what == "code":
        torch.save({**WHOLE, "evil": Evil(path.parent / "ran")}, path)
    elif what == "code in a plain pickle":
        path.write_bytes(pickle.dumps(Evil(path.parent / "ran"), protocol=2))
    elif what == "object":
        torch.save({**WHOLE, "path": Path("x")}, path)
    else:
        torch.save(
            {
                "tensor": torch.zeros(3),
                "no state_dict": {"hyper_parameters": {}},
                "no hyper_parameters": {"state_dict": {}},
                "weights alone": {"w": torch.zeros(3)},
                "state_dict a list": {"state_dict": [], "hyper_parameters": {}},
            }[what],
            path,
        )


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "there is no"),
        ("folder", "is a folder"),
        ("empty", "is not one or is damaged (0 bytes)"),
        ("random bytes", "is not one or is damaged"),
        ("text", "is not one or is damaged"),
        ("truncated", "is not one or is damaged"),
        ("another zip", "is not one or is damaged"),
        ("half a pickle", "is not one or is damaged"),
        ("code", "mkdir, which could run code"),
        ("code in a plain pickle", "mkdir, which could run code"),
        ("object", "pathlib.Posix"),
        ("tensor", "holds a Tensor"),
        ("no state_dict", "to hold 'state_dict'"),
        ("no hyper_parameters", "to hold 'hyper_parameters'"),
        ("weights alone", "to hold 'state_dict'"),
        ("state_dict a list", "to hold 'state_dict'"),
    ],
)
def test_anything_else_is_one_sentence_and_runs_nothing(tmp_path: Path, what: str, words: str) -> None:
    path = tmp_path / "a.ckpt"
    if what != "missing":
        write(path, what)
    with pytest.raises(InputError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert words in message, message
    assert message.startswith("Expected `checkpoint`")
    assert str(path) in message
    assert "\n" not in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_a_hash_needs_a_file(tmp_path: Path, what: str) -> None:
    if what == "folder":
        write(tmp_path / "a.ckpt", what)
    with pytest.raises(InputError, match="`checkpoint` to be a file"):
        file_sha256(tmp_path / "a.ckpt")
