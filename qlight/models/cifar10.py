"""The paper's network for CIFAR10 (Tables 8 to 10, left column)."""

from __future__ import annotations

from qlight.models.blocks import Precision
from qlight.models.network import PaperNetwork


class CIFAR10Network(PaperNetwork):
    """Convolutions of 128, 128, 256, 256, 512, 512 channels; dense layers of 1024, 1024; N x 3 x 32 x 32 -> N x 10."""

    def __init__(self, width: float = 1.0, precision: Precision | None = None) -> None:
        super().__init__((128, 128, 256, 256, 512, 512), (1024, 1024), width, precision or Precision())
