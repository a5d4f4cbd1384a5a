"""DoReFa-Net: n-bit weights, activations and gradients; paper equation (3), [13]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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


def _codes(squashed: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """round(n (t / (2 max|t|) + 1/2)) of t = tanh(w), as floats, and max|t|, at least the smallest normal number, by which the gradient is
    divided; an all-zero tensor maps to n/2 before rounding."""
    low, high = torch.aminmax(squashed)
    largest = torch.maximum(-low, high).clamp_min(torch.finfo(squashed.dtype).tiny)
    return (squashed / (2 * largest)).add_(0.5).mul_(n).round_(), largest


class _NormalizedTanh(torch.autograd.Function):
    """Forward: quantized weights. Backward: the gradient of tanh(w) / max|tanh(w)|, the function before rounding.

    Written out because autograd's chain of a dozen small kernels costs several percent of a training step.
    """

    @staticmethod
    def forward(ctx: Any, w: Tensor, n: int) -> Tensor:
        squashed = torch.tanh(w)
        codes, largest = _codes(squashed, n)
        ctx.save_for_backward(squashed, largest)
        return codes.mul_(2).sub_(n).div_(n)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        squashed, largest = ctx.saved_tensors
        # f_i = t_i / m with m = |t_k|: df_i/dt_j = [i = j] / m - t_i / m^2 * sign(t_j) [|t_j| = m] / (number of such j)
        at_largest = squashed.abs().eq_(largest)
        through_largest = (grad * squashed).sum() / (largest * largest * at_largest.sum())
        inner = (grad / largest).sub_(squashed.sign().mul_(at_largest).mul_(through_largest))
        return torch.ops.aten.tanh_backward(inner, squashed), None


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

    def forward(self, w: Tensor) -> Tensor:
        check_floating("w", w)
        if self.bit_width == 1:
            return straight_through(w, self.quantize(w).value)
        return _NormalizedTanh.apply(w, levels(self.bit_width))  # type: ignore[no-any-return]

    def quantize(self, w: Tensor) -> QuantizedTensor:
        check_floating("w", w)
        w = w.detach()
        n = levels(self.bit_width)
        if self.bit_width == 1:
            mean = w.abs().mean()
            code = w.ge(0)
            return QuantizedTensor(code.to(torch.int32), 2 * mean, 0.5, 1, self.signed, torch.where(code, mean, -mean))
        rounded = _codes(torch.tanh(w), n)[0]
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
