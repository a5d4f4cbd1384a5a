"""Whether networks agree on where the loss rises: section 5.2.3 and Figure 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qlight.errors import InputError
from qlight.evaluation.analysis import tables
from qlight.evaluation.analysis.crossing import Progress
from qlight.evaluation.analysis.networks import Network, check_differentiable, check_networks
from qlight.evaluation.analysis.tables import HeatMap
from qlight.evaluation.crafting import require_gradients
from qlight.evaluation.diagnostics.subject import margin
from qlight.evaluation.inputs import check_images
from qlight.evaluation.intervals import mean_interval
from qlight.evaluation.model_checks import check_logits
from qlight.evaluation.results import versions

#: images in a pass forward and back
_ROWS = 64


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """log sum_{j != y} exp(logit_j) - logit_y, n: an increasing function of the cross-entropy, log(exp(CE) - 1). So its gradient has the
    cross-entropy's direction, also where that one's is lost to float32 because the network is sure."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1) - own


#: what is differentiated: the loss that the networks are trained with, and the margin that CWl2 and SPSA descend (equations (7) and (8))
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": _cross_entropy,
    "margin": lambda logits, labels: -margin(logits, labels),
}


@dataclass(frozen=True)
class Similarity:
    """How alike two networks' gradients are.

    Attributes:
        loss: cross-entropy or margin.
        first, second: names of the networks.
        images: images for which both gradients have a direction: finite and not zero.
        without_direction: images left out, as one of the two has none.
        cosine: mean of CS(a, b) = <a, b> / (|a| |b|) over these images; None ("-") where there is none.
        cosine_low, cosine_high: its 95 % interval over images.
        standard_deviation: of the cosines.
    """

    loss: str
    first: str
    second: str
    images: int
    without_direction: int
    cosine: float | None
    cosine_low: float | None
    cosine_high: float | None
    standard_deviation: float | None


@dataclass(frozen=True)
class GradientSimilarity:
    """Figure 4: every pair of networks.

    Attributes:
        networks: names, in order.
        pairs: first <= second in this order, for each loss.
        settings: what it was made with.
    """

    networks: tuple[str, ...]
    pairs: tuple[Similarity, ...]
    settings: dict[str, Any]

    def __getitem__(self, key: tuple[str, str, str]) -> Similarity:
        """That of (loss, one network, another), in either order; KeyError where there is none."""
        loss, one, other = key
        for pair in self.pairs:
            if pair.loss == loss and {pair.first, pair.second} == {one, other}:
                return pair
        raise KeyError(key)

    def heat_maps(self) -> list[HeatMap]:
        """A matrix for each loss."""
        maps = []
        for loss in dict.fromkeys(pair.loss for pair in self.pairs):
            values = [[self[loss, one, other].cosine for other in self.networks] for one in self.networks]
            lowest = min((value for row in values for value in row if value is not None), default=0.0)
            maps.append(HeatMap(f"gradients of the {loss} loss", self.networks, self.networks, values, low=min(0.0, lowest)))
        return maps

    def save(self, folder: str | Path) -> None:
        """Write gradients.csv, gradients.json and gradients.png, each whole or not at all.

        Raises:
            InputError: `folder` is a file or cannot be written.
        """
        folder = tables.check_folder(folder)
        tables.save_rows(folder / "gradients.csv", self.pairs)
        tables.save_json(folder / "gradients.json", self.settings, pairs=self.pairs)
        tables.draw(folder / "gradients.png", self.heat_maps(), "", "", "Mean cosine similarity of input gradients (0: orthogonal)")

    def print(self, console: Any = None) -> None:
        """Print the matrices."""
        for one in self.heat_maps():
            tables.print_matrix(HeatMap(f"Mean cosine of {one.title}", one.rows, one.columns, one.values), "", console)


def gradients(
    networks: Sequence[Network],
    images: Tensor,
    labels: Tensor,
    *,
    losses: Sequence[str] = tuple(LOSSES),
    on_progress: Progress | None = None,
) -> GradientSimilarity:
    """Mean cosine similarity of the gradients of the loss in the input, between every two networks (section 5.2.3).

    Gradients are those of the true labels, on all images, as attacks take them: through the straight-through estimators of quantized
    networks. A network's similarity to itself is 1 where it has gradients.

    Args:
        networks: two or more.
        images: N x C x H x W in [0, 1], on the networks' device.
        labels: int64, N.
        losses: of `LOSSES`.
        on_progress: called with (networks done, networks, what comes next).

    Raises:
        InputError: bad input, a target without gradients, or a network that is no classifier of these images.
    """
    require_gradients(torch.is_inference_mode_enabled())
    check_networks(networks, least=2)
    check_differentiable(networks)
    check_images(images, labels)
    for loss in losses:
        if loss not in LOSSES:
            raise InputError(f"Expected `losses` to be of {', '.join(LOSSES)}, but got {loss!r}; choose of these.")
    report = on_progress or (lambda done, total, what: None)
    directions: dict[str, dict[str, Tensor]] = {}
    for number, network in enumerate(networks):
        report(number, len(networks), f"gradients of {network.name}")
        directions[network.name] = _directions(network, images, labels, losses)
    report(len(networks), len(networks), "done")
    names = [network.name for network in networks]
    pairs = [
        _similarity(loss, one, other, directions[one][loss], directions[other][loss])
        for loss in losses
        for one, other in combinations_with_replacement(names, 2)
    ]
    settings = {"networks": {network.name: network.identity for network in networks}, "images": len(images), "versions": versions()}
    return GradientSimilarity(tuple(names), tuple(pairs), settings)


def _directions(network: Network, images: Tensor, labels: Tensor, losses: Sequence[str]) -> dict[str, Tensor]:
    """The gradient of each image as a unit vector by loss: float32, N x values, on the CPU; 0 where it has no direction:
    where it is zero, or any of its values is not finite."""
    parts: dict[str, list[Tensor]] = {loss: [] for loss in losses}
    with network.view() as view, torch.enable_grad():
        for piece in range(0, len(images), _ROWS):
            for loss in losses:  # a pass for each: views differentiate once
                points = images[piece : piece + _ROWS].detach().clone().requires_grad_()
                classes = labels[piece : piece + _ROWS]
                logits = view(points)
                check_logits(logits, points, classes)
                (slope,) = torch.autograd.grad(LOSSES[loss](logits, classes).sum(), points)
                slope = slope.flatten(1).double()
                slope = slope.where(slope.isfinite().all(1, keepdim=True), 0)
                length = torch.linalg.vector_norm(slope, dim=1, keepdim=True)
                parts[loss].append((slope / length.clamp(min=torch.finfo(torch.float64).tiny)).float().cpu())
    return {loss: torch.cat(found) for loss, found in parts.items()}


def _similarity(loss: str, first: str, second: str, one: Tensor, other: Tensor) -> Similarity:
    directed = (one != 0).any(1) & (other != 0).any(1)
    cosines = (one[directed].double() * other[directed].double()).sum(1)
    mean, low, high = mean_interval(cosines.tolist())
    return Similarity(
        loss=loss,
        first=first,
        second=second,
        images=len(cosines),
        without_direction=len(one) - len(cosines),
        cosine=mean,
        cosine_low=low,
        cosine_high=high,
        standard_deviation=cosines.std().item() if len(cosines) > 1 else None,
    )
