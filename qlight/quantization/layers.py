"""Convolution and dense layers whose weights are quantized in the forward pass, from latent real weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from qlight.quantization.base import Quantizer


class QuantConv2d(nn.Conv2d):
    """A 2-D convolution without bias (a batch normalization follows it) whose weight passes through a quantizer.

    Args:
        in_channels, out_channels, kernel_size: as in ``torch.nn.Conv2d``; the output has the size of the input ("same" padding).
        weight_quantizer: None leaves the weight real.
        pad_value: what surrounds the input; -1 after binary activations, which have no zero.

    Shape: N x in_channels x H x W -> N x out_channels x H x W.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        weight_quantizer: Quantizer | None = None,
        pad_value: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.weight_quantizer = weight_quantizer
        self.pad_value = pad_value

    def quantized_weight(self) -> Tensor:
        """The weight that the convolution uses, with its straight-through gradient."""
        return self.weight if self.weight_quantizer is None else self.weight_quantizer(self.weight)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        weight = self.quantized_weight()
        if self.pad_value == 0.0:
            return F.conv2d(x, weight, None, self.stride, self.padding)
        # conv(x padded with p) = conv(x - p padded with 0) + p * sum(weight): much quicker than a padded copy, and for binary codes and
        # weights all integers, so exact in float32; in bfloat16 the larger intermediate sums round more coarsely than the result would
        offset = self.pad_value * weight.sum((1, 2, 3))
        return F.conv2d(x - self.pad_value, weight, offset, self.stride, self.padding)


class QuantLinear(nn.Linear):
    """A dense layer without bias whose weight passes through a quantizer; N x in_features -> N x out_features."""

    def __init__(self, in_features: int, out_features: int, weight_quantizer: Quantizer | None = None) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.weight_quantizer = weight_quantizer

    def quantized_weight(self) -> Tensor:
        """The weight that the layer uses, with its straight-through gradient."""
        return self.weight if self.weight_quantizer is None else self.weight_quantizer(self.weight)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return F.linear(x, self.quantized_weight())
