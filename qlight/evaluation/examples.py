"""The first images of an evaluation with their adversarial images, for a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from qlight.evaluation.pictures import save_examples
from qlight.evaluation.records import Records


@dataclass
class Examples:
    """The first images of an evaluation on the first process, for a picture; on the CPU.

    `images`, `labels`, `index` and `predictions` have length k; `adversarial` and `adversarial_predictions` hold one such tensor an attack.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    predictions: Tensor
    loader: int = 0
    adversarial: dict[str, Tensor] = field(default_factory=dict)
    adversarial_predictions: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def first(
        cls, limit: int, before: Examples | None, images: Tensor, labels: Tensor, index: Tensor, predictions: Tensor
    ) -> Examples | None:
        """The kept images ``before`` with the first of these, ``limit`` in all."""
        new = min(limit - (0 if before is None else len(before.labels)), len(labels))
        if new <= 0:
            return before
        parts = [tensor[:new].cpu() for tensor in (images, labels, index, predictions)]
        if before is not None:
            parts = [torch.cat(pair) for pair in zip((before.images, before.labels, before.index, before.predictions), parts, strict=True)]
        return cls(parts[0], parts[1], parts[2], parts[3])

    def find(self, records: dict[str, Records]) -> None:
        """Take the adversarial images of the kept ones from the records, by attack."""
        for name, found in records.items():
            place = {number: row for row, number in enumerate(found.index.tolist()) if found.loader[row] == 0}
            rows = [place[number] for number in self.index.tolist()]
            self.adversarial[name] = torch.from_numpy(found.adversarial[rows]).to(self.images.dtype)
            self.adversarial_predictions[name] = torch.from_numpy(found.adversarial_prediction[rows])

    def save(self, path: str | Path, class_names: Sequence[str] | None) -> None:
        """Draw them."""
        found = (self.labels, self.predictions, self.adversarial_predictions)
        save_examples(path, self.images, self.adversarial, *found, class_names=class_names)
