"""The l-infinity ball of an attack, cut with the box [0, 1], in numbers that the images' type has."""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def ball(images: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The least and the largest allowed value of each pixel, of the shape and the type of `images`.

    In bfloat16 a pixel plus eps rounds to as much as 0.002 outside the ball; these bounds never do, in any type. Rounding is monotone, so
    that a value between them is still between them after it was rounded to the images' type.

    >>> low, high = ball(torch.tensor([0.01, 0.7], dtype=torch.bfloat16), 0.03)
    >>> bool(((high.double() - torch.tensor([0.01, 0.7], dtype=torch.bfloat16).double()) <= 0.03).all())
    True
    """
    exact = images.double()
    bounds: list[Tensor] = []
    # Positive floats are ordered as their bits are, so that one less is the next float below. A bound of 0 or 1 needs no such step.
    for bound, inward in (((exact - eps).clamp(min=0), 1), ((exact + eps).clamp(max=1), -1)):
        rounded = bound.to(images.dtype)
        nearer = (rounded.view(_INTEGERS[images.element_size()]) + inward).view(images.dtype)
        bounds.append(torch.where((rounded.double() - exact).abs() > eps, nearer, rounded))
    return bounds[0], bounds[1]
