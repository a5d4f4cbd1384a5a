"""What every quantizer is: a module that turns real numbers into integer codes and the values that they stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from qlight.errors import InputError

FULL_PRECISION = 32


@dataclass(frozen=True)
class QuantizedTensor:
    """Integer codes and what they stand for: ``value = (code - zero_point) * scale``.

    Attributes:
        code: integers (``torch.int32``), the shape of the tensor that was quantized.
        scale: what one step of the code is worth; a tensor that broadcasts to the shape of ``code``: one number, one per filter, or
            (TTQ, whose two signs have their own scales) one per element.
        zero_point: the (possibly fractional) code that stands for 0; a tensor where it depends on the data (MinMaxUniform).
        bit_width: bits that hold a code.
        signed: whether codes are two's complement (else unsigned).
        value: the dequantized tensor, in the dtype and on the device of the tensor that was quantized.
    """

    code: Tensor
    scale: Tensor
    zero_point: float | Tensor
    bit_width: int
    signed: bool
    value: Tensor


class Quantizer(nn.Module, ABC):
    """Base of all quantizers.

    ``quantizer(x)`` is the dequantized tensor with a straight-through gradient, for training;
    ``quantizer.quantize(x)`` separates the integer code from the value, without gradient. Both give the same values, bit for bit.
    Shape, dtype and device are those of ``x``.
    """

    bit_width: int
    signed: ClassVar[bool]
    #: whether the method clips the latent tensor to [-1, 1] after each update (BinaryConnect, BinaryNet).
    clip_latent: ClassVar[bool] = False
    #: the value with which a convolution pads the tensors that this quantizer returns.
    pad_value: ClassVar[float] = 0.0

    @abstractmethod
    def forward(self, x: Tensor, /) -> Tensor:
        """The dequantized tensor, of the shape, dtype and device of ``x``, with the method's straight-through gradient."""

    @abstractmethod
    def quantize(self, x: Tensor, /) -> QuantizedTensor:
        """Codes, scale and value of ``x``, without gradient."""

    def extra_repr(self) -> str:
        return f"bit_width={self.bit_width}, signed={self.signed}"


def check_bit_width(name: str, bit_width: int, *, low: int = 1, high: int = 8, full_precision: bool = False) -> int:
    """Return ``bit_width`` if it is an integer from ``low`` to ``high`` (or 32 where full precision is allowed).

    Raises:
        InputError: otherwise.

    >>> check_bit_width("bit_width", 4)
    4
    """
    allowed = isinstance(bit_width, int) and not isinstance(bit_width, bool) and low <= bit_width <= high
    if allowed or (full_precision and bit_width == FULL_PRECISION):
        return bit_width
    expected = f"{low} to {high}" + (f", or {FULL_PRECISION} for full precision" if full_precision else "")
    raise InputError(f"Expected `{name}` to be an integer from {expected}, but got {bit_width!r}; choose one of these.")


def check_floating(name: str, x: Tensor) -> None:
    """Raise InputError unless ``x`` has a floating-point dtype."""
    if not torch.is_floating_point(x):
        raise InputError(f"Expected `{name}` to be a floating-point tensor, but got {x.dtype}; convert it with `.float()`.")


def widen(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is if it is float32 or float64: what sums, thresholds and scaled codes are computed in."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
