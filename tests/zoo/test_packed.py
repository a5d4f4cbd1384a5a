"""Packed networks: what is unpacked computes what was packed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.models import Classifier
from qlight.zoo import pack, unpack


def trained(**bits: int | str) -> Classifier:
    """A small network whose weights and statistics are not those it began with."""
    torch.manual_seed(0)
    model = Classifier(network="svhn", width=0.125, **bits)  # type: ignore[arg-type]
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 1.5 if "running_var" in name else torch.randn_like(tensor) / 2)
    return model.eval()


@pytest.mark.parametrize("weights", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("activations", [1, 2, 32])
def test_logits_are_the_same_bits(weights: int, activations: int) -> None:
    model = trained(weight_bit_width=weights, activation_bit_width=activations)
    other = Classifier(network="svhn", width=0.125, weight_bit_width=weights, activation_bit_width=activations).eval()
    unpack(other, *pack(model))
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(other(images), model(images))


def test_a_float_network_is_rounded_to_half_precision_where_large() -> None:
    model = trained()
    arrays, layout = pack(model)
    assert not layout
    for name, array in arrays.items():
        assert array.dtype == (np.float16 if array.size > 2**12 else np.float32), name
    other = Classifier(network="svhn", width=0.125)
    unpack(other, arrays, layout)
    for name, tensor in model.state_dict().items():
        if name in arrays:
            torch.testing.assert_close(other.state_dict()[name], tensor, rtol=2**-11, atol=2**-25)


@given(bits=st.integers(1, 8), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_packed_again_it_has_the_same_bytes(bits: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = Classifier(network="svhn", width=0.125, weight_bit_width=bits)
    arrays, layout = pack(model)
    other = Classifier(network="svhn", width=0.125, weight_bit_width=bits)
    unpack(other, arrays, layout)
    again, same = pack(other)
    assert same == layout
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())


def test_codes_take_their_bits() -> None:
    arrays, layout = pack(trained(weight_bit_width=3))
    for name, of in layout.items():
        assert arrays[name].nbytes == -(-int(np.prod(of["shape"])) * 3 // 8)


@pytest.mark.parametrize("quantizer", ["xnor_net", "min_max"])
def test_a_quantizer_with_a_scale_of_its_own_is_refused(quantizer: str) -> None:
    with pytest.raises(InputError, match="keep its checkpoint"):
        pack(trained(weight_bit_width=1, weight_quantizer=quantizer))


def test_another_networks_arrays_are_refused() -> None:
    arrays, layout = pack(trained(weight_bit_width=2))
    with pytest.raises(InputError, match="another network"):
        unpack(Classifier(network="svhn", width=0.125), arrays, layout)
    with pytest.raises(InputError, match="another network"):
        unpack(Classifier(network="svhn", width=0.25, weight_bit_width=2), arrays, layout)
    with pytest.raises(InputError, match="another network"):
        unpack(Classifier(network="cifar10", width=0.125, weight_bit_width=2), arrays, layout)
    name = next(iter(layout))
    with pytest.raises(InputError, match="codes of"):
        unpack(Classifier(network="svhn", width=0.125, weight_bit_width=2), arrays | {name: arrays[name][:-1]}, layout)
