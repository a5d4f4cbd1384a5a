"""What batch norm and activation make of accumulators, by asking torch's own modules: thresholds found through it tie as torch does.

What is asked. For an integer accumulator A of channel c the layer's real output is A * unit[c], and torch's float32 sum of rounded products
lies around it. Where this is a float32 number and every partial sum is one (weights and activations of one bit each), torch computes it
exactly; elsewhere its last bits depend on the order of summation, and the exact number, rounded once to float32, stands for all of these.
From there on the arithmetic is torch's: the batch-norm module in evaluation mode, in the memory layout in which the network runs it, then
the activation module. All steps are monotone in A (rounding is), ascending where batch norm's scale is positive, else descending, so for
each code i there is one integer at which the code passes i.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.intgraph.thresholds import CodesOf
from qlight.lowering.codes import Unit
from qlight.quantization import Quantizer


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
