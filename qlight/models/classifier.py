"""The LightningModule that trains and evaluates any of the paper's networks (section 4.2)."""

from __future__ import annotations

import os
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from qlight.errors import InputError
from qlight.models.blocks import Precision
from qlight.models.registry import build_network
from qlight.models.view import copied_view
from qlight.quantization import Quantizer

CLASSES = 10


class Classifier(L.LightningModule):
    """One of the paper's nine networks for a data set, trained with cross-entropy, Adam and staircase decay.

    The learning rate in epoch e is ``learning_rate * decay_rate ** floor(e / decay_epochs)``. Latent weights are clipped to [-1, 1] after
    each update where the quantizer's method asks for it.

    Args:
        network: "cifar10" or "svhn": the left or right column of the paper's Tables 8 to 10.
        width: multiplier of the hidden channel counts, 0.125 to 1; 1 is the paper's network.
        weight_bit_width: 1 to 8, or 32 for real weights; the first and the last layer are always real.
        activation_bit_width: 1 to 8, or 32 for ReLU.
        gradient_bit_width: 1 to 8 quantizes activation gradients as DoReFa-Net does; null, as in the paper, does not.
        weight_quantizer: auto is the paper's method for the bit width; or binary_connect, binary_net, dorefa, xnor_net, twn, ttq,
            fixed_point, power_of_two, min_max.
        activation_quantizer: auto is the paper's method; or binary_net, dorefa.
        stochastic: binarize and round stochastically in training.
        learning_rate: Adam's initial step size.
        decay_rate: factor of the learning rate at each stair.
        decay_epochs: epochs between stairs.
        label_smoothing: share of the target spread over all classes; the paper uses none.
        compile: run the network through torch.compile (needs a C++ compiler on CPU).
    """

    def __init__(
        self,
        network: str = "cifar10",
        width: float = 1.0,
        weight_bit_width: int = 32,
        activation_bit_width: int = 32,
        gradient_bit_width: int | None = None,
        weight_quantizer: str = "auto",
        activation_quantizer: str = "auto",
        stochastic: bool = False,
        learning_rate: float = 1e-3,
        decay_rate: float = 0.5,
        decay_epochs: int = 10,
        label_smoothing: float = 0.0,
        compile: bool = False,  # noqa: A002 - the option is torch's name
    ) -> None:
        super().__init__()
        for name, number in (("learning_rate", learning_rate), ("decay_rate", decay_rate), ("decay_epochs", decay_epochs)):
            if not number > 0:
                raise InputError(f"Expected `{name}` to be above 0, but got {number!r}; the default trains the paper's network.")
        if not 0 <= label_smoothing < 1:
            raise InputError(f"Expected `label_smoothing` to be from 0 to below 1, but got {label_smoothing!r}; 0 is the paper's.")
        self.precision = Precision(
            weight_bit_width, activation_bit_width, gradient_bit_width, weight_quantizer, activation_quantizer, stochastic
        )
        self.save_hyperparameters()
        self.network = build_network(network, width, self.precision).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compile:
            self.network.compile()
        stages = ("train", "val", "test")
        self.accuracy = nn.ModuleDict({f"{stage}_acc": MulticlassAccuracy(CLASSES, average="micro") for stage in stages})
        self.mean_loss = nn.ModuleDict({f"{stage}_loss": MeanMetric() for stage in stages})

    @property
    def label(self) -> str:
        """What the paper calls the network: float, w1a1, w2a32, ..."""
        return self.precision.name

    def forward(self, images: Tensor) -> Tensor:
        """Logits N x 10 of images N x 3 x 32 x 32 in [0, 1]."""
        return self.network(images.to(memory_format=torch.channels_last))

    def evaluation_view(self, compile: bool = False) -> nn.Module:  # noqa: A002 - the option is torch's name
        """What attacks run on: a frozen copy with weights quantized once; see `qlight.models.view.evaluation_view`."""
        own_forward = type(self).forward is not Classifier.forward
        return copied_view(self if own_forward else self.network, compile)

    def _step(self, batch: Any, stage: str) -> Tensor:
        images, labels = batch[0], batch[1]
        logits = self(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.hparams["label_smoothing"] if stage == "train" else 0.0)
        accuracy, mean_loss = self.accuracy[f"{stage}_acc"], self.mean_loss[f"{stage}_loss"]
        assert isinstance(accuracy, Metric)
        assert isinstance(mean_loss, Metric)
        accuracy.update(logits.detach(), labels)
        mean_loss.update(loss.detach(), len(labels))
        self.log(f"{stage}_loss", mean_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{stage}_acc", accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self._step(batch, "train")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.precision.stochastic or self.precision.gradient_bit_width is not None:
            # a step's random numbers depend on seed, step and process alone, so that a resumed run draws what an unbroken one does
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
            torch.manual_seed(hash((seed, self.trainer.fit_loop.epoch_loop.total_batch_idx, self.trainer.global_rank)) & 0x7FFFFFFF)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._step(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """Logits, predicted classes and softmax confidences of a batch."""
        logits = self(batch[0])
        confidence, predicted = logits.softmax(1).max(1)
        return {"logits": logits, "predicted": predicted, "confidence": confidence}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
        staircase = torch.optim.lr_scheduler.StepLR(optimizer, self.hparams["decay_epochs"], self.hparams["decay_rate"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": staircase, "interval": "epoch"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # here and not in a batch-end hook: a checkpoint that a callback saves at batch end must hold the clipped weights
        clip_latent_weights(self.network)


def clip_latent_weights(network: nn.Module) -> None:
    """Clip to [-1, 1] the latent weights whose quantizer asks for it ([6], algorithm 1), in place."""
    for module in network.modules():
        quantizer = getattr(module, "weight_quantizer", None)
        if isinstance(quantizer, Quantizer) and quantizer.clip_latent:
            with torch.no_grad():
                module.weight.clamp_(-1, 1)  # type: ignore[union-attr, operator]
