"""Ternary weights: TWN (one scale, from the weights) and TTQ (two scales, trained); paper section 3.1, [10] and [11]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qlight.errors import InputError
from qlight.quantization.base import QuantizedTensor, Quantizer, check_floating, widen
from qlight.quantization.ste import straight_through

#: [10] equation (6): the threshold is this fraction of the mean magnitude of a layer's weights.
TWN_THRESHOLD = 0.7
#: [11] equation (9) and section 5: the threshold is this fraction of the largest magnitude of a layer's weights.
TTQ_THRESHOLD = 0.05


def ternary_code(w: Tensor, threshold: Tensor) -> Tensor:
    """+1 where w > threshold, -1 where w < -threshold, else 0 (int32); [10] equation (3), [11] equation (6).

    >>> ternary_code(torch.tensor([-0.5, 0.1, 0.5, 0.7]), torch.tensor(0.5))
    tensor([0, 0, 0, 1], dtype=torch.int32)
    """
    w = widen(w)
    return w.gt(threshold).to(torch.int32) - w.lt(-threshold).to(torch.int32)


def mean_magnitude(w: Tensor, code: Tensor) -> Tensor:
    """The mean of |w| over the elements whose code is not 0; 0 if there are none. [10] equation (5)."""
    kept = code != 0
    total = widen(w).abs().mul(kept).sum()
    return (total / kept.sum().clamp_min(1)).to(w.dtype)


class TWN(Quantizer):
    """Weights in {-alpha, 0, +alpha}, one alpha per layer; [10].

    The threshold is 0.7 mean |W| ([10] equation (6)); alpha is the mean of |W| over the weights beyond it ([10] equation (5)). Codes
    are -1, 0, 1. The gradient passes unchanged to the latent weights: [10] (section 3.3) uses ternary weights in the forward and
    the backward pass and real ones in the update.

    >>> TWN()(torch.tensor([-3.0, 0.5, 1.0]))
    tensor([-3.,  0.,  0.])
    """

    signed = True

    def __init__(self) -> None:
        super().__init__()
        self.bit_width = 2

    def forward(self, w: Tensor) -> Tensor:
        return straight_through(w, self.quantize(w).value)

    def quantize(self, w: Tensor) -> QuantizedTensor:
        check_floating("w", w)
        w = w.detach()
        code = ternary_code(w, TWN_THRESHOLD * widen(w).abs().mean())
        alpha = mean_magnitude(w, code)
        return QuantizedTensor(code, alpha, 0.0, self.bit_width, self.signed, code.to(w.dtype) * alpha)


class _TrainedTernary(torch.autograd.Function):
    """code * (positive or negative scale) forward; [11] equations (7) and (8) backward, see `TTQ`."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, positive: Tensor, negative: Tensor, code: Tensor) -> Tensor:
        ctx.save_for_backward(positive, negative, code)
        return code.to(w.dtype) * torch.where(code > 0, positive, negative)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        positive, negative, code = ctx.saved_tensors
        one = torch.ones((), dtype=positive.dtype, device=positive.device)
        factor = torch.where(code > 0, positive, torch.where(code < 0, negative, one))
        signed = widen(grad) * code
        of_positive = signed.clone().masked_fill_(code <= 0, 0).sum().to(positive.dtype)
        of_negative = signed.masked_fill_(code >= 0, 0).sum().to(negative.dtype)
        return grad * factor, of_positive, of_negative, None


class TTQ(Quantizer):
    """Weights in {-W_n, 0, +W_p} with two trained scales per layer (the paper's alpha_l and alpha_u); [11].

    The threshold is ``threshold`` * max |W| ([11] equation (9)). [11] first divides the latent weights by max |W|, which changes no
    code: it is left out. Codes are -1, 0, 1; the value is ``code * scale`` with an elementwise ``scale``: W_p where the code is
    positive, W_n elsewhere. The two numbers themselves are the parameters ``positive_scale`` and ``negative_scale``.

    Gradients, with g = dC/dw_t the gradient of the ternary weight ([11] equations (7) and (8)):

    * W_p gets the sum of g over the weights above the threshold, W_n minus the sum of g over those below (its values are -W_n);
    * a latent weight gets W_p * g above the threshold, W_n * g below its negative, and g between.

    Args:
        threshold: fraction of max |W|, 0 <= threshold < 1; 0.05 in [11].
        initial_scale: where both scales start; 1 as in the authors' program. `initialize` fits them to a weight instead.
    """

    signed = True

    def __init__(self, threshold: float = TTQ_THRESHOLD, initial_scale: float = 1.0) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise InputError(f"Expected `threshold` to be at least 0 and less than 1, but got {threshold}; the original uses 0.05.")
        if not 0 < initial_scale < float("inf"):
            raise InputError(f"Expected `initial_scale` to be a positive number, but got {initial_scale}; the original uses 1.")
        self.bit_width = 2
        self.threshold = threshold
        self.positive_scale = nn.Parameter(torch.tensor(float(initial_scale)))
        self.negative_scale = nn.Parameter(torch.tensor(float(initial_scale)))

    @torch.no_grad()
    def initialize(self, w: Tensor) -> None:
        """Set each scale to the mean magnitude of the weights of ``w`` that it stands for; a sign without weights keeps its scale."""
        code = self._code(w)
        for sign, scale in ((1, self.positive_scale), (-1, self.negative_scale)):
            mean = mean_magnitude(w, code == sign)
            scale.copy_(torch.where(mean > 0, mean.to(scale.dtype), scale))

    def _code(self, w: Tensor) -> Tensor:
        check_floating("w", w)
        w = w.detach()
        return ternary_code(w, self.threshold * widen(w).abs().amax())

    def forward(self, w: Tensor) -> Tensor:
        code = self._code(w)
        return _TrainedTernary.apply(w, self.positive_scale.to(w.dtype), self.negative_scale.to(w.dtype), code)  # type: ignore[no-any-return]

    def quantize(self, w: Tensor) -> QuantizedTensor:
        code = self._code(w)
        scale = torch.where(code > 0, self.positive_scale.detach().to(w.dtype), self.negative_scale.detach().to(w.dtype))
        return QuantizedTensor(code, scale, 0.0, self.bit_width, self.signed, code.to(w.dtype) * scale)

    def extra_repr(self) -> str:
        return super().extra_repr() + f", threshold={self.threshold}"
