"""The evaluation loop: a suite of attacks on one network, over a test set, on as many processes as the Trainer has."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DistributedSampler

from qlight.attacks import AttackSuite
from qlight.attacks.per_image import PerImageAttack
from qlight.errors import InputError
from qlight.evaluation.attacked import Attacked
from qlight.evaluation.batches import unpack
from qlight.evaluation.crafting import Crafted, craft, require_gradients
from qlight.evaluation.examples import Examples
from qlight.evaluation.figures import figures
from qlight.evaluation.manifest import Manifest, claimed
from qlight.evaluation.metrics import distortion
from qlight.evaluation.model_checks import check_logits, warn_of
from qlight.evaluation.progress import show
from qlight.evaluation.records import RecordFolder, Records
from qlight.evaluation.seeds import derived_seed
from qlight.evaluation.tally import Tally
from qlight.evaluation.timing import Timing


class AttackEvaluation(LightningModule):
    """A network under a suite of attacks; give it to `Trainer.test`, or call `evaluate`.

    Every image of the test data is attacked (section 4.3), and counted once however many processes share the data. What an attack did to an
    image is written to `folder` as soon as the image is finished, and an image that is found there is not attacked again; see
    `qlight.evaluation.records`. After the test, `figures` holds one dict an attack (on every process), `records` what stands behind it
    (on the first process) and `examples` the first images (on the first process). `timing` holds how long queries of a board took.

    The attacks run on the network's evaluation view where it has one (`module.evaluation_view()`): the same logits, quicker.

    A target that takes 8-bit pixels is judged on what it sees: adversarial images are rounded before they are judged, measured and written
    down. Its clean images are 8-bit images as well.

    Args:
        module: images N x C x H x W in [0, 1] -> logits N x classes; a network or a target.
        suite: the attacks.
        seed: random numbers of an attack are derived from it and the attack's label; those of torchattacks' attacks, which do not tell
            images apart, also from the first index of a batch.
        keep: how many images, clean and adversarial, to keep in `examples`.
        folder: where the records are; processes must share it. None: a temporary one, gone after the test.
        manifest: what identifies the results; `folder` must hold results of nothing else.
        picture: a PNG that the first process writes with `examples`.
        class_names: for the picture.
        compile: run the view through torch.compile.
        gradients_from: a network on which attacks that need gradients craft, where `module` has none; it judges their examples.

    Raises:
        InputError: an attack that cannot run on this module, or another bad argument.
    """

    def __init__(
        self,
        module: nn.Module,
        suite: AttackSuite,
        *,
        seed: int = 0,
        keep: int = 8,
        folder: str | Path | None = None,
        manifest: Manifest | None = None,
        picture: str | Path | None = None,
        class_names: Sequence[str] | None = None,
        compile: bool = False,  # noqa: A002 - the option is torch's name
        gradients_from: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"Expected `seed` to be an integer, but got {seed!r}; 0 is the default.")
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
            raise InputError(f"Expected `keep` to be 0 or a number of images, but got {keep!r}; 8 is the default.")
        self.attacked = Attacked.by(module)
        self.attacked.check(suite, gradients_from)
        self.module = module
        self.gradients_from = gradients_from
        self.suite = AttackSuite(spec.seeded(derived_seed(seed, spec.name, 0) % 2**31) for spec in suite)
        self.seed = seed
        self.keep = keep
        self.folder = None if folder is None else Path(folder)
        self.manifest = manifest
        self.picture = picture
        self.class_names = class_names
        self.compile_view = compile
        self.figures: list[dict[str, Any]] | None = None
        self.records: dict[str, Records] = {}
        self.timing = Timing(module)
        self.examples: Examples | None = None
        self._attacks: list[Any] = []
        self._crafted_on: list[tuple[nn.Module]] = []
        self._seen: dict[int, int] = {}
        self._stack = contextlib.ExitStack()
        self._store = RecordFolder(folder or ".")  # the folder itself is known when the test starts
        self._temporary: weakref.finalize | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the network."""
        return self.module(images)

    def on_test_start(self) -> None:
        """Make the view, bind the attacks to it, and read what is there already."""
        require_gradients(torch.is_inference_mode_enabled())
        # not submodules: they must not be saved, moved or put into training mode with this one
        self._view: tuple[nn.Module] = (self._made_view(self.module),)
        elsewhere = self._view[0] if self.gradients_from is None else self._made_view(self.gradients_from)
        self._crafted_on = [(elsewhere if self.attacked.crafts_elsewhere(spec) else self._view[0],) for spec in self.suite]
        self._attacks = [spec.build(model) for spec, (model,) in zip(self.suite, self._crafted_on, strict=True)]
        self._seen, self._clean, self._images, self._checked = {}, 0, 0, False
        self.figures, self.examples, self.records = None, None, {}
        folder = self.folder
        if folder is None:
            own = tempfile.mkdtemp() if self.trainer.is_global_zero else None
            if own is not None:
                # not a TemporaryDirectory: after an error Lightning calls no hook that could close it
                self._temporary = weakref.finalize(self, shutil.rmtree, own, ignore_errors=True)
            folder = Path(self.trainer.strategy.broadcast(own, 0))  # type: ignore[arg-type]
        self._claim(folder)
        self._store = RecordFolder(folder, self.trainer.global_rank)
        self._tallies = [Tally(self._store.load(spec.name)) for spec in self.suite]
        self.trainer.strategy.barrier()  # no process writes before all have read

    def _made_view(self, module: nn.Module) -> nn.Module:
        make_view = getattr(module, "evaluation_view", None)
        return module if make_view is None else make_view(compile=self.compile_view)

    def _claim(self, folder: Path) -> None:
        """Hold the folder until the end, and see to it that it holds nothing else; every process raises what the first one meets."""
        problem: str | None = None
        if self.trainer.is_global_zero and self.manifest is not None:
            try:
                self._stack.enter_context(claimed(folder, self.manifest))
            except InputError as error:
                problem = str(error)
        problem = self.trainer.strategy.broadcast(problem, 0)
        if problem is not None:
            raise InputError(problem)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Attack what is not finished of one batch, (images, labels) or (images, labels, index), with every attack of the suite."""
        images, labels, index = self._own_images(batch, dataloader_idx)
        if not len(labels):
            return
        images = self.attacked.clean(images)
        predictions = self._predict(images, labels)
        self._clean += int((predictions == labels).sum())
        self._images += len(labels)
        running = [f"clean {self._clean / self._images:.3f}"]
        if dataloader_idx == 0:
            self.examples = Examples.first(self.keep, self.examples, images, labels, index, predictions)
        checksums = np.array([zlib.crc32(image.tobytes()) for image in images.cpu().numpy()], np.uint32)
        for spec, attack, (model,), tally in zip(self.suite, self._attacks, self._crafted_on, self._tallies, strict=True):
            keys = [(dataloader_idx, number) for number in index.tolist()]
            waiting = [number for number, key in enumerate(keys) if key not in tally.done]
            for key, checksum in zip(keys, checksums.tolist(), strict=True):
                if tally.done.get(key, checksum) != checksum:
                    raise InputError(
                        f"Expected the folder {str(self._store.folder)!r} to hold results of these images, but image {key[1]} is another "
                        "one there; choose another folder, or give the test data different indices."
                    )
            if not waiting:
                running.append(f"{spec.name} {tally.accuracy:.3f}")
                continue
            # an attack that does not tell images apart gets the batch as it was, so that it draws the same random numbers
            chosen = waiting if isinstance(attack, PerImageAttack) else list(range(len(labels)))

            def tell(
                crafted: Crafted, spec: Any = spec, model: nn.Module = model, chosen: list[int] = chosen, tally: Tally = tally
            ) -> None:
                rows = torch.tensor(chosen)[crafted.row.cpu()]
                part = rows.to(images.device)
                crafted = self._as_seen(crafted, model)
                records = self._records(
                    images[part], labels[part], index[part], predictions[part], checksums[rows.numpy()], crafted, dataloader_idx
                )
                records = records[[key not in tally.done for key in zip(records.loader.tolist(), records.index.tolist(), strict=True)]]
                self._store.append(spec.name, records)
                tally.add(records)
                show(self.trainer, " ".join([*running, f"{spec.name} {tally.accuracy:.3f}"]))

            show(self.trainer, " ".join([*running, spec.name]))
            seed = derived_seed(self.seed, spec.name, int(index[0]))
            part = torch.tensor(chosen, device=images.device)
            with self.timing.of(spec.name):
                craft(attack, model, images[part], labels[part], name=spec.name, seed=seed, index=index[part], on_crafted=tell)
            running.append(f"{spec.name} {tally.accuracy:.3f}")
        show(self.trainer, " ".join(running))

    def on_test_epoch_end(self) -> None:
        """Put the records of all processes together and log the accuracies."""
        strategy = self.trainer.strategy
        self._store.close()
        strategy.barrier()
        if self.trainer.is_global_zero:
            found = {spec.name: self._store.finish(spec.name) for spec in self.suite}
            self.records = {name: records for name, records in found.items() if records is not None}
            self.figures = [figures(records) for records in self.records.values()]
        images = strategy.reduce(torch.tensor(self._images, device=self.device), reduce_op="sum")
        self.figures = strategy.broadcast(self.figures, 0)
        if not self.figures:
            return
        if any(row["images"] != int(images) for row in self.figures):
            raise InputError(
                f"Expected results of {int(images)} images, but the folder {str(self._store.folder)!r} holds {self.figures[0]['images']}; "
                "give each image an index of its own, or choose another folder."
            )
        accuracies = {f"adversarial_accuracy/{s.name}": f["adversarial_accuracy"] for s, f in zip(self.suite, self.figures, strict=True)}
        # Every process has the same values already; without sync_dist Lightning would warn that they may differ.
        self.log_dict({"clean_accuracy": self.figures[0]["clean_accuracy"], **accuracies}, sync_dist=True)

    def on_test_end(self) -> None:
        """Let go of the attacks, which hold the network; draw the picture."""
        self._attacks, self._crafted_on, self._view = [], [], (self.module,)
        if self.trainer.is_global_zero and self.examples is not None and self.records:
            self.examples.find(self.records)
            if self.picture is not None:
                self.examples.save(self.picture, self.class_names)
        # a process that ends long before the others, while gloo's threads still serve them, may abort
        self.trainer.strategy.barrier()

    def teardown(self, stage: str) -> None:
        """Let go of the folder."""
        self.release()

    def release(self) -> None:
        """Close the journals, free the folder, and remove it where it is a temporary one."""
        self._store.close()
        self._stack.close()
        if self._temporary is not None:
            self._temporary()

    def _as_seen(self, crafted: Crafted, model: nn.Module) -> Crafted:
        """What an attack crafted on `model`, as the target sees it; it cannot know whether it succeeds on another model than its own."""
        adversarial = crafted.adversarial if self.attacked.rounded is None else self.attacked.rounded(crafted.adversarial)
        return replace(crafted, adversarial=adversarial, success=crafted.success if model is self._view[0] else None)

    def _records(
        self, images: Tensor, labels: Tensor, index: Tensor, predictions: Tensor, checksums: np.ndarray, crafted: Crafted, loader: int
    ) -> Records:
        """What is kept of finished images; judges the adversarial ones."""
        with torch.no_grad():
            judged = self._view[0](crafted.adversarial).argmax(1)
        success = judged != labels if crafted.success is None else crafted.success

        def column(values: Tensor) -> np.ndarray:
            return values.detach().cpu().numpy()

        count = len(labels)
        stored = torch.promote_types(crafted.adversarial.dtype, torch.float32)  # NumPy has no bfloat16
        return Records(
            loader=np.full(count, loader),
            index=column(index),
            label=column(labels),
            clean_prediction=column(predictions),
            adversarial_prediction=column(judged),
            success=column(success),
            l2=column(distortion(images, crafted.adversarial, 2)),
            linf=column(distortion(images, crafted.adversarial, float("inf"))),
            queries=column(crafted.queries),
            forwards=column(crafted.forwards),
            gradients=column(crafted.gradients),
            counted_singly=np.full(count, crafted.counted_singly),
            iterations=column(crafted.iterations),
            c=column(crafted.c),
            clean_checksum=checksums,
            seconds=column(crafted.seconds),
            adversarial=column(crafted.adversarial.to(stored)),
        )

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
            logits = self._view[0](images)
        check_logits(logits, images, labels)
        if not self._checked:
            self._checked = True
            warn_of(self._view[0], images[:8], logits)
        return logits.argmax(dim=1)
