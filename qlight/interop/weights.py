"""Weights of a QONNX graph as integers times a scale per output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qlight.intgraph.encodings import weight_codes, weight_range
from qlight.intgraph.infer import LARGEST_SCALE, SMALLEST_SCALE
from qlight.intgraph.nodes import ODD, SIGNED, Array

#: clipping points that `rounded` tries, as fractions of the largest magnitude of a channel
_FRACTIONS = np.linspace(1.0, 0.3, 29)


@dataclass(frozen=True)
class Constant:
    """A constant of the file, as what it is worth or, where it went through Quant or BipolarQuant, as integers times ``scale``.

    Attributes:
        values: reals, or int64 where ``scale`` is there.
        scale: float64, in the shape of ``values``.
        bits: of the integers as the quantizer says; 0 where it does not.
    """

    values: Array
    scale: Array | None = None
    bits: int = 0

    @property
    def real(self) -> Array:
        """What the constant is worth."""
        return self.values if self.scale is None else self.values * self.scale

    def transposed(self, axes: list[int] | None) -> Constant:
        """With permuted axes; None reverses them."""
        return Constant(self.values.transpose(axes), None if self.scale is None else self.scale.transpose(axes), self.bits)


@dataclass(frozen=True)
class Weights:
    """A layer's weights, out x ..., as a graph stores them; channel o is worth integers * scale[o]."""

    codes: Array
    encoding: str
    bits: int
    scale: Array


def encoded(integers: Array, bits: int, encoding: str | None = None) -> tuple[Array, str, int] | None:
    """Codes, encoding and bits of integers; None where no encoding of a graph holds them.

    Args:
        bits: that they are known to have in two's complement (1: they are -1 and +1), or 0 for as few as hold them.
        encoding: to use, with ``bits`` of this encoding; None for the one that fits.

    >>> encoded(np.array([-1, 1]), 0)
    (array([0, 1], dtype=uint8), 'odd', 1)
    >>> encoded(np.array([-1, 0]), 4)
    (array([-1,  0], dtype=int8), 'signed', 4)
    """
    low, high = int(integers.min()), int(integers.max())
    odd = bool((integers & 1).all())
    if encoding is not None:
        choices = [(encoding, bits)]
    else:
        fewest = max(2, max(-low - 1, high, 0).bit_length() + 1, bits)
        choices = [(ODD, 1)] if odd else []
        choices += [(SIGNED, fewest)] + ([(ODD, max(-low, high).bit_length())] if odd else [])
    for kind, width in choices:
        if not (1 if kind == ODD else 2) <= width <= 8:
            continue
        first, last = weight_range(kind, width)
        if first <= low and high <= last and (odd or kind == SIGNED):
            codes = (integers + last) // 2 if kind == ODD else integers
            assert weight_codes(kind, width)[0] <= codes.min()
            return codes.astype(np.uint8 if kind == ODD else np.int8), kind, width
    return None


def per_output(constant: Constant) -> tuple[Array, Array] | None:
    """Integers and one scale per output channel (axis 0); None where they differ within a channel, or are no positive numbers."""
    if constant.scale is None:
        return (constant.values.astype(np.int64), np.ones(len(constant.values))) if _whole(constant.values) else None
    scale = constant.scale.reshape(len(constant.values), -1)
    if not scale.size or (scale != scale[:, :1]).any() or not ((scale >= SMALLEST_SCALE) & (scale <= LARGEST_SCALE)).all():
        return None
    return constant.values, scale[:, 0]


def rounded(real: Array, bits: int) -> tuple[Array, Array]:
    """Signed integers of real weights, each output channel with the scale that loses least (mean squared error) among 29 clipping points.

    Returns:
        int64 in the shape of ``real``, float64 one per output channel; a channel of zeros has scale 1.
    """
    flat = real.reshape(len(real), -1).astype(np.float64)
    largest = 2 ** (bits - 1) - 1
    bound = np.abs(flat).max(1)
    best, best_loss = np.ones(len(flat)), np.full(len(flat), np.inf)
    for fraction in _FRACTIONS:
        scale = np.clip(np.where(bound > 0, bound * fraction / largest, 1.0), SMALLEST_SCALE, LARGEST_SCALE)
        loss = np.square(np.clip(np.rint(flat / scale[:, None]), -largest, largest) * scale[:, None] - flat).sum(1)
        best, best_loss = np.where(loss < best_loss, scale, best), np.minimum(loss, best_loss)
    integers = np.clip(np.rint(flat / best[:, None]), -largest, largest).astype(np.int64)
    return integers.reshape(real.shape), best


def _whole(values: Array) -> bool:
    if values.dtype.kind != "f":
        return bool(values.size)
    return bool(values.size and np.isfinite(values).all() and (values == np.rint(values)).all() and np.abs(values).max() <= 2**15)
