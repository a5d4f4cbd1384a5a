"""How many images went through a model, and came back, while someone else's attack ran."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class Counts:
    """Images that went forward through a model, and those whose gradient came back, while an attack had `batch` images in work.

    `singly` stays True as long as every pass takes the whole batch, so that the images' counts are equal.
    """

    batch: int
    queries: int = 0
    gradients: int = 0
    singly: bool = True


@contextlib.contextmanager
def counted(model: nn.Module, counts: Counts) -> Iterator[None]:
    """Count the images that go forward through `model`, and those whose gradient comes back through its output."""

    def on_gradient(grad: Tensor) -> None:
        counts.gradients += len(grad)

    def on_forward(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim > 0:
            counts.queries += len(output)
            counts.singly &= len(output) == counts.batch
            if output.requires_grad:
                output.register_hook(on_gradient)

    handle = model.register_forward_hook(on_forward)
    try:
        yield
    finally:
        handle.remove()
