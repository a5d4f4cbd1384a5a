"""DoReFa-Net: n-bit weights, activations and gradients; paper equation (3), [13]."""

from __future__ import annotations

import torch
from torch import Tensor

from qlight.quantization.base import QuantizedTensor, Quantizer, check_bit_width, check_floating
from qlight.quantization.ste import straight_through


def levels(bit_width: int) -> int:
    """The largest code of ``bit_width`` bits, 2^n - 1.

    >>> levels(2)
    3
    """
    return 2**bit_width - 1


def quantize_unit(x: Tensor, bit_width: int) -> Tensor:
    """Q(x, n) = round((2^n - 1) x) / (2^n - 1) for x in [0, 1]; paper equation (3). Ties go to the even code.

    >>> quantize_unit(torch.tensor([0.0, 0.4, 1.0]), 2)
    tensor([0.0000, 0.3333, 1.0000])
    """
    n = levels(bit_width)
    return x.mul(n).round_().div_(n)


class DoReFaWeight(Quantizer):
    """n-bit weights w_q = 2 Q(tanh(w) / (2 max|tanh(w)|) + 1/2, n) - 1 in [-1, 1]; [13] equation (9).

    Code k stands for (2k - (2^n - 1)) / (2^n - 1). The gradient passes the rounding unchanged and flows through tanh and its
    normalization. With one bit it is sign(w) times the mean of |w|, [13] equation (7).

    Args:
        bit_width: 1 to 8.
    """

    signed = False

    def __init__(self, bit_width: int) -> None:
        super().__init__()
        self.bit_width = check_bit_width("bit_width", bit_width)

    def _unit(self, w: Tensor) -> Tensor:
        """``w`` mapped to [0, 1]; an all-zero tensor maps to 1/2."""
        check_floating("w", w)
        squashed = torch.tanh(w)
        largest = squashed.abs().amax().clamp_min(torch.finfo(w.dtype).tiny)
        return squashed / (2 * largest) + 0.5

    def forward(self, w: Tensor) -> Tensor:
        if self.bit_width == 1:
            return straight_through(w, self.quantize(w).value)
        n = levels(self.bit_width)
        unit = self._unit(w)
        value = unit.detach().mul(n).round_().mul_(2).sub_(n).div_(n)
        return straight_through(2 * unit - 1, value)

    def quantize(self, w: Tensor) -> QuantizedTensor:
        check_floating("w", w)
        w = w.detach()
        n = levels(self.bit_width)
        if self.bit_width == 1:
            mean = w.abs().mean()
            code = w.ge(0)
            return QuantizedTensor(code.to(torch.int32), 2 * mean, 0.5, 1, self.signed, torch.where(code, mean, -mean))
        rounded = self._unit(w).mul(n).round_()
        scale = torch.full((), 2 / n, dtype=w.dtype, device=w.device)
        value = rounded.mul(2).sub_(n).div_(n)
        return QuantizedTensor(rounded.to(torch.int32), scale, n / 2, self.bit_width, self.signed, value)


class DoReFaActivation(Quantizer):
    """n-bit activations Q(clip(x, 0, 1), n): the quantized ReLU of the paper's Table 9; [13] section 2.5 and equation (11).

    Code a stands for a / (2^n - 1). The gradient passes where 0 <= x <= 1.

    Args:
        bit_width: 1 to 8.

    >>> DoReFaActivation(2).quantize(torch.tensor([-1.0, 0.4, 3.0])).code
    tensor([0, 1, 3], dtype=torch.int32)
    """

    signed = False

    def __init__(self, bit_width: int) -> None:
        super().__init__()
        self.bit_width = check_bit_width("bit_width", bit_width)

    def forward(self, x: Tensor) -> Tensor:
        check_floating("x", x)
        n = levels(self.bit_width)
        value = x.detach().clamp(0, 1).mul_(n).round_().div_(n)
        return straight_through(x, value, 0.0, 1.0)

    def quantize(self, x: Tensor) -> QuantizedTensor:
        check_floating("x", x)
        n = levels(self.bit_width)
        rounded = x.detach().clamp(0, 1).mul_(n).round_()
        scale = torch.full((), 1 / n, dtype=x.dtype, device=x.device)
        return QuantizedTensor(rounded.to(torch.int32), scale, 0.0, self.bit_width, self.signed, rounded / n)
