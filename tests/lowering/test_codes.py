"""Integers and their units stand for the very numbers that the quantizers give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.intgraph import Linear, weight_integers
from qlight.lowering.codes import Unit, activation_codes, post_training, short, steps_before, trained_weight
from qlight.models.batch_norm import BatchNorm2d
from qlight.quantization import TWN, BinaryNet, DoReFaActivation, weight_quantizer

SUPPORTED = [
    *(("dorefa", bits) for bits in range(1, 9)),
    ("binary_connect", 1),
    ("binary_net", 1),
    ("xnor_net", 1),
    ("twn", 2),
    *(("fixed_point", bits) for bits in (2, 5, 8)),
    *(("power_of_two", bits) for bits in (2, 5, 8)),
]


@pytest.mark.parametrize(("name", "bits"), SUPPORTED)
def test_weights_keep_the_values_they_were_trained_with(name: str, bits: int) -> None:
    quantizer = weight_quantizer(name, bits)
    assert quantizer is not None
    weight = torch.randn(4, 30, generator=torch.Generator().manual_seed(bits))
    found = trained_weight("dense1", weight, quantizer.eval())
    integers = weight_integers(Linear("dense1", "a", "b", found.encoding, found.bits, found.codes, found.scale))
    assert found.bits == bits
    real = found.unit.value(integers.T).T
    np.testing.assert_allclose(real, quantizer(weight).numpy(), rtol=1.2e-7, atol=0)
    step = found.scale if found.scale is not None else np.full(4, 1 / (2**bits - 1))  # what SPEC.md says of a code
    np.testing.assert_allclose(integers * step[:, None], quantizer(weight).numpy(), rtol=1.2e-7)


@pytest.mark.parametrize(("name", "bits"), [("ttq", 2), ("min_max", 1), ("min_max", 4)])
def test_weights_without_integers_are_refused(name: str, bits: int) -> None:
    quantizer = weight_quantizer(name, bits)
    assert quantizer is not None
    with pytest.raises(InputError, match=r"Expected `model` to have weights.* but conv2 uses (TTQ|MinMaxUniform)"):
        trained_weight("conv2", torch.randn(2, 9), quantizer)


def test_a_layer_of_zeros_keeps_a_scale_that_a_graph_may_state() -> None:
    found = trained_weight("dense1", torch.zeros(2, 3), TWN())
    assert (found.scale == 2.0**-126).all()
    assert (found.unit.value(np.array([[5, -5]])) == 0).all()
    assert (post_training(torch.zeros(2, 3), 8).scale == 1).all()


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(2, 8), seed=st.integers(0, 1000), size=st.sampled_from([1e-30, 1e-6, 1.0, 1e6]))
def test_post_training_weights_are_near_and_exact_in_float32(bits: int, seed: int, size: float) -> None:
    weight = size * torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(seed))
    found = post_training(weight, bits)
    largest = 2 ** (bits - 1) - 1
    assert np.abs(found.codes.astype(int)).max() <= largest
    assert found.scale is not None
    exact = found.codes * found.scale.reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(exact.astype(np.float32).astype(np.float64), exact)
    # no worse than the scale that clips nothing
    plain = np.abs(weight.double().numpy()).max((1, 2, 3)) / largest
    rounded = np.rint(weight.double().numpy() / plain.reshape(-1, 1, 1, 1)) * plain.reshape(-1, 1, 1, 1)
    error, reference = (np.square(x - weight.double().numpy()).sum((1, 2, 3)) for x in (exact, rounded))
    assert (error <= reference * 1.01).all()  # the scale is rounded, which is a matter of luck


def test_steps_lie_apart_from_integers() -> None:
    norm = BatchNorm2d(16).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.running_mean.copy_(torch.randn(16, generator=generator))  # type: ignore[union-attr]
        norm.bias.copy_(torch.randn(16, generator=generator))
    weight = torch.randn(16, 3, 3, 3, generator=generator)
    for activation, least in ((BinaryNet(), 0.3), (DoReFaActivation(2), 0.15)):
        steps = steps_before(norm, activation)
        assert steps is not None
        found = post_training(weight, 8, steps * 255)
        assert found.scale is not None
        places = steps * 255 / found.scale[:, None]
        assert np.abs(places - np.rint(places)).min() > least
        plain = post_training(weight, 8).scale
        assert plain is not None
        assert (found.scale / plain <= 1.002).all()
    # a step is where the code changes
    edge = torch.from_numpy(steps_before(norm, DoReFaActivation(1))).float()  # type: ignore[arg-type]
    around = torch.stack([edge - 1e-4, edge + 1e-4], 2)[None]
    np.testing.assert_array_equal(DoReFaActivation(1).quantize(norm(around)).code[0, :, 0], [[0, 1]] * 16)


def test_units_multiply_and_activations_have_one() -> None:
    unit = Unit(np.array([1.0, 2.0]), 3) * Unit(np.array(1.0), 255)
    np.testing.assert_array_equal(unit.value(np.array([[765, 765]])), [[1.0, 2.0]])
    assert activation_codes(BinaryNet()).encoding == "bipolar"
    assert activation_codes(DoReFaActivation(3)).unit.denominator == 7
    with pytest.raises(InputError, match="but got GELU"):
        activation_codes(torch.nn.GELU())


@given(st.floats(1e-30, 1e30))
def test_short_scales_are_above_by_less_than_2_to_the_minus_15(scale: float) -> None:
    found = float(short(np.array(scale)))
    assert scale <= found <= scale * (1 + 2.0**-15)
    assert float(np.frexp(found)[0]) * 2**16 % 1 == 0
