"""Quantizers by name, for YAML files and the command line: `weight_quantizer("dorefa", 2)`, `activation_quantizer("auto", 1)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qlight.errors import InputError, nearest
from qlight.quantization.base import FULL_PRECISION, Quantizer, check_bit_width
from qlight.quantization.binary import BinaryConnect, BinaryNet
from qlight.quantization.dorefa import DoReFaActivation, DoReFaWeight
from qlight.quantization.fixed_point import FixedPoint
from qlight.quantization.min_max import MinMaxUniform
from qlight.quantization.power_of_two import power_of_two_for
from qlight.quantization.ternary import TTQ, TWN
from qlight.quantization.xnor import XNORNet

AUTO = "auto"


@dataclass(frozen=True)
class _Method:
    """How to make a quantizer: ``make(bit_width, stochastic)`` for the bit widths from ``low`` to ``high``."""

    make: Callable[[int, bool], Quantizer]
    low: int
    high: int


_WEIGHTS = {
    "binary_connect": _Method(lambda _, stochastic: BinaryConnect(stochastic), 1, 1),
    "binary_net": _Method(lambda _, stochastic: BinaryNet(stochastic), 1, 1),
    "dorefa": _Method(lambda bit_width, _: DoReFaWeight(bit_width), 1, 8),
    "xnor_net": _Method(lambda *_: XNORNet(), 1, 1),
    "twn": _Method(lambda *_: TWN(), 2, 2),
    "ttq": _Method(lambda *_: TTQ(), 2, 2),
    # rounds stochastically whatever `stochastic` says: that is the method, and `stochastic` is about signs.
    "fixed_point": _Method(lambda bit_width, _: FixedPoint(bit_width), 2, 8),
    "power_of_two": _Method(lambda bit_width, _: power_of_two_for(bit_width), 2, 8),
    "min_max": _Method(lambda bit_width, _: MinMaxUniform(bit_width), 1, 8),
}

_ACTIVATIONS = {
    "binary_net": _Method(lambda _, stochastic: BinaryNet(stochastic), 1, 1),
    "dorefa": _Method(lambda bit_width, _: DoReFaActivation(bit_width), 1, 8),
}

#: What `weight_quantizer` and `activation_quantizer` accept as `name`.
WEIGHT_QUANTIZERS = (AUTO, *_WEIGHTS)
ACTIVATION_QUANTIZERS = (AUTO, *_ACTIVATIONS)


def weight_quantizer(
    name: str, bit_width: int, *, activation_bit_width: int = FULL_PRECISION, stochastic: bool = False
) -> Quantizer | None:
    """The weight quantizer called ``name``; None leaves the weights real.

    ``auto`` is the paper's choice (section 3.1, last sentence): no quantizer for 32 bits; for 1 bit BinaryNet where the activations
    are binary too, else BinaryConnect; DoReFa for 2 to 8 bits.

    Args:
        name: one of ``WEIGHT_QUANTIZERS``.
        bit_width: 1 to 8, or 32 (full precision, with ``auto`` only).
        activation_bit_width: of the same network, 1 to 8 or 32; only ``auto`` looks at it.
        stochastic: draw the sign of binary weights at random in training mode; methods that draw no signs ignore it, so that one
            switch serves weights and activations.

    Raises:
        InputError: an unknown name, a bit width outside 1 to 8 or 32, or a combination that does not exist.

    >>> weight_quantizer("auto", 2)
    DoReFaWeight(bit_width=2, signed=False)
    >>> weight_quantizer("auto", 32) is None
    True
    """
    check_bit_width("activation_bit_width", activation_bit_width, full_precision=True)
    binary = "binary_net" if activation_bit_width == 1 else "binary_connect"
    return _make(_WEIGHTS, "weight", name, bit_width, binary, stochastic)


def activation_quantizer(name: str, bit_width: int, *, stochastic: bool = False) -> Quantizer | None:
    """The activation quantizer called ``name``; None leaves the activation to the network (a ReLU).

    ``auto`` is the paper's choice (section 3.1, last sentence): None for 32 bits, BinaryNet for 1 bit, DoReFa for 2 to 8 bits.

    Args:
        name: one of ``ACTIVATION_QUANTIZERS``.
        bit_width: 1 to 8, or 32 (full precision, with ``auto`` only).
        stochastic: draw the sign of binary activations at random in training mode; DoReFa ignores it.

    Raises:
        InputError: an unknown name, a bit width outside 1 to 8 or 32, or a combination that does not exist.

    >>> activation_quantizer("auto", 1)
    BinaryNet(bit_width=1, signed=False, stochastic=False)
    """
    return _make(_ACTIVATIONS, "activation", name, bit_width, "binary_net", stochastic)


def _make(methods: dict[str, _Method], kind: str, name: str, bit_width: int, binary: str, stochastic: bool) -> Quantizer | None:
    """What both public functions do, for the table ``methods``; ``binary`` is what ``auto`` means for one bit."""
    check_bit_width(f"{kind}_bit_width", bit_width, full_precision=True)
    if name == AUTO:
        if bit_width == FULL_PRECISION:
            return None
        name = binary if bit_width == 1 else "dorefa"
    if not isinstance(name, str) or name not in methods:
        known = (AUTO, *methods)
        hint = nearest(str(name), known)
        advice = f"did you mean {hint}?" if hint else "choose one of these."
        raise InputError(f"Expected `{kind}_quantizer` to be one of {', '.join(known)}, but got {name!r}; {advice}")
    method = methods[name]
    if not method.low <= bit_width <= method.high:
        one = method.low == method.high
        bits = str(method.low) if one else f"{method.low} to {method.high}"
        advice = f"{'set it so' if one else 'choose one of these'}, or `{kind}_quantizer: {AUTO}`, which takes every bit width."
        raise InputError(f"Expected `{kind}_bit_width` to be {bits} for the quantizer {name}, but got {bit_width}; {advice}")
    return method.make(bit_width, stochastic)
