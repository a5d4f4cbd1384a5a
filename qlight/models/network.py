"""The VGG-like network family of the paper's Appendix A: six convolutions, two dense blocks, a dense output layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qlight.models.blocks import ConvBlock, DenseBlock, Precision, pad_value, scaled
from qlight.quantization import QuantConv2d, QuantLinear

IMAGE_SHAPE = (3, 32, 32)


class PaperNetwork(nn.Module):
    """Convolution blocks with a 2x2 max-pool in every second one, dense blocks, a dense output layer; 10 logits.

    The first convolution and the last dense layer keep real weights ("never quantized", section 4.2); every block's activation is
    quantized. There is no input normalization: the network takes x = u/255 as the hardware does. Batch norm follows every other layer, so
    only the output layer has a bias.

    Args:
        conv_channels: output channels of the 3x3 convolutions at width 1; blocks 2, 4, 6 pool.
        dense_features: outputs of the dense blocks at width 1.
        width: multiplier of all hidden channel counts, 0.125 to 1.
        precision: bit widths and quantizers of the inner layers.

    Shape: N x 3 x 32 x 32 in [0, 1] -> N x 10 logits.
    """

    def __init__(self, conv_channels: Sequence[int], dense_features: Sequence[int], width: float, precision: Precision) -> None:
        super().__init__()
        self.precision = precision
        channels, height, _ = IMAGE_SHAPE
        blocks: list[nn.Module] = []
        activation: nn.Module | None = None
        for position, wanted in enumerate(conv_channels):
            out = scaled(wanted, width)
            weights = None if position == 0 else precision.weights()
            conv = QuantConv2d(channels, out, 3, weights, pad_value(activation))
            pool = position % 2 == 1
            activation = precision.activation()
            blocks.append(ConvBlock(conv, activation, pool, None if position == 0 else precision.gradient()))
            channels, height = out, height // 2 if pool else height
        self.features = nn.Sequential(*blocks)
        features = channels * height * height
        dense: list[nn.Module] = []
        for wanted in dense_features:
            out = scaled(wanted, width)
            dense.append(DenseBlock(QuantLinear(features, out, precision.weights()), precision.activation(), precision.gradient()))
            features = out
        self.dense = nn.Sequential(*dense)
        self.output = nn.Linear(features, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.dense(torch.flatten(self.features(images), 1)))
