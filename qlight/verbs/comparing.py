"""The verbs that compare networks on the images of the test split: ``gradients`` and ``spread``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L

from qlight.errors import InputError
from qlight.evaluation.analysis import Network, gradients, spread
from qlight.evaluation.analysis.logit_spread import STEPS
from qlight.evaluation.batches import Images, first_images
from qlight.models import Classifier
from qlight.verbs.base import VerbTrainer
from qlight.verbs.networks import load_networks


class ComparingTrainer(VerbTrainer):
    """Lightning's Trainer with the verbs that compare networks."""

    def gradients(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        networks: str | None = None,
        images: int = 1000,
        out: str | None = None,
    ) -> Any:
        """Compare the input gradients of several networks: the cosine similarity of every pair.

        Args:
            networks: checkpoints separated by commas, each also as name=CKPT.
            images: how many images of the test split are used, the first ones.
            out: folder of gradients.csv, .json and .png; null is one below runs/gradients named by a hash of all that they depend on.
        """
        of, batch = load_networks(networks, "networks"), self._images(datamodule, images)
        folder = self._folder("gradients", out, of, datamodule, images)
        with self._progress() as advance:
            found = gradients(self._placed(of), batch.images, batch.labels, on_progress=advance)
        self._finish(found, folder, "gradients.csv, gradients.json, gradients.png")
        return found

    def spread(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        networks: str | None = None,
        images: int = 1000,
        steps: list[float] | None = None,
        coordinates: int = 64,
        difference_images: int = 16,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Measure the variance of logits and what finite differences of them are worth.

        Args:
            networks: CKPT, packed:FOLDER or rtlsim:FOLDER separated by commas, each also as name=...; the first is what others are compared
                with.
            images: how many images of the test split are used, the first ones.
            steps: half-widths of the differences, in pixel units; null is 0.0001 (ZOO's), 0.001, 0.01.
            coordinates: random coordinates of an image at which differences are taken.
            difference_images: images of which differences are taken, the first ones.
            out: folder of logits.csv, differences.csv, spread.json and .png; null is one below runs/spread named by a hash of all that they
                depend on.
            seed: of the coordinates and of the bootstrap.
        """
        of, batch = load_networks(networks, "networks"), self._images(datamodule, images)
        steps = list(STEPS if steps is None else steps)
        folder = self._folder("spread", out, of, datamodule, images, steps, coordinates, difference_images, seed)
        with self._progress() as advance:
            found = spread(
                self._placed(of),
                batch.images,
                batch.labels,
                index=batch.index,
                steps=steps,
                coordinates=coordinates,
                difference_images=difference_images,
                seed=seed,
                on_progress=advance,
            )
        self._finish(found, folder, "logits.csv, differences.csv, spread.json, spread.png")
        return found

    def _images(self, datamodule: L.LightningDataModule | None, count: int) -> Images:
        """The first images of the test split, where the networks run."""
        assert datamodule is not None  # the parser asks for it
        if count < 1:
            raise InputError(f"Expected `images` to be at least 1, but got {count}; 1000 is the default.")
        batch, device = first_images(datamodule, count), self.strategy.root_device
        return Images(batch.images.to(device), batch.labels.to(device), batch.index)

    def _placed(self, networks: Sequence[Network]) -> Sequence[Network]:
        for network in networks:
            network.module.to(self.strategy.root_device)
        return networks
