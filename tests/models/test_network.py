"""The networks against the paper's Tables 8 to 10, and their order, padding and quantization."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qlight.errors import InputError
from qlight.models import Precision, build_network
from qlight.quantization import BinaryConnect, BinaryNet, DoReFaActivation, DoReFaWeight, QuantConv2d, QuantLinear

NINE = [(32, 32), (1, 1), (2, 2), (3, 3), (4, 4), (1, 32), (2, 32), (3, 32), (4, 32)]

# Tables 8 to 10 by hand: kernel weights in x out x 3 x 3, two batch-norm parameters a channel,
# 8192 = 512 channels of 4 x 4 after three pools.
TABLES = {
    "cifar10": {
        "conv": [3 * 128 * 9, 128 * 128 * 9, 128 * 256 * 9, 256 * 256 * 9, 256 * 512 * 9, 512 * 512 * 9],
        "norm": [256, 256, 512, 512, 1024, 1024],
    },
    "svhn": {
        "conv": [3 * 128 * 9, 128 * 128 * 9, 128 * 256 * 9, 256 * 128 * 9, 128 * 512 * 9, 512 * 512 * 9],
        "norm": [256, 256, 512, 256, 1024, 1024],
    },
}
DENSE = [8192 * 1024, 1024 * 1024]
OUTPUT = 1024 * 10 + 10


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", ["cifar10", "svhn"])
@pytest.mark.parametrize(("weights", "activations"), [(32, 32), (1, 1), (2, 2), (4, 32)])
def test_parameter_count_of_each_layer_is_the_papers(name: str, weights: int, activations: int) -> None:
    network = build_network(name, 1.0, Precision(weights, activations))
    table = TABLES[name]
    assert [parameters(block.get_submodule("conv")) for block in network.features] == table["conv"]
    assert [parameters(block.get_submodule("norm")) for block in network.features] == table["norm"]
    assert [parameters(block.get_submodule("dense")) for block in network.dense] == DENSE
    assert [parameters(block.get_submodule("norm")) for block in network.dense] == [2048, 2048]
    assert parameters(network.output) == OUTPUT
    assert parameters(network) == sum(table["conv"]) + sum(table["norm"]) + sum(DENSE) + 4096 + OUTPUT


def test_totals() -> None:
    assert parameters(build_network("cifar10")) == 14_029_706
    assert parameters(build_network("svhn")) == 13_144_714


@pytest.mark.parametrize(("weights", "activations"), NINE)
def test_layers_are_in_the_papers_order_and_the_ends_stay_real(weights: int, activations: int) -> None:
    network = build_network("cifar10", 0.125, Precision(weights, activations))
    for position, block in enumerate(network.features):
        pool = ["pool"] if position % 2 else []
        assert [name for name, _ in block.named_children()] == ["conv", *pool, "norm", "activation"]
    for block in network.dense:
        assert [name for name, _ in block.named_children()] == ["dense", "norm", "activation"]
    layers = [module for module in network.modules() if isinstance(module, QuantConv2d | QuantLinear)]
    assert len(layers) == 8
    assert layers[0].weight_quantizer is None
    expected = {32: type(None), 1: BinaryNet if activations == 1 else BinaryConnect}.get(weights, DoReFaWeight)
    assert all(type(layer.weight_quantizer) is expected for layer in layers[1:])
    assert isinstance(network.output, nn.Linear)
    assert not isinstance(network.output, QuantLinear)
    activation = {32: nn.ReLU, 1: BinaryNet}.get(activations, DoReFaActivation)
    blocks = [*network.features, *network.dense]
    assert all(type(block.get_submodule("activation")) is activation for block in blocks)


@pytest.mark.parametrize(("weights", "activations"), NINE)
def test_every_precision_runs_forward_and_backward(weights: int, activations: int) -> None:
    torch.manual_seed(0)
    network = build_network("svhn", 0.125, Precision(weights, activations))
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    logits = network(images)
    assert logits.shape == (4, 10)
    F.cross_entropy(logits, torch.arange(4)).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        *(("binary_connect", 1), ("binary_net", 1), ("xnor_net", 1), ("twn", 2), ("ttq", 2), ("dorefa", 3)),
        *(("fixed_point", 4), ("power_of_two", 4), ("min_max", 4)),
    ],
)
@pytest.mark.parametrize("activations", [1, 2, 32])
def test_every_named_weight_quantizer_trains_a_network(name: str, bits: int, activations: int) -> None:
    torch.manual_seed(0)
    network = build_network("svhn", 0.125, Precision(bits, activations, weight_quantizer=name))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    images, labels = torch.rand(20, 3, 32, 32), torch.arange(20) % 10
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize(("weights", "activations", "allowed"), [(1, 1, True), (1, 32, True), (2, 1, True), (2, 2, False), (32, 32, False)])
def test_stochastic_is_refused_where_nothing_draws(weights: int, activations: int, allowed: bool) -> None:
    if allowed:
        network = build_network("svhn", 0.125, Precision(weights, activations, stochastic=True)).train()
        images = torch.rand(4, 3, 32, 32)
        assert not torch.equal(network(images), network(images))
    else:
        with pytest.raises(InputError, match="`stochastic`"):
            Precision(weights, activations, stochastic=True)


def test_forward_is_the_composition_written_by_hand() -> None:
    """w1a1 against plain torch functions: pad -1, convolve signs, pool, normalize, sign."""
    torch.manual_seed(1)
    network = build_network("cifar10", 0.125, Precision(1, 1)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, -1, 1)
            nn.init.uniform_(module.bias, -1, 1)

    def sign(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))

    def norm(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-5)  # type: ignore[arg-type]

    with torch.no_grad():
        images = torch.rand(3, 3, 32, 32)
        x = images
        for position, block in enumerate(network.features):
            weight = block.get_submodule("conv").weight
            assert isinstance(weight, torch.Tensor)
            padded = F.pad(x, (1, 1, 1, 1), value=0.0 if position == 0 else -1.0)
            x = F.conv2d(padded, weight if position == 0 else sign(weight))
            if position % 2:
                x = F.max_pool2d(x, 2)
            x = sign(norm(x, block.get_submodule("norm")))
        x = x.flatten(1)
        for block in network.dense:
            x = sign(norm(x @ sign(block.get_submodule("dense").weight).T, block.get_submodule("norm")))  # type: ignore[arg-type]
        expected = F.linear(x, network.output.weight, network.output.bias)
        # from the second layer on everything is an integer: equal unless the first layer's float sums round across zero
        torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("width", [0.125, 0.25, 0.5, 1.0])
def test_width_scales_hidden_channels_only(width: float) -> None:
    network = build_network("svhn", width)
    convolutions = [block.get_submodule("conv") for block in network.features]
    assert [conv.out_channels for conv in convolutions] == [round(c * width) for c in (128, 128, 256, 128, 512, 512)]
    assert convolutions[0].in_channels == 3
    assert network.output.out_features == 10


def test_gradient_quantizers_sit_behind_the_inner_layers() -> None:
    network = build_network("cifar10", 0.125, Precision(2, 2, gradient_bit_width=6))
    names = [[name for name, _ in block.named_children()] for block in [*network.features, *network.dense]]
    assert ["gradient" in block for block in names] == [False] + [True] * 7
    F.cross_entropy(network(torch.rand(2, 3, 32, 32)), torch.zeros(2, dtype=torch.long)).backward()


@pytest.mark.parametrize(
    ("name", "width", "precision", "words"),
    [
        ("cifar", 1.0, (32, 32), ["`network`", "'cifar'", "cifar10"]),
        ("svhn", 0.0, (32, 32), ["`width`", "0.0"]),
        ("svhn", 1.5, (32, 32), ["`width`", "1.5"]),
        ("svhn", 0.3, (32, 32), ["`width`", "0.3", "0.125"]),
        ("svhn", 1.0, (9, 32), ["`weight_bit_width`", "9", "1 to 8", "32"]),
        ("svhn", 1.0, (0, 32), ["`weight_bit_width`", "0"]),
        ("svhn", 1.0, (1, 16), ["`activation_bit_width`", "16"]),
    ],
)
def test_bad_input_is_one_sentence(name: str, width: float, precision: tuple[int, int], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        build_network(name, width, Precision(*precision))
    message = str(caught.value)
    assert all(word in message for word in words)
    assert "\n" not in message
