"""ZOO's importance sampling: coordinates are drawn more often where the image has moved; [22] section 3.4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qlight.attacks.counter_random import random_words

REGIONS = 8  # along each side of a channel
UNIFORM = 0.5  # the share of draws that knows of no regions: 128 of them an iteration see 3 x 32 x 32 values once in 48 iterations


def importance(modifier: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The probability of each coordinate, float64, n x values.

    A channel is divided into 8 x 8 regions (fewer where it is smaller) of ceil(H / 8) x ceil(W / 8) pixels. Half of the
    probability goes to coordinates in proportion to the largest absolute modifier of their region, half to all alike: so no coordinate is
    out of reach, while the original gives 0 to regions that have not moved yet, and never finds them. All alike while nothing has moved.

    Args:
        modifier: n x values: how far each coordinate is from where it started.
        shape: C, H, W of an image, with C H W values.

    >>> importance(torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -2.0]], dtype=torch.float64), (1, 2, 2))
    tensor([[0.2500, 0.2500, 0.2500, 0.2500],
            [0.1250, 0.1250, 0.1250, 0.6250]], dtype=torch.float64)
    """
    _, height, width = shape
    size = (-(-height // REGIONS), -(-width // REGIONS))
    largest = F.max_pool2d(modifier.double().abs().view(-1, *shape), size, ceil_mode=True)
    spread = largest.repeat_interleave(size[0], 2)[:, :, :height].repeat_interleave(size[1], 3)[..., :width].flatten(1)
    total = spread.sum(1, keepdim=True)
    moved = spread / torch.where(total > 0, total, 1.0)
    alike = 1 / spread.shape[1]
    return torch.where(total > 0, (1 - UNIFORM) * moved + UNIFORM * alike, alike)


def weighted_order(seed: int, index: Tensor, step: Tensor, probability: Tensor, chosen: int, stream: int = 0) -> Tensor:
    """``chosen`` different numbers for each image, drawn one after the other with the probabilities of those that are left.

    Number i waits for an exponentially distributed time of rate p_i, and the first to come are chosen (Efraimidis and Spirakis, Weighted
    random sampling with a reservoir, 2006).

    Args:
        seed, index, step, stream: as for `random_words`.
        probability: float64, n x count, above 0; need not be normalized.
        chosen: at most count.

    Returns:
        int64, n x chosen, in the order in which they were drawn.

    >>> index = torch.tensor([5])
    >>> weighted_order(0, index, index, torch.tensor([[1e-9, 1.0, 1e-9]]), 1)
    tensor([[1]])
    """
    words = random_words(seed, index, step, probability.shape[1], stream)
    uniform = ((words >> 11) & (2**53 - 1)).double() * 2.0**-53
    # log1p and not log: torch's log rounds the last elements of a tensor differently, so that a time would depend on the batch
    return (-(-uniform).log1p() / probability).topk(chosen, dim=1, largest=False).indices
