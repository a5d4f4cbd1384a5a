"""Activations of networks that were trained with real ones (ReLU): unsigned codes with a scale per layer, chosen from images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qlight.quantization import QuantizedTensor, Quantizer, check_bit_width
from qlight.quantization.dorefa import levels

#: cells of the histogram from 0 to the largest activation
BINS = 1 << 16
#: clipping points tried, as fractions of the largest activation
_FRACTIONS = np.geomspace(1.0, 0.02, 120)


class CalibratedActivation(Quantizer):
    """ReLU in codes: a = clamp(round(max(x, 0) / scale), 0, 2^n - 1), worth a * scale. Ties go to the even code.

    Straight-through in `forward` as the others are, so that gradients can be taken through the simulated network.

    Args:
        bit_width: n, 1 to 8.
        scale: what one step is worth; a float32 number of few bits (`shortened`), so that a * scale is exact.

    >>> CalibratedActivation(2, 0.5).quantize(torch.tensor([-1.0, 0.3, 9.0])).code
    tensor([0, 1, 3], dtype=torch.int32)
    """

    signed = False
    scale: Tensor

    def __init__(self, bit_width: int, scale: float) -> None:
        super().__init__()
        self.bit_width = check_bit_width("bit_width", bit_width)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def _codes(self, x: Tensor) -> Tensor:
        return x.detach().clamp(min=0).div_(self.scale).round_().clamp_(max=levels(self.bit_width))

    def forward(self, x: Tensor) -> Tensor:
        value = self._codes(x).mul_(self.scale)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        through = x.clamp(0.0, levels(self.bit_width) * float(self.scale))
        return through + (value - through).detach()

    def quantize(self, x: Tensor) -> QuantizedTensor:
        rounded = self._codes(x)
        return QuantizedTensor(rounded.to(torch.int32), self.scale, 0.0, self.bit_width, self.signed, rounded * self.scale)


def best_scale(blocks: Sequence[Tensor], bit_width: int) -> float:
    """The scale whose codes lose least (mean squared error) on ReLU's inputs ``blocks``.

    A few hundred activations far out would make the steps of all others coarse if the largest one set the scale; a fixed percentile would
    clip 8-bit codes too much or 2-bit codes too little. The error itself weighs both. It is computed on a histogram of counts, so it does
    not depend on how images were grouped. Layers without any positive activation get scale 1.
    """
    top = max(float(block.max()) for block in blocks)
    if not top > 0:
        return 1.0
    counts = np.zeros(BINS + 1, np.int64)
    for block in blocks:
        cells = (block[block > 0].numpy() * np.float64(BINS / top)).astype(np.int64)
        counts += np.bincount(cells, minlength=BINS + 1)
    counts[BINS - 1] += counts[BINS]  # the largest one itself
    centres = (np.arange(BINS) + 0.5) * (top / BINS)
    scales = [shortened(top * fraction / levels(bit_width)) for fraction in _FRACTIONS]
    losses = [_loss(centres, counts[:BINS], scale, levels(bit_width)) for scale in scales]
    return scales[int(np.argmin(losses))]


def _loss(values: np.ndarray, counts: np.ndarray, scale: float, largest: int) -> float:
    return float(np.dot(counts, np.square(np.minimum(np.rint(values / scale), largest) * scale - values)))


def shortened(scale: float) -> float:
    """``scale`` rounded up to 16 significant bits: a code of 8 bits times it is a float32 number.

    >>> shortened(0.1)
    0.10000038146972656
    """
    mantissa, exponent = np.frexp(max(scale, 2.0**-100))
    return float(np.ldexp(np.ceil(mantissa * 2.0**16), exponent - 16))
