"""Uniform quantization between the smallest and the largest weight; paper section 3.1, [15] (Polino et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from qlight.quantization.base import QuantizedTensor, Quantizer, check_bit_width, check_floating, widen
from qlight.quantization.dorefa import levels
from qlight.quantization.fixed_point import round_half_down
from qlight.quantization.ste import straight_through


class MinMaxUniform(Quantizer):
    """Scale to [0, 1] by minimum and maximum, take the nearest of s + 1 points, scale back; [15] section 2, equations (1) to (3).

    With b = min W and a = max W - min W the value is a * round(s * (W - b) / a) / s + b, where s = 2^n - 1; ties go to the lower point.
    Codes are 0 to s. One scale for the whole tensor (one bucket in the words of [15]). ``zero_point`` is a tensor, -b * s / a, in general
    no integer: 0 need not be a value. A constant tensor is kept as it is. The gradient passes unchanged.

    Args:
        bit_width: n, 1 to 8.

    >>> MinMaxUniform(2)(torch.tensor([-1.0, 0.1, 2.0]))
    tensor([-1.,  0.,  2.])
    """

    signed = False

    def __init__(self, bit_width: int) -> None:
        super().__init__()
        self.bit_width = check_bit_width("bit_width", bit_width)

    def forward(self, w: Tensor) -> Tensor:
        return straight_through(w, self.quantize(w).value)

    def quantize(self, w: Tensor) -> QuantizedTensor:
        check_floating("w", w)
        wide = widen(w.detach())
        s = levels(self.bit_width)
        low, high = wide.amin(), wide.amax()
        step = (high - low) / s
        # a constant tensor has no range: code 0, scale |w| and zero point -+1 say the same number. (A zero one: scale 1.)
        constant = step == 0
        fallback = torch.where(low == 0, torch.ones_like(low), low.abs())
        scale = torch.where(constant, fallback, step)
        code = round_half_down((wide - low) / scale).clamp_(0, s)
        value = (code * scale + low).to(w.dtype)
        return QuantizedTensor(code.to(torch.int32), scale, -low / scale, self.bit_width, self.signed, value)
