"""What an attack says about each of its images: after a call, and as soon as an image is finished."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Report:
    """What the last call of an attack did, image by image; all of length N, in the order of the images.

    Attributes:
        success: whether an adversarial example was found; where not, the attack returned the clean image.
        queries: images that the attack asked the model about.
        iterations: steps taken.
        forwards: images that the model computed for it: fewer than the queries where an attack knows an answer without computing it.
        gradients: images that were differentiated for it.
        c: the weight of the loss against the distance that gave the example, float64; NaN where there is none.
        seconds: its share of the time, float64: that of a step is shared by the images in work. On a GPU that of launching the steps.
    """

    success: Tensor
    queries: Tensor
    iterations: Tensor
    forwards: Tensor
    gradients: Tensor
    c: Tensor
    seconds: Tensor


@dataclass(frozen=True)
class Finished:
    """Images whose attack is over, as they leave: what `Report` holds for them, and the examples.

    Attributes:
        row: int64, n: where the images stood in the call's inputs.
        examples: n x C x H x W: adversarial, or the clean image where there was no success.
        report: of these images.
    """

    row: Tensor
    examples: Tensor
    report: Report
