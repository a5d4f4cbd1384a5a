"""Batch norm and activation as integer thresholds, found by asking torch's own modules (bisection), so that ties fall as in torch.

What is asked. For an integer accumulator A of channel c the layer's real output is A * unit[c], and torch's float32 sum of rounded products
lies around it. Where this is a float32 number and every partial sum is one (weights and activations of one bit each), torch computes it
exactly; elsewhere its last bits depend on the order of summation, and the exact number, rounded once to float32, stands for all of these.
From there on the arithmetic is torch's: the batch-norm module in evaluation mode, in the memory layout in which the network runs it, then
the activation module. All steps are monotone in A (rounding is), ascending where batch norm's scale is positive, else descending, so for
each code i there is one integer at which the code passes i.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.lowering.codes import Unit
from qlight.quantization import Quantizer

#: int64 accumulators, P x channels -> int64 codes of the same shape, monotone along P
CodesOf = Callable[[np.ndarray], np.ndarray]


def codes_through(name: str, norm: nn.Module, activation: Quantizer, unit: Unit) -> CodesOf:
    """The codes that ``norm`` and ``activation`` give to accumulators of ``unit``.

    Args:
        name: of the layer, for errors.

    Raises:
        InputError: (the returned function) batch norm gives NaN.
    """

    @torch.no_grad()
    def codes(accumulators: np.ndarray) -> np.ndarray:
        real = torch.from_numpy(np.broadcast_to(unit.value(accumulators), accumulators.shape).copy())
        normalized = normalize(norm, real)
        if normalized.isnan().any():
            raise InputError(
                f"Expected `model` to have batch norms that give numbers, but that of {name} gives NaN; "
                "use a checkpoint whose training did not diverge."
            )
        return activation.quantize(normalized).code.numpy().astype(np.int64)

    return codes


def normalize(norm: nn.Module, real: Tensor) -> Tensor:
    """What ``norm`` makes of float32 numbers P x channels, by the kernel that the network uses: channels_last for images."""
    if isinstance(norm, nn.BatchNorm1d):
        return norm(real)
    # 2 x 2 places, so that the layout is channels_last and nothing else
    images = real[:, :, None, None].expand(-1, -1, 2, 2).contiguous(memory_format=torch.channels_last)
    return norm(images)[:, :, 0, 0]


def find_thresholds(codes: CodesOf, low: int, high: int, channels: int, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds and directions for which a graph's Threshold equals ``codes`` on all integers from ``low`` to ``high``.

    Args:
        codes: monotone per channel, from 0 to ``largest``.
        low, high: range of the accumulators.

    Returns:
        int32, channels x largest; int8, channels. A threshold outside of the range (high + 1, or low - 1 where the direction is -1) never
        fires. A channel whose code does not depend on the accumulator has direction +1.

    >>> find_thresholds(lambda acc: np.clip(acc // 2, 0, 3), -5, 4, 1, 3)
    (array([[2, 4, 5]], dtype=int32), array([1], dtype=int8))
    """
    ends = codes(np.array([[low], [high]]).repeat(channels, 1))
    direction = np.where(ends[1] >= ends[0], 1, -1)
    wanted = np.arange(1, largest + 1)[:, None]
    # in t = direction * accumulator every channel ascends; the smallest t whose code reaches `wanted`, or one beyond the last
    first = np.where(direction > 0, low, -high)
    found = np.broadcast_to(first, (largest, channels)).copy()
    beyond = found + (high - low + 1)
    while (found < beyond).any():
        middle = (found + beyond) >> 1
        inside = np.minimum(middle, first + (high - low))  # where the search has ended at one beyond
        reached = codes(direction * inside) >= wanted
        open_ = found < beyond
        beyond = np.where(open_ & reached, middle, beyond)
        found = np.where(open_ & ~reached, middle + 1, found)
    return (direction * found).T.astype(np.int32), direction.astype(np.int8)
