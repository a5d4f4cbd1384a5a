"""Finite differences against the gradient that backpropagation gives, straight-through estimators included, over a sweep of steps h."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qlight.attacks.counter_random import random_order
from qlight.evaluation.diagnostics.record import ATHALYE, PAPER, PINTOR, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.sizes import ZOO_H
from qlight.evaluation.diagnostics.subject import Subject, margin
from qlight.evaluation.seeds import derived_seed

#: A float32 network with ReLU has 0.4 to 1 % at h = 1e-4 (equal roundings), quantized activations 90 % and more; a tenth of the probes
#: wasted would not yet harm ZOO.
ZERO_DIFFERENCES = Question("zero_differences", "differences", f"differences that are zero at h = {ZOO_H:g}", "share", 0.1, "<=", PAPER)
#: A difference quotient is a mean of slopes, so on a smooth network it stays about below the largest gradient entry (measured: 0.5);
#: steps of quantized activations exceed it by hundreds to ten thousands.
EXPLOSION = Question(
    "exploding_differences", "differences", f"largest |difference quotient| at h = {ZOO_H:g}, relative to the largest gradient entry",
    "ratio", 10, "<=", PAPER,
)  # fmt: skip
#: A float network has 1.00, quantized activations 0.0; at a half the two no longer lie within 60 degrees of each other.
COSINE = Question(
    "difference_direction", "differences", f"mean cosine between the differences at h = {ZOO_H:g} and the gradient",
    "cosine", 0.5, ">=", f"{PAPER}; {ATHALYE}",
)  # fmt: skip
#: As above, for a reader who would like to choose a better h.
BEST_COSINE = Question(
    "best_difference_direction", "differences", "mean cosine between differences and gradient at the h where it is largest",
    "cosine", 0.5, ">=", f"{PAPER}; {PINTOR}",
)  # fmt: skip

QUESTIONS = (ZERO_DIFFERENCES, EXPLOSION, COSINE, BEST_COSINE)


@dataclass(frozen=True)
class AtStep:
    """What the differences at one h are like.

    Attributes:
        h: half-width, in pixel units.
        zero_share: share of the differences that are exactly zero.
        largest_quotient: largest |difference quotient|, in logits per unit of a pixel.
        explosion: that, relative to the largest gradient entry of these images; None where there is no gradient, or it is zero.
        cosine: mean over images of the cosine to the gradient on the same coordinates, 0 where either is zero; None without a gradient.
    """

    h: float
    zero_share: float
    largest_quotient: float
    explosion: float | None
    cosine: float | None


def sweep(subject: Subject) -> list[AtStep]:
    """Central differences of the margin of logits on random coordinates of the images, for each h.

    Points stay in the box: a pixel closer than h to 0 or 1 has a narrower or one-sided difference, divided by its own width as the dtype
    of the images holds it.
    """
    count = min(len(subject.images), subject.sizes.difference_images)
    images, labels = subject.images[:count].flatten(1), subject.labels[:count]
    chosen_per_image = min(subject.sizes.coordinates, images.shape[1])
    index = subject.index[:count]
    seed = derived_seed(subject.seed, "difference coordinates", 0)
    chosen = random_order(seed, index, torch.zeros_like(index), images.shape[1], chosen_per_image)
    gradient = subject.gradient(margin)[:count] if subject.differentiable else None
    return [_at_step(subject, h, images, labels, chosen, gradient) for h in subject.sizes.h]


def _at_step(subject: Subject, h: float, images: Tensor, labels: Tensor, chosen: Tensor, gradient: Tensor | None) -> AtStep:
    pictures = images.unflatten(1, subject.images.shape[1:])
    # an image at a time: its probes are a batch
    parts = [quotients(subject.logits, h, *row) for row in zip(pictures, labels, chosen, strict=True)]
    zero, slopes = torch.stack([part[0] for part in parts]), torch.stack([part[1] for part in parts])
    largest = slopes.abs().max().item()
    explosion = cosine = None
    if gradient is not None:
        gradient = gradient.nan_to_num(0, 0, 0)
        steepest = gradient.abs().max().item()
        explosion = largest / steepest if steepest else None
        cosine = F.cosine_similarity(slopes, gradient.gather(1, chosen), dim=1, eps=1e-300).mean().item()
    return AtStep(h, zero.double().mean().item(), largest, explosion, cosine)


def quotients(logits: Callable[[Tensor], Tensor], h: float, image: Tensor, label: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of the margin of logits, the paper's equation (9): log softmax (equation (10)) has the same margin.

    Args:
        logits: images N x C x H x W -> logits N x classes.
        h: half-width, in pixel units.
        image: C x H x W.
        label: int64, one.
        chosen: int64: positions in the flattened image.

    Returns:
        whether each difference is exactly zero, and the quotients in float64: both of the length of ``chosen``.
    """
    flat = image.flatten()
    here = flat[chosen]
    upper, lower = (here + h).clamp(max=1), (here - h).clamp(min=0)
    points = flat.repeat(2, len(chosen), 1)
    row = torch.arange(len(chosen), device=image.device)
    points[0, row, chosen], points[1, row, chosen] = upper, lower
    found = logits(points.view(-1, *image.shape))
    above, below = margin(found, label.expand(len(found))).double().view(2, -1)
    width = upper.double() - lower.double()
    difference = above - below
    # a width of 0: h is below what the dtype can hold, and the difference is 0
    return difference == 0, torch.where(width > 0, difference / width, 0.0)


