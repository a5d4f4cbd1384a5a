"""The blocks that the paper's networks are made of: convolution or dense layer, max-pool, batch norm, activation, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from qlight.errors import InputError
from qlight.models.batch_norm import BatchNorm1d, BatchNorm2d
from qlight.quantization import (
    DoReFaGradient,
    QuantConv2d,
    Quantizer,
    QuantLinear,
    activation_quantizer,
    check_bit_width,
    weight_quantizer,
)


@dataclass(frozen=True)
class Precision:
    """How the inner layers of a network are quantized.

    Attributes:
        weight_bit_width: 1 to 8, or 32 for real weights.
        activation_bit_width: 1 to 8, or 32 for ReLU.
        gradient_bit_width: 1 to 8 quantizes the gradients of the inner layers' outputs as DoReFa-Net does; None does not.
        weight_quantizer, activation_quantizer: names of ``qlight.quantization``; ``auto`` is the paper's method for the bit width
            (BinaryConnect or BinaryNet at 1 bit, DoReFa above).
        stochastic: binarize stochastically in training mode.
    """

    weight_bit_width: int = 32
    activation_bit_width: int = 32
    gradient_bit_width: int | None = None
    weight_quantizer: str = "auto"
    activation_quantizer: str = "auto"
    stochastic: bool = False

    def __post_init__(self) -> None:
        check_bit_width("weight_bit_width", self.weight_bit_width, full_precision=True)
        check_bit_width("activation_bit_width", self.activation_bit_width, full_precision=True)
        if self.gradient_bit_width is not None:
            check_bit_width("gradient_bit_width", self.gradient_bit_width)
        if self.stochastic and not any(getattr(quantizer, "stochastic", False) for quantizer in (self.weights(), self.activation())):
            raise InputError(
                f"Expected `stochastic` only where a quantizer draws at random, but {self.name} has none; "
                "use 1-bit weights or activations, or leave it out."
            )

    @property
    def name(self) -> str:
        """``float``, ``w1a1`` ... ``w4a32``: how the paper calls the network.

        >>> Precision(2, 32).name
        'w2a32'
        """
        full = self.weight_bit_width == 32 and self.activation_bit_width == 32
        return "float" if full else f"w{self.weight_bit_width}a{self.activation_bit_width}"

    def weights(self) -> Quantizer | None:
        """A new weight quantizer, or None for real weights."""
        return weight_quantizer(
            self.weight_quantizer,
            self.weight_bit_width,
            activation_bit_width=self.activation_bit_width,
            stochastic=self.stochastic,
        )

    def activation(self) -> nn.Module:
        """A new activation: a quantizer, or ReLU."""
        quantizer = activation_quantizer(self.activation_quantizer, self.activation_bit_width, stochastic=self.stochastic)
        return nn.ReLU(inplace=True) if quantizer is None else quantizer

    def gradient(self) -> nn.Module | None:
        """A new gradient quantizer, or None."""
        return None if self.gradient_bit_width is None else DoReFaGradient(self.gradient_bit_width)


def pad_value(activation: nn.Module | None) -> float:
    """What a convolution pads the output of ``activation`` with: -1 for binary codes, which have no zero, else 0."""
    return activation.pad_value if isinstance(activation, Quantizer) else 0.0


def scaled(channels: int, width: float) -> int:
    """``channels`` times the width multiplier.

    Raises:
        InputError: if ``width`` is not in (0, 1] or leaves no whole channel count.

    >>> scaled(128, 0.25)
    32
    """
    if not 0.0 < width <= 1.0:
        raise InputError(f"Expected `width` to be a number from 0.125 to 1, but got {width!r}; 1 is the paper's network.")
    count = channels * width
    if count != int(count):
        raise InputError(f"Expected `width` to leave whole channel counts, but got {width!r}; use a multiple of 0.125.")
    return int(count)


class ConvBlock(nn.Sequential):
    """3x3 convolution, optional 2x2 max-pool, batch norm, activation: N x C x H x W -> N x C' x H x W, or H/2 x W/2 with the pool."""

    def __init__(self, conv: QuantConv2d, activation: nn.Module, pool: bool, gradient: nn.Module | None = None) -> None:
        super().__init__()
        self.add_module("conv", conv)
        if gradient is not None:
            self.add_module("gradient", gradient)
        if pool:
            self.add_module("pool", nn.MaxPool2d(2))
        self.add_module("norm", BatchNorm2d(conv.out_channels))
        self.add_module("activation", activation)


class DenseBlock(nn.Sequential):
    """Dense layer, [gradient quantizer,] batch norm, activation: N x F -> N x F'."""

    def __init__(self, dense: QuantLinear, activation: nn.Module, gradient: nn.Module | None = None) -> None:
        super().__init__()
        self.add_module("dense", dense)
        if gradient is not None:
            self.add_module("gradient", gradient)
        self.add_module("norm", BatchNorm1d(dense.out_features))
        self.add_module("activation", activation)
