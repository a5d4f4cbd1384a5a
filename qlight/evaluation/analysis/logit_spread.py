"""How far logits spread, and what finite differences of them are worth: section 5.1.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qlight.attacks.counter_random import random_order
from qlight.errors import InputError
from qlight.evaluation.analysis import tables
from qlight.evaluation.analysis.crossing import Progress
from qlight.evaluation.analysis.networks import Network, check_networks
from qlight.evaluation.analysis.tables import HeatMap
from qlight.evaluation.diagnostics.differences import quotients
from qlight.evaluation.diagnostics.sizes import ZOO_H
from qlight.evaluation.diagnostics.subject import forward, margin
from qlight.evaluation.inputs import check_images
from qlight.evaluation.intervals import mean_interval, wilson_interval
from qlight.evaluation.model_checks import check_logits
from qlight.evaluation.results import versions
from qlight.evaluation.seeds import derived_seed

#: half-widths of differences: ZOO's, and wider ones, which see the steps of quantized activations
STEPS = (ZOO_H, 1e-3, 1e-2)
_ROWS = 128
_RESAMPLES = 1000


@dataclass(frozen=True)
class Spread:
    """The logits of one network on N images.

    Attributes:
        network: its name.
        images: number of images.
        accuracy: on them, with its 95 % Wilson interval (_low, _high).
        variance: of all N x classes logits about their mean, with its 95 % bootstrap interval over images (_low, _high).
        between_classes: mean over images of the variance over classes.
        between_images: mean over classes of the variance over images.
        ratio: `variance` relative to the first network's, with its interval (the same images are drawn for both); None where the first
            network's logits do not vary.
    """

    network: str
    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    variance: float
    variance_low: float
    variance_high: float
    between_classes: float
    between_images: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


@dataclass(frozen=True)
class Quotients:
    """Central differences (equation (9)) of one network's ZOO objective (equation (10), without kappa) on random coordinates.

    Attributes:
        network: its name.
        h: half-width of the differences, in pixel units.
        images, coordinates: how many images, and how many coordinates of each.
        zero: share of the differences that are exactly zero: "no impact (keep values in the same bucket)"; mean over images, with its 95 %
            interval over images (_low, _high).
        median, percentile_99, largest: of |difference quotient|, logits per unit of a pixel: "causing the discrete derivative to explode".
        largest_gradient: the largest |entry| of the gradient on the same coordinates, straight-through estimators included; None where the
            network has no gradient.
    """

    network: str
    h: float
    images: int
    coordinates: int
    zero: float | None
    zero_low: float | None
    zero_high: float | None
    median: float
    percentile_99: float
    largest: float
    largest_gradient: float | None


@dataclass(frozen=True)
class LogitSpread:
    """Both statistics of every network, and what they were made with."""

    spreads: tuple[Spread, ...]
    quotients: tuple[Quotients, ...]
    settings: dict[str, Any]

    def heat_maps(self) -> list[HeatMap]:
        """Variances relative to the first network, and shares of zero differences."""
        names = [row.network for row in self.spreads]
        steps = list(dict.fromkeys(row.h for row in self.quotients))
        zero = {(row.network, row.h): row.zero for row in self.quotients}
        ratios: list[list[float | None]] = [[row.ratio] for row in self.spreads]
        highest = max((row.ratio for row in self.spreads if row.ratio is not None), default=1.0)
        return [
            HeatMap(f"variance of logits / that of {names[0]}", names, ["ratio"], ratios, high=max(1.0, highest)),
            HeatMap("differences that are zero", names, [f"h = {h:g}" for h in steps], [[zero[name, h] for h in steps] for name in names]),
        ]

    def save(self, folder: str | Path) -> None:
        """Write logits.csv, differences.csv, spread.json and spread.png, each whole or not at all.

        Raises:
            InputError: `folder` is a file or cannot be written.
        """
        folder = tables.check_folder(folder)
        tables.save_rows(folder / "logits.csv", self.spreads)
        tables.save_rows(folder / "differences.csv", self.quotients)
        tables.save_json(folder / "spread.json", self.settings, logits=self.spreads, differences=self.quotients)
        tables.draw(folder / "spread.png", self.heat_maps(), "", "")

    def print(self, console: Any = None) -> None:
        """Print both tables."""
        columns = ["accuracy", "variance", "low", "high", "ratio", "low", "high"]
        values = [
            [row.accuracy, row.variance, row.variance_low, row.variance_high, row.ratio, row.ratio_low, row.ratio_high]
            for row in self.spreads
        ]
        title = f"Variance of the logits, {self.spreads[0].images} images"
        tables.print_matrix(HeatMap(title, [row.network for row in self.spreads], columns, values), "network", console)
        columns = ["zero", "median", "99 %", "largest", "largest gradient"]
        values = [[row.zero, row.median, row.percentile_99, row.largest, row.largest_gradient] for row in self.quotients]
        names = [f"{row.network}, h = {row.h:g}" for row in self.quotients]
        tables.print_matrix(HeatMap("Difference quotients of ZOO's objective", names, columns, values), "network", console)


def spread(
    networks: Sequence[Network],
    images: Tensor,
    labels: Tensor,
    *,
    index: Tensor | None = None,
    steps: Sequence[float] = STEPS,
    coordinates: int = 64,
    difference_images: int = 16,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> LogitSpread:
    """Variance of logits and statistics of difference quotients (section 5.1.2).

    The paper "measured that the variance of the logits values between full-precision and weight-only quantized models is almost the same";
    the first network is what the others are compared with. It explains ZOO's failure on quantized activations by differences that are
    zero or explode.

    Args:
        networks: one or more; targets without gradients too.
        images: N x C x H x W in [0, 1], on the networks' device.
        labels: int64, N.
        index: int64, N: which image of its set each one is, for its random coordinates; default 0 to N - 1.
        steps: half-widths h of the differences, in pixel units.
        coordinates: random coordinates of each image: the same for all networks.
        difference_images: the first so many images have differences taken.
        seed: of the coordinates and of the bootstrap.
        on_progress: called with (networks done, networks, what comes next).

    Raises:
        InputError: bad input, or a network that is no classifier of these images.
    """
    check_networks(networks)
    check_images(images, labels)
    for name, value in (("coordinates", coordinates), ("difference_images", difference_images)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"Expected `{name}` to be a whole number from 1, but got {value!r}; 16 is enough to see masking.")
    for h in steps:
        if isinstance(h, bool) or not isinstance(h, int | float) or not 0 < h < 1:
            raise InputError(f"Expected `steps` above 0 and below 1, but got {h!r}; ZOO's is {ZOO_H:g}.")
    report = on_progress or (lambda done, total, what: None)
    index = torch.arange(len(images)) if index is None else index
    few = min(difference_images, len(images))
    place = index[:few].to(images.device)
    pixels = images[0].numel()
    chosen = random_order(derived_seed(seed, "spread", 0), place, torch.zeros_like(place), pixels, min(coordinates, pixels))
    moments: list[np.ndarray] = []
    spreads: list[Spread] = []
    rows: list[Quotients] = []
    for number, network in enumerate(networks):
        report(number, len(networks), network.name)
        with network.view() as view:
            logits = forward(view, images, _ROWS).double().cpu()
            check_logits(logits, images, labels)
            moments.append(_moments(logits))
            right = int((logits.argmax(1) == labels.cpu()).sum())
            spreads.append(_spread(network.name, logits, right, moments[0], moments[-1], seed))
            differentiable = network.attacked.differentiable
            rows += [_quotients(network.name, view, differentiable, h, images[:few], labels[:few], chosen) for h in steps]
    report(len(networks), len(networks), "done")
    settings = {"networks": {network.name: network.identity for network in networks}, "seed": seed, "versions": versions()}
    return LogitSpread(tuple(spreads), tuple(rows), settings)


def _moments(logits: Tensor) -> np.ndarray:
    """Mean and mean square of each image's logits: float64, N x 2."""
    return torch.stack([logits.mean(1), logits.square().mean(1)], 1).numpy()


