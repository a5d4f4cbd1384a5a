"""Low-bit-width gradients of DoReFa-Net; paper section 3.1 and equation (3), [13] section 2.6 and equation (12)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qlight.quantization.base import FULL_PRECISION, check_bit_width, check_floating, widen
from qlight.quantization.dorefa import levels, quantize_unit


def quantize_gradient(gradient: Tensor, bit_width: int, generator: torch.Generator | None = None) -> Tensor:
    """f(dr) = 2 max|dr| [Q(dr / (2 max|dr|) + 1/2 + N, k) - 1/2], N uniform in +-0.5 / (2^k - 1); [13] equation (12).

    The maximum is taken for each sample (axis 0) over all other axes. The mean over N is ``gradient``. A sample of zeros stays zero.

    Args:
        gradient: N x ..., any floating-point dtype.
        bit_width: k, 1 to 8.
        generator: where N comes from; None is torch's default generator.
    """
    if gradient.numel() == 0:
        return gradient
    wide = widen(gradient)
    largest = wide.abs()
    if wide.dim() > 1:
        largest = largest.amax(dim=tuple(range(1, wide.dim())), keepdim=True)
    divisor = 2 * torch.where(largest > 0, largest, torch.ones_like(largest))
    noise = torch.rand(wide.shape, dtype=wide.dtype, device=wide.device, generator=generator).sub_(0.5).div_(levels(bit_width))
    unit = noise.add_(wide / divisor).add_(0.5).clamp_(0, 1)
    return (quantize_unit(unit, bit_width).sub_(0.5) * (2 * largest)).to(gradient.dtype)


class _QuantizeGradient(torch.autograd.Function):
    """Identity forward, `quantize_gradient` backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bit_width: int) -> Tensor:
        ctx.bit_width = bit_width
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return quantize_gradient(grad, ctx.bit_width), None


class DoReFaGradient(nn.Module):
    """Identity whose backward pass quantizes the gradient to ``bit_width`` bits; stands after a convolution or a dense layer.

    Args:
        bit_width: 1 to 8; None (the default, as in the paper, which quantizes only the forward pass) or 32 leaves gradients alone.

    Shape: N x ... -> the same.

    >>> x = torch.tensor([[3.0, -3.0]], requires_grad=True)
    >>> DoReFaGradient(1)(x).mul(torch.tensor([[2.0, -2.0]])).sum().backward()
    >>> x.grad
    tensor([[ 2., -2.]])
    """

    def __init__(self, bit_width: int | None = None) -> None:
        super().__init__()
        if bit_width is not None:
            check_bit_width("bit_width", bit_width, full_precision=True)
        self.bit_width = None if bit_width == FULL_PRECISION else bit_width

    def forward(self, x: Tensor) -> Tensor:
        check_floating("x", x)
        return x if self.bit_width is None else _QuantizeGradient.apply(x, self.bit_width)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"bit_width={self.bit_width}"
