"""Quantizers by name."""

from __future__ import annotations

import pytest
import torch

from qlight import quantization
from qlight.errors import InputError
from qlight.quantization import (
    ACTIVATION_QUANTIZERS,
    TTQ,
    TWN,
    WEIGHT_QUANTIZERS,
    BinaryConnect,
    BinaryNet,
    DoReFaActivation,
    DoReFaWeight,
    FixedPoint,
    MinMaxUniform,
    PowerOfTwo,
    Quantizer,
    XNORNet,
    activation_quantizer,
    weight_quantizer,
)

WEIGHTS: dict[str, tuple[type[Quantizer], range]] = {
    "binary_connect": (BinaryConnect, range(1, 2)),
    "binary_net": (BinaryNet, range(1, 2)),
    "dorefa": (DoReFaWeight, range(1, 9)),
    "xnor_net": (XNORNet, range(1, 2)),
    "twn": (TWN, range(2, 3)),
    "ttq": (TTQ, range(2, 3)),
    "fixed_point": (FixedPoint, range(2, 9)),
    "power_of_two": (PowerOfTwo, range(2, 9)),
    "min_max": (MinMaxUniform, range(1, 9)),
}
ACTIVATIONS: dict[str, tuple[type[Quantizer], range]] = {
    "binary_net": (BinaryNet, range(1, 2)),
    "dorefa": (DoReFaActivation, range(1, 9)),
}


def test_the_tables_are_complete() -> None:
    assert set(WEIGHT_QUANTIZERS) == {"auto", *WEIGHTS}
    assert set(ACTIVATION_QUANTIZERS) == {"auto", *ACTIVATIONS}
    exported = (getattr(quantization, name) for name in quantization.__all__)
    kinds = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Quantizer)} - {Quantizer}
    assert {kind for kind, _ in [*WEIGHTS.values(), *ACTIVATIONS.values()]} == kinds


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_by_name(name: str) -> None:
    kind, bit_widths = WEIGHTS[name]
    for bit_width in (*range(1, 9), 32):
        if bit_width in bit_widths:
            quantizer = weight_quantizer(name, bit_width)
            assert quantizer is not None
            assert type(quantizer) is kind
            assert quantizer.bit_width == bit_width
            assert quantizer(torch.randn(3, 4)).shape == (3, 4)
        else:
            with pytest.raises(InputError, match=rf"`weight_bit_width` to be .* {name}, but got {bit_width}; .*`weight_quantizer: auto`"):
                weight_quantizer(name, bit_width)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_name(name: str) -> None:
    kind, bit_widths = ACTIVATIONS[name]
    for bit_width in (*range(1, 9), 32):
        if bit_width in bit_widths:
            quantizer = activation_quantizer(name, bit_width)
            assert quantizer is not None
            assert type(quantizer) is kind
            assert quantizer.bit_width == bit_width
        else:
            with pytest.raises(InputError, match=rf"`activation_bit_width` to be .* {name}, but got {bit_width}"):
                activation_quantizer(name, bit_width)


def test_auto_is_the_paper() -> None:
    assert weight_quantizer("auto", 32) is None
    assert activation_quantizer("auto", 32) is None
    assert type(weight_quantizer("auto", 1)) is BinaryConnect
    assert type(weight_quantizer("auto", 1, activation_bit_width=2)) is BinaryConnect
    assert type(weight_quantizer("auto", 1, activation_bit_width=1)) is BinaryNet
    assert type(activation_quantizer("auto", 1)) is BinaryNet
    for bit_width in range(2, 9):
        weights, activations = weight_quantizer("auto", bit_width, activation_bit_width=1), activation_quantizer("auto", bit_width)
        assert type(weights) is DoReFaWeight
        assert weights.bit_width == bit_width
        assert type(activations) is DoReFaActivation
        assert activations.bit_width == bit_width


@pytest.mark.parametrize("stochastic", [True, False])
def test_stochastic_reaches_binary_quantizers(stochastic: bool) -> None:
    for quantizer in (
        weight_quantizer("auto", 1, stochastic=stochastic),
        weight_quantizer("auto", 1, activation_bit_width=1, stochastic=stochastic),
        weight_quantizer("binary_connect", 1, stochastic=stochastic),
        activation_quantizer("binary_net", 1, stochastic=stochastic),
    ):
        assert isinstance(quantizer, BinaryConnect | BinaryNet)
        assert quantizer.stochastic is stochastic
    assert type(weight_quantizer("auto", 4, stochastic=stochastic)) is DoReFaWeight


def test_each_call_makes_a_new_one() -> None:
    assert weight_quantizer("ttq", 2) is not weight_quantizer("ttq", 2)


@pytest.mark.parametrize(
    ("name", "hint"), [("dorfa", "dorefa"), ("XNOR-Net", "xnor_net"), ("fixedpoint", "fixed_point"), ("TTQ ", "ttq"), ("minmax", "min_max")]
)
def test_unknown_weight_names(name: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"`weight_quantizer` to be one of auto, .*, but got {name!r}; did you mean .*{hint}"):
        weight_quantizer(name, 2)


def test_unknown_activation_names() -> None:
    with pytest.raises(
        InputError, match=r"`activation_quantizer` to be one of auto, binary_net, dorefa, but got 'binarynet'; did you mean"
    ):
        activation_quantizer("binarynet", 1)
    with pytest.raises(InputError, match=r"but got '%%%'; choose one of these"):
        activation_quantizer("%%%", 1)
    with pytest.raises(InputError, match=r"but got \['dorefa'\]"):
        activation_quantizer(["dorefa"], 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("bit_width", [0, 9, 16, 31, 33, -1, 2.0, "2", None, True])
def test_bad_bit_widths(bit_width: int) -> None:
    for call in (weight_quantizer, activation_quantizer):
        with pytest.raises(InputError, match="_bit_width` to be an integer from 1 to 8, or 32 for full precision"):
            call("auto", bit_width)
    with pytest.raises(InputError, match="`activation_bit_width`"):
        weight_quantizer("auto", 1, activation_bit_width=bit_width)