def judge(subject: Subject, steps: list[AtStep]) -> list[Diagnostic]:
    """The diagnostics of a sweep, at ZOO's h."""
    at = next(step for step in steps if step.h == ZOO_H)
    zero = f"{percent(at.zero_share)} of finite differences at h={ZOO_H:g} are zero"
    zeros = ZERO_DIFFERENCES.answer(
        at.zero_share, f"{zero}: ZOO has something to follow.", f"{zero}: ZOO's result does not measure robustness.", h=ZOO_H
    )
    if not subject.differentiable:
        reason = "the model has no gradient to compare differences with"
        return [zeros, *(question.skip(reason) for question in (EXPLOSION, COSINE, BEST_COSINE))]
    return [zeros, _explosion(at), *_cosines(at, steps)]


def _explosion(at: AtStep) -> Diagnostic:
    largest = f"{at.largest_quotient:.3g} logits per unit"
    if at.explosion is None:
        if at.largest_quotient == 0:
            return EXPLOSION.skip("differences and gradients are all zero")
        said = f"The largest difference quotient at h={ZOO_H:g} is {largest} where every gradient is zero: the gradient says nothing."
        return EXPLOSION.answer(math.inf, said, said, largest_quotient=at.largest_quotient)
    ratio = f"The largest difference quotient at h={ZOO_H:g} is {at.explosion:.3g} times the largest gradient entry"
    return EXPLOSION.answer(
        at.explosion,
        f"{ratio}: differences do not explode.",
        f"{ratio} ({largest}): differences explode where an activation changes its code, and Adam follows the explosions.",
        largest_quotient=at.largest_quotient,
    )


def _cosines(at: AtStep, steps: list[AtStep]) -> list[Diagnostic]:
    best = max(steps, key=lambda step: (step.cosine or 0.0, -step.h))
    here, there = at.cosine or 0.0, best.cosine or 0.0
    return [
        COSINE.answer(
            here,
            f"Differences at h={ZOO_H:g} and the gradient agree: their mean cosine is {here:.2f}.",
            f"Differences at h={ZOO_H:g} and the gradient have a mean cosine of {here:.2f}: one of them does not tell how the loss falls.",
        ),
        BEST_COSINE.answer(
            there,
            f"The mean cosine of differences to the gradient reaches {there:.2f} at h={best.h:g}.",
            f"At no h do differences and the gradient agree: their mean cosine is at most {there:.2f} (h={best.h:g}), so a larger h does "
            "not mend ZOO.",
            h=best.h,
        ),
    ]
