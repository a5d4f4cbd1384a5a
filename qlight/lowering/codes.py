"""Weights and activations as the integers of a graph, and what one integer step of them is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.intgraph.infer import LARGEST_SCALE, SMALLEST_SCALE
from qlight.intgraph.nodes import BIPOLAR, ODD, SIGNED, UNSIGNED
from qlight.lowering.calibration import CalibratedActivation
from qlight.quantization import BinaryNet, DoReFaActivation, DoReFaWeight, Quantizer
from qlight.quantization.dorefa import levels

#: clipping points that `post_training` tries, as fractions of the largest magnitude of a channel
_FRACTIONS = np.linspace(1.0, 0.3, 29)
#: significant bits of a scale: with 8 bits of a code the product has 24, those of float32
_SCALE_BITS = 16


@dataclass(frozen=True)
class Unit:
    """What one integer step is worth: ``numerator / denominator``, kept apart because 1/9 is no floating-point number.

    Attributes:
        numerator: float64, one number or one per output channel.
        denominator: a whole number.
    """

    numerator: np.ndarray
    denominator: int = 1

    def __mul__(self, other: Unit) -> Unit:
        return Unit(self.numerator * other.numerator, self.denominator * other.denominator)

    def value(self, integers: np.ndarray) -> np.ndarray:
        """float32: what integers (..., channels) of at most 32 bits are worth, the exact product rounded (twice: to float64 first).

        >>> Unit(np.array(1.0), 9).value(np.array([3, 9]))
        array([0.33333334, 1.        ], dtype=float32)
        """
        with np.errstate(over="ignore"):  # a product beyond float32 is infinite, as in torch
            return (integers * self.numerator / self.denominator).astype(np.float32)


#: a pixel u is worth u/255
PIXEL = Unit(np.array(1.0), 255)


@dataclass(frozen=True)
class WeightCodes:
    """A layer's weight as a graph stores it.

    Attributes:
        codes: uint8 (``odd``) or int8 (``signed``), in the shape of torch's weight.
        encoding, bits: SPEC.md section 2.
        unit: of the integer that a code stands for.
        scale: the graph's ``weight_scale``, one per output channel; None where the encoding says what a code is worth.
    """

    codes: np.ndarray
    encoding: str
    bits: int
    unit: Unit
    scale: np.ndarray | None


@dataclass(frozen=True)
class ActivationCodes:
    """An activation's output as a graph encodes it; ``scale`` is the graph's ``output_scale``, or None."""

    encoding: str
    bits: int
    unit: Unit
    scale: np.ndarray | None


def trained_weight(name: str, weight: Tensor, quantizer: Quantizer) -> WeightCodes:
    """The codes that ``quantizer`` gives a latent weight.

    Two kinds of quantizers fit a graph: signed codes whose zero is 0, and unsigned ones around the middle of their range; one scale per
    layer or output channel.

    Args:
        name: of the layer, for the error.

    Raises:
        InputError: the quantizer is of another kind (ttq, min_max).
    """
    with torch.no_grad():
        found = quantizer.quantize(weight)
    bits, channels = found.bit_width, len(weight)
    middle = levels(bits) / 2
    per_channel = found.scale.numel() == 1 or tuple(found.scale.shape) == (channels, *[1] * (weight.dim() - 1))
    zero = found.zero_point
    fits = not isinstance(zero, Tensor) and zero == (0.0 if found.signed else middle) and per_channel and bits <= 8
    if not fits:
        raise InputError(
            f"Expected `model` to have weights that one scale per output channel makes integers, but {name} uses "
            f"{type(quantizer).__name__}, which does not; train it with another `weight_quantizer` (auto, for one)."
        )
    codes = found.code.cpu().numpy().astype(np.int8 if found.signed else np.uint8)
    if isinstance(quantizer, DoReFaWeight) and bits > 1:
        return WeightCodes(codes, ODD, bits, Unit(np.array(1.0), levels(bits)), None)  # exactly k/n, which its float32 scale is not
    step = found.scale.double().flatten().expand(channels).cpu().numpy() * (1.0 if found.signed else 0.5)
    scale = None if not found.signed and bits == 1 and bool((step == 1).all()) else stated(step)
    return WeightCodes(codes, SIGNED if found.signed else ODD, bits, Unit(step), scale)


def post_training(weight: Tensor, bits: int, steps: np.ndarray | None = None) -> WeightCodes:
    """Signed codes of a real weight, each output channel with the scale that loses least (mean squared error) among 29 clipping points.

    Codes are symmetric, -(2^(bits-1) - 1) to 2^(bits-1) - 1. Scales are rounded up to 16 significant bits, so that float32 holds code *
    scale exactly and the torch network that simulates a graph has the very weights of the graph. A channel of zeros has scale 1.

    Args:
        weight: out x ...
        bits: 2 to 8.
        steps: where a following activation goes from one code to the next, channels x steps, as sums of weight * integer input. Where a
            step lies within float32's rounding of an integer accumulator, torch and a graph may take its two sides. So each scale is
            enlarged by up to 0.2 %, to where the steps lie furthest from integers. (Of the 8-bit first layer of w1a1 networks, a code in
            some hundred images would differ.)
    """
    real = weight.detach().double().flatten(1).cpu().numpy()
    largest = 2 ** (bits - 1) - 1
    bound = np.abs(real).max(1)
    best, best_loss = np.ones(len(real)), np.full(len(real), np.inf)
    for fraction in _FRACTIONS:
        scale = short(np.where(bound > 0, bound * fraction / largest, 1.0))
        codes = np.clip(np.rint(real / scale[:, None]), -largest, largest)
        loss = np.square(codes * scale[:, None] - real).sum(1)
        better = loss < best_loss
        best, best_loss = np.where(better, scale, best), np.where(better, loss, best_loss)
    if steps is not None:
        best = _apart(best, steps)
    codes = np.clip(np.rint(real / best[:, None]), -largest, largest).astype(np.int8)
    return WeightCodes(codes.reshape(tuple(weight.shape)), SIGNED, bits, Unit(best), best)


def _apart(scale: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """``scale``, each enlarged by 0 to 63 of its last bits so that ``steps`` in units of it are as far from integers as can be."""
    candidates = short(scale * (1 + np.arange(64)[:, None] * 2.0**-15))
    places = steps / candidates[:, :, None]
    distance = np.abs(places - np.rint(places)).min(2)
    return candidates[distance.argmax(0), np.arange(len(scale))]


def steps_before(norm: nn.Module, activation: nn.Module) -> np.ndarray | None:
    """The sums at which ``activation`` after ``norm`` goes from one code to the next: float64, channels x steps; None for an activation
    without codes. Only approximate, and anything for channels without steps: it serves to choose scales, thresholds are found otherwise."""
    if isinstance(activation, BinaryNet):
        levels_at = np.zeros(1)
    elif isinstance(activation, DoReFaActivation):
        levels_at = (np.arange(levels(activation.bit_width)) + 0.5) / levels(activation.bit_width)
    else:
        return None
    mean, var, weight, bias = (
        getattr(norm, name).detach().double().numpy()[:, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    with np.errstate(all="ignore"):
        found = (levels_at - bias) / (weight / np.sqrt(var + float(norm.eps))) + mean  # type: ignore[arg-type]
    return np.where(np.abs(found) < 2.0**40, found, 0.5)  # false for NaN


def activation_codes(activation: nn.Module) -> ActivationCodes:
    """How a graph encodes what ``activation`` returns.

    Raises:
        InputError: for an activation that has no codes.
    """
    if isinstance(activation, BinaryNet):
        return ActivationCodes(BIPOLAR, 1, Unit(np.array(1.0)), None)
    if isinstance(activation, DoReFaActivation):
        return ActivationCodes(UNSIGNED, activation.bit_width, Unit(np.array(1.0), levels(activation.bit_width)), None)
    if isinstance(activation, CalibratedActivation):
        step = np.array([float(activation.scale)])
        return ActivationCodes(UNSIGNED, activation.bit_width, Unit(step[0]), step)
    raise InputError(
        f"Expected `model` to have BinaryNet, DoReFa or ReLU activations, but got {type(activation).__name__}; train it with one of these."
    )


def short(scale: np.ndarray) -> np.ndarray:
    """Positive numbers rounded up to 16 significant bits, within the range of a graph's scales."""
    mantissa, exponent = np.frexp(stated(scale))
    return stated(np.ldexp(np.ceil(mantissa * 2.0**_SCALE_BITS), exponent - _SCALE_BITS))


def stated(scale: np.ndarray) -> np.ndarray:
    """Scales within the range that a graph may state (rule N11); zero, of weights that are all worth nothing, becomes the smallest."""
    return np.clip(np.asarray(scale, np.float64), SMALLEST_SCALE, LARGEST_SCALE)
