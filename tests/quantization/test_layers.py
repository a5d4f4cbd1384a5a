"""Quantized layers against loops over explicitly padded arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import correlate

from qlight.quantization import TTQ, BinaryConnect, DoReFaWeight, QuantConv2d, QuantizedTensor, Quantizer, QuantLinear, XNORNet


def convolve(x: NDArray[np.float64], w: NDArray[np.float64], pad_value: float) -> NDArray[np.float64]:
    """N x C x H x W by O x C x K x K: correlation with ``pad_value`` around each image, one filter at a time."""
    around = w.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (around, around), (around, around)), constant_values=pad_value)
    return np.stack([[correlate(image, kernel, mode="valid")[0] for kernel in w] for image in padded])


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("pad_value", [0.0, -1.0, 0.5])
@pytest.mark.parametrize("quantizer", [None, BinaryConnect(), DoReFaWeight(2), XNORNet()], ids=str)
def test_convolution(kernel_size: int, pad_value: float, quantizer: Quantizer | None) -> None:
    torch.manual_seed(0)
    layer = QuantConv2d(3, 4, kernel_size, quantizer, pad_value).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    weight = layer.weight if quantizer is None else quantizer.quantize(layer.weight).value
    expected = convolve(x.numpy(), weight.detach().numpy(), pad_value)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-12)


def test_binary_convolution_counts_agreements() -> None:
    """With -1 around binary inputs every output is an integer of the parity of 9 C: what XNOR and popcount give."""
    torch.manual_seed(0)
    x = torch.randint(0, 2, (2, 3, 5, 5)).mul(2).sub(1).float()
    y = QuantConv2d(3, 4, 3, BinaryConnect(), pad_value=-1.0)(x).detach()
    assert bool(((y + 27) % 2 == 0).all())
    assert float(y.abs().max()) <= 27


@pytest.mark.parametrize("quantizer", [None, BinaryConnect(), DoReFaWeight(3)], ids=str)
def test_linear(quantizer: Quantizer | None) -> None:
    torch.manual_seed(0)
    layer = QuantLinear(5, 3, quantizer).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    weight = layer.weight if quantizer is None else quantizer.quantize(layer.weight).value
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy() @ weight.detach().numpy().T, atol=1e-12)


@pytest.mark.parametrize("layer", [QuantConv2d(2, 3, 3, BinaryConnect()), QuantLinear(2, 3, BinaryConnect())], ids=["conv", "linear"])
def test_the_latent_weight_gets_equation_1(layer: QuantConv2d | QuantLinear) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        layer.weight.copy_(torch.randn_like(layer.weight) * 1.5)
    x = torch.randn(2, 2, 4, 4) if isinstance(layer, QuantConv2d) else torch.randn(2, 2)
    layer.zero_grad()
    layer(x).square().sum().backward()
    plain = type(layer)(2, 3, 3) if isinstance(layer, QuantConv2d) else QuantLinear(2, 3)
    with torch.no_grad():
        plain.weight.copy_(layer.quantized_weight())
    plain(x).square().sum().backward()
    assert layer.weight.grad is not None
    assert plain.weight.grad is not None
    inside = layer.weight.detach().abs() <= 1
    assert inside.any()
    assert not inside.all()
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad * inside)


def test_state_holds_the_latent_weight_and_trained_scales() -> None:
    assert set(QuantConv2d(2, 3, 3, BinaryConnect()).state_dict()) == {"weight"}
    layer = QuantLinear(2, 3, TTQ())
    assert set(layer.state_dict()) == {"weight", "weight_quantizer.positive_scale", "weight_quantizer.negative_scale"}
    other = QuantLinear(2, 3, TTQ(initial_scale=9.0))
    other.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(layer(x), other(x))


def test_a_quantized_tensor_cannot_be_changed() -> None:
    quantized = BinaryConnect().quantize(torch.randn(3))
    assert isinstance(quantized, QuantizedTensor)
    with pytest.raises(AttributeError):
        quantized.bit_width = 2  # type: ignore[misc]
