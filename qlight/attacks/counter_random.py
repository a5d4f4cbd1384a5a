"""Random numbers that are a pure function of (seed, image, step): the same in any batch, order, process or restart.

The generator is SplitMix64's finalizer over counters, in torch integer arithmetic, so that it runs on the images' device.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed number
_MIX1 = -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
_MIX2 = -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX1
    x = (x ^ _shift_right(x, 27)) * _MIX2
    return x ^ _shift_right(x, 31)


def random_words(seed: int, index: Tensor, step: Tensor, count: int, stream: int = 0) -> Tensor:
    """64 random bits for each image and counter: int64, N x count.

    Args:
        seed: of the attack.
        index: int64, N: which image, for example its position in the test set.
        step: int64, N: the step of each image.
        count: words an image.
        stream: separates uses within a step.

    >>> index, step = torch.tensor([3, 7]), torch.tensor([0, 0])
    >>> torch.equal(random_words(0, index, step, 4)[1:], random_words(0, index[1:], step[1:], 4))
    True
    """
    key = _mix(torch.full_like(index, seed) * _GOLDEN + stream)
    key = _mix((key ^ index) * _GOLDEN + 1)
    key = _mix((key ^ step) * _GOLDEN + 2)
    counters = torch.arange(1, count + 1, device=index.device)
    return _mix(key[:, None] + counters * _GOLDEN)


def random_signs(seed: int, index: Tensor, step: Tensor, count: int, dtype: torch.dtype, stream: int = 0) -> Tensor:
    """-1 and +1 with equal probability: N x count; arguments as for `random_words`."""
    words = random_words(seed, index, step, -(-count // 64), stream)
    bits = (words[:, :, None] >> torch.arange(64, device=index.device)) & 1
    return bits.flatten(1)[:, :count].to(dtype).mul_(2).sub_(1)


def random_uniform(seed: int, index: Tensor, step: Tensor, count: int, dtype: torch.dtype, stream: int = 0) -> Tensor:
    """Uniform on [0, 1), multiples of 2^-24: N x count; arguments as for `random_words`."""
    return _shift_right(random_words(seed, index, step, count, stream), 40).to(torch.float32).mul_(2.0**-24).to(dtype)


def random_order(seed: int, index: Tensor, step: Tensor, count: int, chosen: int, stream: int = 0) -> Tensor:
    """``chosen`` different numbers below ``count`` for each image, in random order: int64, N x chosen; arguments as for `random_words`."""
    return random_words(seed, index, step, count, stream).topk(chosen, largest=False).indices
