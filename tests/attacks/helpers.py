"""Attacks of our own, named in suites by dotted path."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchattacks.attack import Attack


class Typed(Attack):
    """An attack with annotations instead of documented types."""

    def __init__(
        self, model: nn.Module, eps: float, steps: int = 3, mode: str | None = None, best: bool = False, limit: int | None = None
    ) -> None:
        super().__init__("Typed", model)
        self.eps = eps

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return inputs


class Anything(Attack):
    """Takes any further argument."""

    def __init__(self, model: nn.Module, **settings: object) -> None:
        super().__init__("Anything", model)
        self.settings = settings

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return inputs


class Refuses(Attack):
    """Refuses a value in its constructor."""

    def __init__(self, model: nn.Module, norm: str = "Linf") -> None:
        super().__init__("Refuses", model)
        if norm != "Linf":
            raise ValueError(f"no such norm: {norm}")

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return inputs


class NotAnAttack(torch.nn.Module):
    """What its name says."""
