"""Weights with few ones in their binary representation, so that products are shifts and additions: LightNN; paper section 3.1, [14]."""

from __future__ import annotations

import torch
from torch import Tensor

from qlight.quantization.base import QuantizedTensor, Quantizer, check_bit_width, check_floating, widen
from qlight.quantization.ste import straight_through

MAX_BIT_WIDTH = 16


def nearest_power(x: Tensor, limit: float) -> Tensor:
    """Of 0 and the signed powers of two +-1, +-2, ..., +-limit the one nearest to ``x``; ties go away from zero. float32 or float64.

    >>> nearest_power(torch.tensor([0.4, 0.5, -2.9, 3.0, 40.0]), 8)
    tensor([ 0.,  1., -2.,  4.,  8.])
    """
    size = x.abs()
    safe = size.clamp(1, limit)
    mantissa = torch.frexp(safe).mantissa
    # safe = mantissa * 2^e with mantissa in [0.5, 1): the division is exact. 0.75 is half way between two powers.
    power = torch.where(mantissa < 0.75, 0.5, 1.0) * (safe / mantissa)
    return torch.where(size < 0.5, torch.zeros_like(x), torch.copysign(power, x))


class PowerOfTwo(Quantizer):
    """Weights that are sums of at most ``k`` signed powers of two from 2^min_exponent to 2^max_exponent: LightNN-k; [14].

    Greedy as in LightNN: the power nearest to w, then the power nearest to what is left, ``k`` times; a remainder below half the
    smallest power is dropped, so 0 is a value. "Nearest" is by value, ties away from zero. First, w is clipped to +-2^max_exponent.
    The code is the integer multiple of the smallest power, from -2^(max_exponent - min_exponent) to its opposite, hence
    ``bit_width = max_exponent - min_exponent + 2`` in two's complement. (Stored as ``k`` pairs of sign and exponent it may be less.)
    The gradient passes unchanged.

    Args:
        k: 1 to 4 powers in a sum; [14] has LightNN-1 and LightNN-2.
        min_exponent, max_exponent: at most 14 apart.
        relative: count exponents from the smallest power of two that is not below the tensor's largest magnitude, so that layers of
            small weights keep their resolution.

    >>> PowerOfTwo(k=2, min_exponent=-4)(torch.tensor([0.7, -0.3, 0.01]))
    tensor([ 0.7500, -0.3125,  0.0000])
    """

    signed = True

    def __init__(self, k: int = 2, min_exponent: int = -6, max_exponent: int = 0, relative: bool = False) -> None:
        super().__init__()
        self.k = check_bit_width("k", k, low=1, high=4)
        check_bit_width("max_exponent", max_exponent, low=-32, high=32)
        check_bit_width("min_exponent", min_exponent, low=max_exponent - (MAX_BIT_WIDTH - 2), high=max_exponent)
        self.min_exponent = min_exponent
        self.max_exponent = max_exponent
        self.relative = relative
        self.bit_width = max_exponent - min_exponent + 2

    def _scale(self, w: Tensor) -> Tensor:
        """The smallest power, exactly, in the dtype of ``w``."""
        if not self.relative:
            return torch.full((), 2.0**self.min_exponent, dtype=w.dtype, device=w.device)
        largest = w.abs().amax()
        largest = torch.where(largest > 0, largest, torch.ones_like(largest))
        mantissa = torch.frexp(largest).mantissa
        # a largest magnitude that is a power of two has mantissa 0.5 and is its own reference.
        reference = largest / mantissa * torch.where(mantissa > 0.5, 1.0, 0.5)
        return reference * 2.0**self.min_exponent

    def forward(self, w: Tensor) -> Tensor:
        return straight_through(w, self.quantize(w).value)

    def quantize(self, w: Tensor) -> QuantizedTensor:
        check_floating("w", w)
        wide = widen(w.detach())
        scale = self._scale(wide)
        limit = 2.0 ** (self.max_exponent - self.min_exponent)
        rest = (wide / scale).clamp_(-limit, limit)
        code = torch.zeros_like(rest)
        for _ in range(self.k):
            power = nearest_power(rest, limit)
            code += power
            rest -= power
        return QuantizedTensor(code.to(torch.int32), scale, 0.0, self.bit_width, self.signed, (code * scale).to(w.dtype))

    def extra_repr(self) -> str:
        exponents = f"min_exponent={self.min_exponent}, max_exponent={self.max_exponent}, relative={self.relative}"
        return f"k={self.k}, {exponents}, " + super().extra_repr()


def power_of_two_for(bit_width: int, k: int = 2) -> PowerOfTwo:
    """The `PowerOfTwo` whose codes have ``bit_width`` bits (2 to 8) and whose exponents are relative to the tensor's magnitude.

    >>> power_of_two_for(4)
    PowerOfTwo(k=2, min_exponent=-2, max_exponent=0, relative=True, bit_width=4, signed=True)
    """
    check_bit_width("bit_width", bit_width, low=2)
    return PowerOfTwo(k, min_exponent=2 - bit_width, max_exponent=0, relative=True)
