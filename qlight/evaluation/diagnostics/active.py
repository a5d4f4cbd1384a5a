"""The active test of Zimmermann et al. 2022: plant an adversarial example in each ball, and see whether gradients find one.

For each image the readout is replaced by a binary one on the features before the last linear layer: it says "own" for the image and for
random corners of the eps-ball, and "planted" for one further corner, so that an example is known to exist. Gradient steps on that readout
must reach the "planted" side; as many fresh corners show how hard that is. (The published test draws its own points inside the ball, which
leaves it to chance whether fresh corners are on the planted side: 69 % of them were on a float network.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qlight.attacks.counter_random import random_signs
from qlight.evaluation.diagnostics.record import ZIMMERMANN, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.subject import Subject, share
from qlight.evaluation.seeds import derived_seed

#: The paper's own: an evaluation passes where its attack finds 95 % of the planted examples.
PLANTED = Question(
    "planted_examples", "gradients", "planted examples that gradient steps find (the network's features with a binary readout)",
    "share", 0.95, ">=", ZIMMERMANN,
)  # fmt: skip

#: The boundary between the two sides lies at 0.9 of the way from the highest of the own points to the planted one.
_CLOSE = 0.9
_RIDGE = 1e-6  # of the mean squared feature: the readout interpolates, but stays finite where features repeat


def planted(subject: Subject) -> Diagnostic:
    """Share of images for which the planted example, or another on its side, is found by signed gradient steps on the readout."""
    readout = last_linear(subject.view, subject.images[:1])
    if readout is None:
        return PLANTED.skip("the model has no last linear layer whose inputs could be read out anew")
    count = min(len(subject.images), subject.sizes.active_images)
    images, index = subject.images[:count], subject.index[:count]
    weights, level, corners, separable = _readouts(subject, readout, images, index)
    if not bool(separable.any()):
        return PLANTED.skip("no planted example can be told from the other points by its features")
    score = _scores(subject, readout, images, weights)
    found = score >= level
    low, high = (images - subject.eps).clamp(min=0), (images + subject.eps).clamp(max=1)
    steps = subject.sizes.steps * 2
    point = images
    for step in range(steps):
        with torch.enable_grad():
            point = point.detach().requires_grad_()
            features = features_of(subject.view, readout, point)
            scores = (features.double() * weights).sum(1)
            slope = torch.autograd.grad(scores.sum(), point, allow_unused=True)[0] if scores.requires_grad else None
        found = found | (scores.detach() >= level)
        if slope is None:
            break
        size = 2.5 * subject.eps / subject.sizes.steps * (1 - step / steps)  # smaller steps towards the end
        point = torch.minimum(torch.maximum(point.detach() + size * slope.sign(), low), high)
    found = found | (_scores(subject, readout, point.detach(), weights) >= level)
    figure, chance = share(found[separable]), share(corners[separable])
    said = f"Gradient steps find {percent(figure)} of {int(separable.sum())} planted examples, and as many random points {percent(chance)}"
    return PLANTED.answer(
        figure,
        f"{said}.",
        f"{said}: the gradients of the features miss examples that are there.",
        random=chance,
        images=int(separable.sum()),
        samples=subject.sizes.active_samples,
    )


def _readouts(subject: Subject, readout: nn.Module, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each image the weights on the features (n x features, float64), the score of the boundary, whether fresh random corners pass
    it, and whether the planted point can be told apart at all."""
    samples, values = subject.sizes.active_samples, images.flatten(1).shape[1]
    seed = derived_seed(subject.seed, "planted", 0)
    weights, levels, random, separable = [], [], [], []
    for image, number in zip(images, index, strict=True):
        one, zero = number[None], torch.zeros_like(number)[None]
        corners = random_signs(seed, one, zero, (2 * samples + 1) * values, image.dtype).view(-1, *image.shape)
        points = torch.cat([image[None], image + subject.eps * corners]).clamp(0, 1)  # the image, own corners, the planted one, fresh ones
        with torch.no_grad():
            features = torch.cat([features_of(subject.view, readout, piece) for piece in points.split(subject.sizes.max_rows)]).double()
        known = features[: samples + 2]
        middle = known.mean(0)
        centred = known - middle
        wanted = torch.full((len(known),), -1.0, dtype=torch.float64, device=image.device)
        wanted[-1] = 1
        gram = centred @ centred.T
        gram += torch.eye(len(gram), dtype=gram.dtype, device=gram.device) * (_RIDGE * gram.diagonal().mean() + 1e-30)
        weight = centred.T @ torch.linalg.solve(gram, wanted - wanted.mean())
        scores = features @ weight
        highest, planted_score = scores[: samples + 1].max(), scores[samples + 1]
        level = highest + _CLOSE * (planted_score - highest)
        weights.append(weight)
        levels.append(level)
        separable.append(planted_score > highest)
        random.append((scores[samples + 2 :] >= level).any())
    return torch.stack(weights), torch.stack(levels), torch.stack(random), torch.stack(separable)


def _scores(subject: Subject, readout: nn.Module, images: Tensor, weights: Tensor) -> Tensor:
    with torch.no_grad():
        return (features_of(subject.view, readout, images).double() * weights).sum(1)


def features_of(model: nn.Module, readout: nn.Module, images: Tensor) -> Tensor:
    """What enters `readout` (its last call) when `images` pass through the model: n x features."""
    seen: list[Any] = []
    handle = readout.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        model(images)
    finally:
        handle.remove()
    return seen[-1].flatten(1)


def last_linear(model: nn.Module, images: Tensor) -> nn.Module | None:
    """The `nn.Linear` that is called last, if it takes one row for each image."""
    called: list[nn.Module] = []
    handles = [
        module.register_forward_pre_hook(lambda module, given: called.append(module) if len(given[0]) == len(images) else None)
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return called[-1] if called else None
