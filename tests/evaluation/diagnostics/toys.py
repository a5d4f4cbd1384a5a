"""Small networks that mask their gradients in one way each, a healthy one, and sizes that make a diagnosis quick."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qlight.attacks.unchanged import unchanged
from qlight.evaluation.diagnostics import Diagnosis, Sizes, diagnose

SHAPE = (3, 8, 8)
EPS = 0.1
SMALL = Sizes(
    steps=10, eps_factors=(0.5, 1.0, 2.0), iterations=(1, 2, 4, 8), cw_steps=40, cw_search_steps=3, spsa_steps=8, spsa_evaluations=32,
    square_queries=60, noise_draws=4, scales=(0.1, 10.0), coordinates=24, difference_images=8, batch_images=8, active_images=4,
    active_samples=8, batch_size=5,
)  # fmt: skip


def images_of(count: int = 8, seed: int = 0) -> Tensor:
    """count x 3 x 8 x 8, multiples of 1/255."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *SHAPE))).float() / 255


def healthy(seed: int = 0) -> nn.Sequential:
    """Two linear layers and a ReLU: smooth but for its kinks, and in evaluation mode."""
    with torch.random.fork_rng(()):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 48), nn.ReLU(), nn.Linear(48, 10)).eval()


def diagnosis_of(network: nn.Module, images: Tensor | None = None, labels: Tensor | None = None, **settings: Any) -> Diagnosis:
    """A quick diagnosis; the labels are what the network predicts in evaluation mode, so that every image is attacked."""
    images = images_of() if images is None else images
    labels = predictions(network, images) if labels is None else labels
    return diagnose(network, images, labels, **{"eps": EPS, "sizes": SMALL, **settings})


def predictions(network: nn.Module, images: Tensor) -> Tensor:
    """Classes in evaluation mode; the network is left in the mode in which it was."""
    with unchanged(network), torch.no_grad():
        return network.eval()(images).argmax(1)


def status(diagnosis: Diagnosis, name: str) -> str:
    return diagnosis[name].status


class Staircase(nn.Module):
    """A network behind pixels that are rounded to `levels` steps: its gradient is 0, or straight through."""

    def __init__(self, inner: nn.Module, levels: int = 8, straight_through: bool = False) -> None:
        super().__init__()
        self.inner, self.levels, self.straight_through = inner, levels, straight_through
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        rounded = (images * self.levels).round() / self.levels
        return self.inner(images + (rounded - images).detach() if self.straight_through else rounded)


class Times(nn.Module):
    """The logits of a network times a factor: a large one saturates the softmax."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images) * self.factor


class Misled(nn.Module):
    """The true gradient at 8-bit images, its opposite everywhere else: one step works, two undo each other."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        near = ((images * 255).detach() - (images * 255).detach().round()).abs().flatten(1).amax(1) < 1e-2
        sign = torch.where(near, 1.0, -1.0)[:, None, None, None]
        return self.inner(images * sign + (images * (1 - sign)).detach())


class Undefined(nn.Module):
    """Finite logits with gradients that are not a number: the root of the magnitude at 0."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images + (images - images.detach()).abs().sqrt())


class Deployed(nn.Module):
    """A network without a gradient, as a board is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images)


class Fortress(nn.Module):
    """Class 1 within reach of small steps; far from grey the answer is class 0, whatever the image."""

    def forward(self, images: Tensor) -> Tensor:
        grey = images.flatten(1) - 0.5
        far = (grey.abs().mean(1) > 0.35).detach().to(grey)
        return torch.stack([1 + 1e4 * far, 20 * grey.mean(1)], 1)


class Rough(nn.Module):
    """Class 1 for whatever is not flat, so that noise is as good as any attack."""

    def forward(self, images: Tensor) -> Tensor:
        steps = (images[..., 1:] - images[..., :-1]).square().flatten(1).mean(1)
        return torch.stack([0.01 + 0 * steps, 50 * steps], 1)


class OffGrid(nn.Module):
    """Class 1 between 8-bit images, class 0 on them: fooled by what no image file can hold."""

    def forward(self, images: Tensor) -> Tensor:
        codes = images * 255
        distance = (codes - codes.detach().round()).abs().flatten(1).mean(1)
        return torch.stack([0.05 + 0 * distance, distance], 1)
