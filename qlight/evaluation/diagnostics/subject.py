"""The network under diagnosis, with its images; and every attack that was run on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.attacks.per_image import PerImageAttack
from qlight.attacks.spec import AttackSpec
from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError
from qlight.evaluation.diagnostics.sizes import Sizes
from qlight.evaluation.seeds import derived_seed, seeded

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Outcome:
    """An attack on the images that the network classifies rightly, n of them.

    Attributes:
        name: label of the attack.
        eps: radius of its l-infinity ball; None where it has none.
        parameters: every argument, as JSON can hold it.
        adversarial: n x C x H x W: what it returned; where that was not finite the clean image, and clipped to the box.
        fooled: bool, n: whether the network misclassifies them.
        beyond_box, beyond_eps: how far what it returned left [0, 1] and the ball, in pixel units.
        not_finite: images that it returned with values that are not finite.
    """

    name: str
    eps: float | None
    parameters: dict[str, Any]
    adversarial: Tensor
    fooled: Tensor
    beyond_box: float
    beyond_eps: float
    not_finite: int

    @property
    def success(self) -> float:
        """Share of the images that are fooled."""
        return share(self.fooled)


@dataclass(frozen=True)
class Subject:
    """What the diagnostics measure.

    Attributes:
        model: the network as it was given.
        view: the network as attacks see it: its evaluation view if it offers one, else itself.
        all_images, all_labels: as given, for the checks of the set-up.
        images, labels, index: those that the view classifies rightly, n x C x H x W, n and n: no other can be fooled.
        eps, seed, sizes: as given.
        differentiable: whether gradients flow from the logits to the images.
        outcomes: of the attacks so far, by name.
    """

    model: nn.Module
    view: nn.Module
    all_images: Tensor
    all_labels: Tensor
    images: Tensor
    labels: Tensor
    index: Tensor
    eps: float
    seed: int
    sizes: Sizes
    differentiable: bool
    outcomes: dict[str, Outcome]

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the view, without gradient, `max_rows` images at a time."""
        return forward(self.view, images, self.sizes.max_rows)

    def fooled(self, adversarial: Tensor) -> Tensor:
        """Whether each of n adversarial images (one for each of `images`) is misclassified: bool, n."""
        return self.logits(adversarial).argmax(1) != self.labels

    def gradient(self, loss: Loss) -> Tensor:
        """Gradient of a loss (logits n x classes, labels n -> n) in the pixels: float64, n x values; `batch_size` images at a time."""
        parts = []
        for first in range(0, len(self.images), self.sizes.batch_size):
            piece = slice(first, first + self.sizes.batch_size)
            with torch.enable_grad():
                images = self.images[piece].clone().requires_grad_()
                (slope,) = torch.autograd.grad(loss(self.view(images), self.labels[piece]).sum(), images)
            parts.append(slope.flatten(1).double())
        return torch.cat(parts)

    def attack(self, name: str, path: str, *, eps: float | None, on: nn.Module | None = None, **init_args: Any) -> Outcome:
        """Run an attack on the rightly classified images, and remember its outcome under `name`.

        Args:
            name: its label, from which its seed is derived.
            path: class, as a suite names it.
            eps: radius of its ball, which is its `eps`; None: it has none.
            on: the network that it is crafted on; default: the view. Judged on the view always.
            init_args: the other arguments.
        """
        if eps is not None:
            init_args["eps"] = eps
        spec = AttackSpec.create(name, path, init_args)
        network = self.view if on is None else on
        attack: Any = spec.seeded(derived_seed(self.seed, name, 0)).build(network)
        attack.set_device(self.images.device)  # torchattacks asks the first parameter, which not every model has
        parts = []
        for first in range(0, len(self.images), self.sizes.batch_size):
            piece = slice(first, first + self.sizes.batch_size)
            own = {"index": self.index[piece]} if isinstance(attack, PerImageAttack) else {}
            with unchanged(network), seeded(derived_seed(self.seed, name, first)), torch.enable_grad():
                parts.append(attack(self.images[piece].clone(), self.labels[piece].clone(), **own).detach())
        outcome = self.judge(name, torch.cat(parts), eps, spec.parameters)
        self.outcomes[name] = outcome
        return outcome

    def judge(self, name: str, returned: Tensor, eps: float | None, parameters: dict[str, Any]) -> Outcome:
        """The outcome of an attack that returned `returned`, n x C x H x W."""
        finite = returned.isfinite().flatten(1).all(1)
        images = torch.where(finite[:, None, None, None], returned.to(self.images), self.images)
        beyond_box = torch.maximum(-images, images - 1).max().clamp(min=0).item()
        moved = (images.double() - self.images.double()).abs().max().item()
        beyond_eps = 0.0 if eps is None else max(0.0, moved - eps)
        images = images.clamp(0, 1)
        with seeded(derived_seed(self.seed, f"{name} judged", 0)):
            fooled = self.fooled(images)
        return Outcome(name, eps, parameters, images, fooled, beyond_box, beyond_eps, int((~finite).sum()))


