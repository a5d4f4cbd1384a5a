"""The metrics of the paper's section 4.3, as torchmetrics metrics that add up over batches and processes.

*Adversarial accuracy* is the accuracy on X', the set of one adversarial example for **each** x of the test set X: an image that was
already misclassified counts as an error, as in the paper.

*Distortion* is "the average l2 norm and l-infinity norm of the difference between clean and adversarial examples which succeed to fool the
target model". This is read literally: an example counts where its adversarial prediction is not the label, whatever the clean prediction
was. Such an average also holds images that the model got wrong before any attack, where an attack that stops early (CW, DeepFool) may
have changed nothing, which lowers it. So the evaluation reports a second pair of averages over the *flipped* images alone: clean prediction
right, adversarial prediction wrong. Give `MeanDistortion` the matching mask (`fooled` or `flipped`).

Counts are integers and sums are float64, so a result depends on the order of batches by float64 rounding only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from qlight.errors import InputError


def predicted_class(predictions: Tensor, labels: Tensor) -> Tensor:
    """Class indices (N) from logits (N x classes) or from class indices (N).

    Raises:
        InputError: other shapes, another number of labels, or floats where class indices are expected.

    >>> predicted_class(torch.tensor([[0.1, 0.9], [2.0, -1.0]]), torch.tensor([1, 1]))
    tensor([1, 0])
    """
    if labels.ndim != 1:
        raise InputError(f"Expected `labels` of shape N, but got {tuple(labels.shape)}; pass one class index an image.")
    if predictions.ndim == 2 and predictions.shape[1] > 0:
        predictions = predictions.argmax(dim=1)
    elif predictions.ndim != 1 or predictions.is_floating_point():
        raise InputError(
            f"Expected `predictions` to be logits of shape N x classes or class indices of shape N, but got "
            f"{predictions.dtype} of shape {tuple(predictions.shape)}; pass the model's output."
        )
    if len(predictions) != len(labels):
        raise InputError(
            f"Expected as many `predictions` as `labels`, but got {len(predictions)} and {len(labels)}; pass one each an image."
        )
    return predictions


def fooled(adversarial_predictions: Tensor, labels: Tensor) -> Tensor:
    """Which adversarial examples succeed in the paper's literal sense: bool, N; the prediction is not the label."""
    return predicted_class(adversarial_predictions, labels) != labels


def flipped(clean_predictions: Tensor, adversarial_predictions: Tensor, labels: Tensor) -> Tensor:
    """Which images the attack turned: bool, N; right on the clean image and wrong on the adversarial one."""
    return (predicted_class(clean_predictions, labels) == labels) & fooled(adversarial_predictions, labels)


def distortion(clean: Tensor, adversarial: Tensor, p: float = 2) -> Tensor:
    """The l_p norm of each image's perturbation, in pixel units of [0, 1].

    Args:
        clean: images, N x anything.
        adversarial: the same shape.
        p: 1, 2 or `math.inf`.

    Returns:
        float64, N.

    Raises:
        InputError: shapes differ, or `p` is not a norm's order.

    >>> distortion(torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]]])).item()
    1.0
    """
    if clean.shape != adversarial.shape or clean.ndim < 1:
        raise InputError(
            f"Expected `adversarial` of the shape of `clean`, {tuple(clean.shape)}, but got {tuple(adversarial.shape)}; pass pairs."
        )
    if not isinstance(p, int | float) or not p >= 1:
        raise InputError(f"Expected `p` to be the order of a norm (2 or math.inf), but got {p!r}; choose one of these.")
    difference = (adversarial.double() - clean.double()).reshape(len(clean), -1)
    return torch.linalg.vector_norm(difference, ord=p, dim=1)


class AdversarialAccuracy(Metric):
    """The share of images that the model classifies right; over adversarial examples of all images it is the paper's *acc* (section 4.3).

    `update` takes logits (N x classes) or class indices (N), and labels (N). `compute` gives float64, NaN where there was no image.

    >>> metric = AdversarialAccuracy()
    >>> metric.update(torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1, 1, 1]))
    >>> metric.compute().item()
    0.75
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    correct: Tensor
    total: Tensor

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.add_state("correct", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add one batch."""
        self.correct += (predicted_class(predictions, labels) == labels).sum()
        self.total += len(labels)

    def compute(self) -> Tensor:
        """Correct images / images."""
        return self.correct.double() / self.total


class MeanDistortion(Metric):
    """The mean l_p norm of the perturbation over selected images, and how many there were (section 4.3; see the module's docstring).

    `update` takes clean and adversarial images (N x C x H x W, in [0, 1]) and a bool mask (N): `fooled` for the paper's literal reading.
    `compute` gives {"mean": float64, NaN where no image was selected, "count": int64}.

    Args:
        p: 2 or `math.inf`.

    >>> metric = MeanDistortion(p=math.inf)
    >>> metric.update(torch.zeros(2, 1, 1, 2), torch.tensor([[[[0.25, 0.5]]], [[[1.0, 0.0]]]]), torch.tensor([True, False]))
    >>> metric.compute()["mean"].item(), metric.compute()["count"].item()
    (0.5, 1)
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    total: Tensor
    count: Tensor

    def __init__(self, p: float = 2, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if p not in (1, 2, math.inf):
            raise InputError(f"Expected `p` to be 1, 2 or math.inf, but got {p!r}; choose one of these.")
        self.p = p
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, clean: Tensor, adversarial: Tensor, selected: Tensor) -> None:
        """Add one batch."""
        norms = distortion(clean, adversarial, self.p)
        if selected.dtype is not torch.bool or selected.shape != norms.shape:
            raise InputError(
                f"Expected `selected` to be bool of shape {tuple(norms.shape)}, but got {selected.dtype} of shape {tuple(selected.shape)}; "
                "pass `fooled(...)` or `flipped(...)`."
            )
        self.total += norms[selected].sum()
        self.count += selected.sum()

    def compute(self) -> dict[str, Tensor]:
        """Sum of the norms / number of selected images."""
        return {"mean": self.total / self.count, "count": self.count}
