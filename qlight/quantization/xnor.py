"""XNOR-Net: binary weights with one real scale per filter; paper section 3.1, equation (2), [9].

Only the weights are here. [9] also scales the binary inputs of a convolution by K, the box-filtered mean of |input| (its section
3.2); the paper's networks take the sign alone, which is :class:`~qlight.quantization.binary.BinaryNet`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qlight.errors import InputError
from qlight.quantization.base import QuantizedTensor, Quantizer, check_floating


class _ScaledSign(torch.autograd.Function):
    """Forward: a given value. Backward: grad * (1 / n + alpha * 1[|w| <= 1]), see `XNORNet`."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, value: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(w, alpha)
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        w, alpha = ctx.saved_tensors
        filter_size = w[0].numel()
        inside = (w.abs() <= 1).to(grad.dtype)
        return grad * inside.mul_(alpha).add_(1 / filter_size), None, None


class XNORNet(Quantizer):
    """Weights alpha * B per filter: B = sign(W) (0 gives +1), alpha = mean |W|, which solves paper equation (2); [9] section 3.1.

    A filter is ``w[i]``. Codes 0 and 1 stand for -alpha and +alpha; ``scale`` is 2 alpha, shaped (out, 1, 1, 1) for a convolution and
    (out, 1) for a dense layer.

    The gradient is the one that [9] states (section 3.1, "Training Binary-Weights-Networks"): with n weights in a filter

        dC/dW_i = dC/dW~_i * (1/n + dsign(W_i)/dW_i * alpha),    dsign(r)/dr = 1[|r| <= 1].

    It leaves out the influence of W_i on the other weights of its filter through alpha (the exact term is
    sign(W_i)/n * sum_j dC/dW~_j sign(W_j)), as [9] does. Nothing clips or centres the latent weights: that is in the authors' programs,
    not in [9].

    Raises:
        InputError: for a tensor of fewer than two dimensions, which has no filters.

    >>> XNORNet()(torch.tensor([[-1.0, 3.0], [0.5, 0.0]]))
    tensor([[-2.0000,  2.0000],
            [ 0.2500,  0.2500]])
    """

    signed = False

    def __init__(self) -> None:
        super().__init__()
        self.bit_width = 1

    def forward(self, w: Tensor) -> Tensor:
        quantized = self.quantize(w)
        return _ScaledSign.apply(w, quantized.value, quantized.scale / 2)  # type: ignore[no-any-return]

    def quantize(self, w: Tensor) -> QuantizedTensor:
        check_floating("w", w)
        if w.dim() < 2:
            raise InputError(
                f"Expected `w` to have a dimension of filters and at least one more, but got shape {tuple(w.shape)}; "
                "give it the weight of a convolution or of a dense layer."
            )
        w = w.detach()
        alpha = w.abs().mean(dim=tuple(range(1, w.dim())), keepdim=True)
        positive = w.ge(0)
        return QuantizedTensor(positive.to(torch.int32), 2 * alpha, 0.5, 1, self.signed, torch.where(positive, alpha, -alpha))