def subject_of(model: nn.Module, images: Tensor, labels: Tensor, index: Tensor, eps: float, seed: int, sizes: Sizes) -> Subject:
    """The subject; `model` must be inside `unchanged`, and is in evaluation mode afterwards.

    Raises:
        InputError: the model does not return finite logits N x classes for these labels.
    """
    view = evaluation_view(model)
    view.eval()
    logits = forward(view, images, sizes.max_rows)
    if not bool(logits.isfinite().all()):
        raise InputError("Expected `model` to return finite logits, but got values that are not; diagnose it before it overflows.")
    if int(labels.max()) >= logits.shape[1]:
        raise InputError(f"Expected `labels` from 0 to {logits.shape[1] - 1}, but got {int(labels.max())}; relabel these images.")
    right = logits.argmax(1) == labels
    whole = Subject(model, view, images, labels, images, labels, index, eps, seed, sizes, differentiable(view, images[:1]), {})
    return replace(whole, images=images[right], labels=labels[right], index=index[right])


def evaluation_view(model: nn.Module) -> nn.Module:
    """What attacks run on: `model.evaluation_view()` where it has that method, else the model."""
    offered = getattr(model, "evaluation_view", None)
    view = offered() if callable(offered) else model
    if not isinstance(view, nn.Module):
        raise InputError(f"Expected `evaluation_view` of the model to return a module, but got {type(view).__name__}; correct the model.")
    return view


def forward(model: nn.Module, images: Tensor, max_rows: int) -> Tensor:
    """Logits of `images` without gradient, at most `max_rows` at a time.

    Raises:
        InputError: they are not a floating-point tensor N x classes.
    """
    parts = []
    with torch.no_grad():
        for piece in images.split(max_rows):
            logits = model(piece)
            if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(piece) or not logits.is_floating_point():
                got = f"{logits.dtype} of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
                raise InputError(
                    f"Expected `model` to return floating-point logits {len(piece)} x classes, but got {got}; wrap it so that it does."
                )
            parts.append(logits.detach())
    return torch.cat(parts)


def differentiable(model: nn.Module, images: Tensor) -> bool:
    """Whether a gradient, be it zero, flows from the logits to the images."""
    with torch.enable_grad():
        images = images.clone().requires_grad_()
        logits = model(images)
        if not logits.requires_grad:
            return False
        try:
            (slope,) = torch.autograd.grad(logits.sum(), images, allow_unused=True)
        except RuntimeError:  # an operation without a derivative
            return False
    return slope is not None


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """logit_y - max_{j != y} logit_j, n: the paper's equation (7) without kappa; computed in float32 at least."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each image, n."""
    return F.cross_entropy(logits, labels, reduction="none")


def share(where: Tensor) -> float:
    """The share of True: 0.0 to 1.0."""
    return where.double().mean().item()