def _variance(moments: np.ndarray) -> np.ndarray:
    """Of all logits, from moments (... x N x 2)."""
    mean = moments.mean(-2)
    return mean[..., 1] - mean[..., 0] ** 2


def _spread(name: str, logits: Tensor, right: int, reference: np.ndarray, own: np.ndarray, seed: int) -> Spread:
    drawn = np.random.default_rng(seed).integers(0, len(own), (_RESAMPLES, len(own)))
    resampled, of_reference = _variance(own[drawn]), _variance(reference[drawn])
    low, high = np.quantile(resampled, (0.025, 0.975))
    accuracy_low, accuracy_high = wilson_interval(right, len(own))
    ratio = ratio_low = ratio_high = None
    if (of_reference > 0).all() and _variance(reference) > 0:
        ratio = float(_variance(own) / _variance(reference))
        ratio_low, ratio_high = (float(end) for end in np.quantile(resampled / of_reference, (0.025, 0.975)))
    return Spread(
        network=name,
        images=len(own),
        accuracy=right / len(own),
        accuracy_low=accuracy_low,
        accuracy_high=accuracy_high,
        variance=float(_variance(own)),
        variance_low=float(low),
        variance_high=float(high),
        between_classes=logits.var(1, correction=0).mean().item(),
        between_images=logits.var(0, correction=0).mean().item(),
        ratio=ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
    )


def _quotients(name: str, view: nn.Module, differentiable: bool, h: float, images: Tensor, labels: Tensor, chosen: Tensor) -> Quotients:
    ask = partial(forward, view, max_rows=_ROWS)
    parts = [quotients(ask, h, *row) for row in zip(images, labels, chosen, strict=True)]
    zero, size = torch.stack([part[0] for part in parts]), torch.stack([part[1] for part in parts]).abs()
    steepest = None
    if differentiable:
        with torch.enable_grad():
            points = images.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(margin(view(points), labels).sum(), points)
        steepest = slope.flatten(1).gather(1, chosen).abs().max().item()
    share, low, high = mean_interval(zero.double().mean(1).tolist())
    return Quotients(
        network=name,
        h=h,
        images=len(images),
        coordinates=chosen.shape[1],
        zero=share,
        zero_low=None if low is None else max(0.0, low),
        zero_high=None if high is None else min(1.0, high),
        median=size.median().item(),
        percentile_99=size.flatten().quantile(0.99).item(),
        largest=size.max().item(),
        largest_gradient=steepest,
    )
