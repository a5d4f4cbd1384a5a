"""A network at another temperature: the same predictions, another softmax."""

from __future__ import annotations

from torch import Tensor, nn


class Scaled(nn.Module):
    """The logits of a network times a factor (Gupta and Ajanthan 2020, section 4).

    Args:
        model: images -> logits.
        factor: above 0; below 1 it is a higher temperature, which keeps the softmax from saturating.
    """

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images) * self.factor
