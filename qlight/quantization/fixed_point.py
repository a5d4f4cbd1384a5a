"""Fixed point with stochastic rounding; paper section 3.1, [12] (Gupta et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor

from qlight.quantization.base import QuantizedTensor, Quantizer, check_bit_width, check_floating, widen
from qlight.quantization.ste import straight_through

MAX_FRACTION_BITS = 32


def round_half_down(x: Tensor) -> Tensor:
    """The nearest integer, ties toward minus infinity; [12] section 3.1, round-to-nearest.

    >>> round_half_down(torch.tensor([0.5, 0.6, -0.5, 1.5]))
    tensor([ 0.,  1., -1.,  1.])
    """
    return torch.ceil(x - 0.5)


def round_stochastic(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """floor(x) + 1 with probability x - floor(x), else floor(x): the mean is x; [12] section 3.1, stochastic rounding."""
    low = torch.floor(x)
    draw = torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    # compared rather than added to x: the sum would round, and at 16 bits that bias shows.
    return low + draw.lt(x - low)


class FixedPoint(Quantizer):
    """Signed fixed point <IL, FL> of ``bit_width = IL + FL`` bits, IL with the sign; [12] section 3.

    Multiples of 2^-FL from -2^(IL-1) to 2^(IL-1) - 2^-FL; what lies outside saturates. In training mode rounding is stochastic (its
    mean is the number that is rounded), in evaluation mode to nearest. The gradient passes unchanged, also where values saturate, so
    that a latent weight can come back. (In [12] the stored weights themselves are fixed point, without latent real ones.)

    Args:
        bit_width: 2 to 16.
        fraction_bits: FL, 0 to 32 (IL may be negative); None takes, for each tensor, the most that its largest magnitude leaves room for.
        stochastic: False rounds to nearest in training mode too.

    >>> FixedPoint(8, fraction_bits=4).eval().quantize(torch.tensor([0.3, -1.0, 100.0])).code
    tensor([  5, -16, 127], dtype=torch.int32)
    """

    signed = True

    def __init__(self, bit_width: int, fraction_bits: int | None = None, stochastic: bool = True) -> None:
        super().__init__()
        self.bit_width = check_bit_width("bit_width", bit_width, low=2, high=16)
        if fraction_bits is not None:
            check_bit_width("fraction_bits", fraction_bits, low=0, high=MAX_FRACTION_BITS)
        self.fraction_bits = fraction_bits
        self.stochastic = stochastic

    def _scale(self, x: Tensor) -> Tensor:
        """2^-FL, exactly, in the dtype of ``x``."""
        if self.fraction_bits is not None:
            return torch.full((), 2.0**-self.fraction_bits, dtype=x.dtype, device=x.device)
        largest = x.abs().amax()
        largest = torch.where(largest > 0, largest, torch.ones_like(largest))
        # largest = mantissa * 2^e with mantissa in [0.5, 1), so the division gives 2^e without rounding; exp2 may be one ulp off.
        return largest / torch.frexp(largest).mantissa * 2.0 ** (1 - self.bit_width)

    def forward(self, x: Tensor) -> Tensor:
        return straight_through(x, self.quantize(x).value)

    def quantize(self, x: Tensor) -> QuantizedTensor:
        check_floating("x", x)
        wide = widen(x.detach())
        scale = self._scale(wide)
        steps = wide / scale
        rounded = round_stochastic(steps) if self.stochastic and self.training else round_half_down(steps)
        rounded = rounded.clamp_(-(2 ** (self.bit_width - 1)), 2 ** (self.bit_width - 1) - 1)
        value = (rounded * scale).to(x.dtype)
        return QuantizedTensor(rounded.to(torch.int32), scale, 0.0, self.bit_width, self.signed, value)

    def extra_repr(self) -> str:
        return super().extra_repr() + f", fraction_bits={self.fraction_bits}, stochastic={self.stochastic}"
