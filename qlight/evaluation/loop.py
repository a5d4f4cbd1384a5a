"""The evaluation loop: a suite of attacks on one network, over a test set, on as many processes as the Trainer has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DistributedSampler

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation.crafting import craft, derived_seed, require_gradients
from qlight.evaluation.metrics import AdversarialAccuracy, Cost, MeanDistortion, flipped, fooled
from qlight.evaluation.progress import show


@dataclass
class Examples:
    """The first images of an evaluation on the first process, for a picture; on the CPU.

    `images`, `labels`, `index` and `predictions` have length k; `adversarial` and `adversarial_predictions` hold one such tensor an attack.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    predictions: Tensor
    adversarial: dict[str, Tensor] = field(default_factory=dict)
    adversarial_predictions: dict[str, Tensor] = field(default_factory=dict)


class AttackMeter(nn.Module):
    """The metrics of one attack; add a batch with `update`, read plain numbers with `compute` (synchronized over processes)."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = AdversarialAccuracy()
        self.cost = Cost()
        self.distortions = nn.ModuleDict(
            {
                "l2": MeanDistortion(2),
                "linf": MeanDistortion(math.inf),
                "l2_flipped": MeanDistortion(2),
                "linf_flipped": MeanDistortion(math.inf),
            }
        )

    def update(self, clean: Tensor, adversarial: Tensor, labels: Tensor, clean_predictions: Tensor, predictions: Tensor) -> None:
        """Add one batch: images N x C x H x W, class indices N."""
        self.accuracy.update(predictions, labels)
        success, turned = fooled(predictions, labels), flipped(clean_predictions, predictions, labels)
        for name, metric in self.distortions.items():
            metric.update(clean, adversarial, turned if name.endswith("_flipped") else success)  # type: ignore[operator]

    def compute(self) -> dict[str, Any]:
        """The figures of a result row."""
        found = {name: metric.compute() for name, metric in self.distortions.items()}  # type: ignore[operator]
        cost = self.cost.compute()
        return {
            "adversarial_accuracy": self.accuracy.compute().item(),
            "successes": int(found["l2"]["count"]),
            "flipped": int(found["l2_flipped"]["count"]),
            **{f"mean_{name}": result["mean"].item() if int(result["count"]) else None for name, result in found.items()},
            "seconds": cost["seconds"].item(),
            "queries": int(cost["queries"]),
            "gradients": int(cost["gradients"]),
        }

    def reset(self) -> None:
        """Forget everything."""
        for metric in (self.accuracy, self.cost, *self.distortions.values()):
            metric.reset()  # type: ignore[operator]


class AttackEvaluation(LightningModule):
    """A network under a suite of attacks; give it to `Trainer.test`, or call `evaluate`.

    Every image of the test data is attacked (section 4.3), and counted once however many processes share the data. After the test,
    `figures` holds one dict an attack (on every process) and `examples` the first images (on the first process).

    Args:
        module: images N x C x H x W in [0, 1] -> logits N x classes.
        suite: the attacks.
        seed: random numbers of an attack are derived from it, the attack's label and the first index of a batch.
        keep: how many images, clean and adversarial, to keep in `examples`.
    """

    def __init__(self, module: nn.Module, suite: AttackSuite, *, seed: int = 0, keep: int = 8) -> None:
        super().__init__()
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"Expected `seed` to be an integer, but got {seed!r}; 0 is the default.")
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
            raise InputError(f"Expected `keep` to be 0 or a number of images, but got {keep!r}; 8 is the default.")
        self.module = module
        self.suite = AttackSuite(spec.seeded(derived_seed(seed, spec.name, 0) % 2**31) for spec in suite)
        self.seed = seed
        self.keep = keep
        self.clean = AdversarialAccuracy()  # on clean images it is the clean accuracy
        self.meters = nn.ModuleList(AttackMeter() for _ in self.suite)
        self.figures: list[dict[str, Any]] | None = None
        self.examples: Examples | None = None
        #: A file through which a spawned process gives figures and examples to the one that started it; None: not needed.
        self.handover: str | None = None
        self._attacks: list[Any] = []
        self._seen: dict[int, int] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the network."""
        return self.module(images)

    def on_test_start(self) -> None:
        """Bind the attacks to the network, where it is now."""
        require_gradients(torch.is_inference_mode_enabled())
        self._attacks = [spec.build(self.module) for spec in self.suite]
        self._seen = {}
        self.clean.reset()
        for meter in self.meters:
            meter.reset()  # type: ignore[operator]
        self.figures, self.examples = None, None

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Attack one batch, (images, labels) or (images, labels, index), with every attack of the suite."""
        images, labels, index = self._own_images(batch, dataloader_idx)
        if not len(labels):
            return
        predictions = self._predict(images, labels)
        self.clean.update(predictions, labels)
        running = [f"clean {float(self.clean.correct) / float(self.clean.total):.3f}"]
        kept = self._keep(images, labels, index, predictions)
        for spec, attack, meter in zip(self.suite, self._attacks, self.meters, strict=True):
            assert isinstance(meter, AttackMeter)
            show(self.trainer, " ".join([*running, spec.name]))
            seed = derived_seed(self.seed, spec.name, int(index[0]))
            adversarial, spent = craft(attack, self.module, images, labels, name=spec.name, seed=seed, index=index)
            adversarial_predictions = self._predict(adversarial, labels)
            meter.update(images, adversarial, labels, predictions, adversarial_predictions)
            meter.cost.update(spent.seconds, spent.queries, spent.gradients)
            # Of this process so far; the synchronized figures come at the end.
            running.append(f"{spec.name} {float(meter.accuracy.correct) / float(meter.accuracy.total):.3f}")
            if kept and self.examples is not None:
                for store, new in (
                    (self.examples.adversarial, adversarial),
                    (self.examples.adversarial_predictions, adversarial_predictions),
                ):
                    new = new[:kept].cpu()
                    store[spec.name] = torch.cat([store[spec.name], new]) if spec.name in store else new
        show(self.trainer, " ".join(running))

    def on_test_epoch_end(self) -> None:
        """Synchronize the metrics and log the accuracies."""
        clean = self.clean.compute().item()
        with self.clean.sync_context():
            images = int(self.clean.total)
        figures = [{"clean_accuracy": clean, "images": images, **meter.compute()} for meter in self.meters]  # type: ignore[operator]
        self.figures = figures
        accuracies = {f"adversarial_accuracy/{s.name}": f["adversarial_accuracy"] for s, f in zip(self.suite, figures, strict=True)}
        # Every process has the same values already; without sync_dist Lightning would warn that they may differ.
        self.log_dict({"clean_accuracy": clean, **accuracies}, sync_dist=True)

    def on_test_end(self) -> None:
        """Let go of the attacks, which hold the network; leave the outcome in `handover` where one is asked for."""
        self._attacks = []
        if self.handover is not None and self.trainer.is_global_zero:
            examples = None if self.examples is None else vars(self.examples)
            torch.save({"figures": self.figures, "examples": examples}, self.handover)

    def load_handover(self) -> None:
        """Take over what the first spawned process left in `handover`; nothing where it left nothing."""
        if self.handover is not None and Path(self.handover).is_file():
            left = torch.load(self.handover, weights_only=True)
            self.figures = left["figures"]
            self.examples = None if left["examples"] is None else Examples(**left["examples"])

    def _own_images(self, batch: Any, loader: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and indices of a batch, without the images that a distributed sampler repeats to fill up the last process.

        The j-th image that a sampler gives to process r of w stands at r + j w of all images; where that is past the end of the data, it
        is a repeated one.
        """
        images, labels, index = unpack(batch)
        rank, world = self.trainer.global_rank, self.trainer.world_size
        seen = self._seen.get(loader, 0)
        self._seen[loader] = seen + len(labels)
        position = rank + world * torch.arange(seen, seen + len(labels), device=labels.device)
        index = position if index is None else index
        sampler = self._sampler(loader)
        if isinstance(sampler, DistributedSampler):
            own = position < len(sampler.dataset)  # type: ignore[arg-type]
            if not bool(own.all()):
                return images[own], labels[own], index[own]
        return images, labels, index

    def _sampler(self, loader: int) -> Any:
        loaders = self.trainer.test_dataloaders
        one = loaders[loader] if isinstance(loaders, list | tuple) else loaders
        return getattr(one, "sampler", None)

    def _predict(self, images: Tensor, labels: Tensor) -> Tensor:
        """Predicted classes, N; checks the network's output once more than a crash deep in an attack would."""
        with torch.no_grad():
            logits = self.module(images)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(f"Expected the network to return logits of shape {len(images)} x classes, but got {got}; attack a classifier.")
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                "Expected the network to return finite logits, but got NaN or infinity; train it again or check its checkpoint."
            )
        if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
            raise InputError(
                f"Expected `labels` from 0 to {logits.shape[1] - 1}, but got {int(labels.min())} to {int(labels.max())}; "
                "relabel or drop these images."
            )
        return logits.argmax(dim=1)

    def _keep(self, images: Tensor, labels: Tensor, index: Tensor, predictions: Tensor) -> int:
        """Keep the first images for a picture; how many of this batch."""
        have = 0 if self.examples is None else len(self.examples.labels)
        new = min(self.keep - have, len(labels))
        if new > 0:
            parts = [tensor[:new].cpu() for tensor in (images, labels, index, predictions)]
            if self.examples is None:
                self.examples = Examples(parts[0], parts[1], parts[2], parts[3])
            else:
                old = self.examples
                joined = [torch.cat(pair) for pair in zip((old.images, old.labels, old.index, old.predictions), parts, strict=True)]
                old.images, old.labels, old.index, old.predictions = joined
        return new


def unpack(batch: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Images, labels and, where the batch has them, indices.

    Raises:
        InputError: the batch is something else, or its images are not floats in [0, 1].
    """
    if not isinstance(batch, list | tuple) or len(batch) < 2 or not all(isinstance(part, Tensor) for part in batch[:3]):
        raise InputError(
            f"Expected a batch of (images, labels) or (images, labels, index), but got a {type(batch).__name__}; change the loader."
        )
    images, labels = batch[0], batch[1]
    if not images.is_floating_point() or images.ndim < 2:
        raise InputError(
            f"Expected `images` to be floats N x C x H x W, but got {images.dtype} {tuple(images.shape)}; divide pixels by 255."
        )
    if labels.ndim != 1 or len(labels) != len(images) or labels.is_floating_point():
        raise InputError(
            f"Expected `labels` to be {len(images)} integers, but got {labels.dtype} {tuple(labels.shape)}; pass class indices."
        )
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        raise InputError(
            f"Expected `images` in [0, 1], but got {images.min().item():g} to {images.max().item():g}; "
            "divide pixels by 255 and leave normalization to the network."
        )
    return images, labels.long(), batch[2] if len(batch) > 2 else None
