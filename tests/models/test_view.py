"""The evaluation view computes what the network computes, up to rounding, and leaves the network alone."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.models import Classifier, Precision, build_network
from qlight.models.blocks import ConvBlock
from qlight.models.first_layer import FirstLayer
from qlight.models.frozen import FrozenBlocks, FrozenConv2d, FrozenConvBlock, FrozenLinear
from qlight.models.integer_conv import integer_conv2d
from qlight.models.view import NetworkView, evaluation_view
from qlight.quantization import BinaryConnect, BinaryNet, DoReFaActivation, DoReFaWeight, QuantConv2d, QuantLinear
from tests.models.networks import classifier, settled

PRECISIONS = [(32, 32), (1, 1), (2, 2), (4, 4), (1, 32), (4, 32), (4, 1), (1, 4)]


def images(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count)).to(dtype)


def slope(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and the gradient of a combination of them in the images."""
    x = x.clone().requires_grad_()
    logits = model(x)
    weights = torch.linspace(-1, 2, logits.numel(), dtype=logits.dtype).view_as(logits)
    return logits.detach(), torch.autograd.grad((logits * weights).sum(), x)[0]


def same(mine: Tensor, its: Tensor, but: int = 1) -> None:
    """Equal up to rounding for all images but one, where an activation at the very edge between two codes may take the other one."""
    mine, its = mine.flatten(1).double(), its.flatten(1).double()
    scale = its.abs().amax(1).clamp(min=1e-6)
    distance = (mine - its).abs().amax(1) / scale
    assert int((distance > 1e-4).sum()) <= but, distance


class ExactConv(nn.Module):
    """A convolution of codes as whole numbers in float32: exact sums, so that a pool sees them as equal where they are."""

    def __init__(self, conv: QuantConv2d, top: int, weight_bits: int, binary: bool) -> None:
        super().__init__()
        self.top, self.binary, self.scale = top, binary, 1 / (top * (2**weight_bits - 1))
        self.weight = (conv.quantized_weight().detach() * (2**weight_bits - 1)).round()

    def forward(self, x: Tensor) -> Tensor:
        codes = x * self.top
        codes = codes + (codes.round() - codes).detach()
        return F.conv2d(F.pad(codes, (1, 1, 1, 1), value=-1.0 if self.binary else 0.0), self.weight) * self.scale


def exact(model: Classifier) -> nn.Module:
    """A copy of the network with such convolutions where there are codes."""
    model = copy.deepcopy(model)
    bits = model.precision.activation_bit_width
    for block in list(model.get_submodule("network.features").children())[1:]:
        conv = block.get_submodule("conv")
        assert isinstance(conv, QuantConv2d)
        if bits < 32 and isinstance(conv.weight_quantizer, BinaryConnect | DoReFaWeight):
            block.add_module("conv", ExactConv(conv, 2**bits - 1, conv.weight_quantizer.bit_width, bits == 1))
    return model


@pytest.mark.parametrize(("weights", "activations"), PRECISIONS)
def test_logits_and_gradients_are_those_of_the_network(weights: int, activations: int) -> None:
    model = classifier(weights, activations)
    view = model.evaluation_view()
    x = images(9)
    with torch.no_grad():
        expected = exact(model)(x)
        same(view(x), expected)
    logits, gradient = slope(exact(model), x)
    seen, own = slope(view, x)
    same(seen, logits)
    same(own, gradient)
    assert gradient.abs().flatten(1).amax(1).min() > 0
    assert len(expected.unique(dim=0)) == 9


@pytest.mark.parametrize("count", [1, 2, 7])
def test_logits_of_a_binary_network_are_the_same_bits(count: int) -> None:
    model = classifier(1, 1)
    view = model.evaluation_view()
    with torch.no_grad():
        expected = model(images(count))
        assert torch.equal(view(images(count)), expected)
    assert torch.equal(slope(view, images(count))[0], expected)


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (32, 32), (2, 32), (1, 4)])
def test_float64(weights: int, activations: int) -> None:
    model = classifier(weights, activations).double()
    view = model.evaluation_view()
    x = images(2, torch.float64)
    for mine, its in zip(slope(view, x), slope(model, x), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (32, 32)])
def test_a_view_can_be_converted(weights: int, activations: int, dtype: torch.dtype) -> None:
    model = classifier(weights, activations)
    view = model.evaluation_view().to(dtype)
    logits, gradient = slope(view, images(2, dtype))
    assert logits.dtype == gradient.dtype == dtype
    assert logits.isfinite().all()
    assert gradient.isfinite().all()
    if dtype == torch.float64:  # the codes of a few values at the very edge may differ
        torch.testing.assert_close(logits.float(), model(images(2)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["xnor_net", "twn", "ttq", "fixed_point", "power_of_two", "min_max"])
def test_every_weight_quantizer(name: str) -> None:
    bits = {"xnor_net": 1, "twn": 2, "ttq": 2}.get(name, 3)
    model = classifier(bits, 2, weight_quantizer=name)
    view = model.evaluation_view()
    (logits, gradient), (own, its) = slope(view, images(9)), slope(model, images(9))
    same(logits, own)
    if not any(block.integer for block in view.get_submodule("network.features").children()):  # else see `exact`
        same(gradient, its)


def test_quantized_gradients_are_quantized_in_the_view_too() -> None:
    model = classifier(1, 2, gradient_bit_width=4)
    view = model.evaluation_view()
    torch.manual_seed(3)
    expected = slope(model, images(3))
    torch.manual_seed(3)
    for mine, its in zip(slope(view, images(3)), expected, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (32, 32)])
def test_the_network_is_left_as_it_is(weights: int, activations: int) -> None:
    model = classifier(weights, activations)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    view = model.evaluation_view()
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not view.training
    assert not any(module.training for module in view.modules())
    assert not any(parameter.requires_grad for parameter in view.parameters())
    slope(view, images(2))
    assert all(module.training for module in model.network.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()] if tensor.numel()}
    assert not own & {tensor.untyped_storage().data_ptr() for tensor in [*view.parameters(), *view.buffers()] if tensor.numel()}

    logits = view(images(2))
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.zero_()
    assert torch.equal(view(images(2)), logits)


def test_a_view_stays_in_evaluation_mode() -> None:
    view = classifier(2, 2).evaluation_view()
    expected = view(images(4))
    view.train()
    assert not any(module.training for module in view.modules())
    assert torch.equal(view(images(4)), expected)


def test_weights_are_quantized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(2, 2)
    calls: list[int] = []
    forward = DoReFaWeight.forward

    def counted(self: DoReFaWeight, w: Tensor) -> Tensor:
        calls.append(w.numel())
        return forward(self, w)

    monkeypatch.setattr(DoReFaWeight, "forward", counted)
    view = model.evaluation_view()
    assert len(calls) == 7
    slope(view, images(2))
    view(images(2))
    assert len(calls) == 7


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (4, 4), (1, 4), (4, 1), (32, 32), (2, 32)])
def test_convolution_blocks_are_the_frozen_ones(weights: int, activations: int) -> None:
    view = classifier(weights, activations).evaluation_view()
    assert isinstance(view, NetworkView)
    blocks = view.get_submodule("network.features")
    assert isinstance(blocks, FrozenBlocks)
    assert len(blocks) == 6
    codes = integer_conv2d(torch.ones(4, 4, 3, 3)) is not None and activations < 32
    assert [block.integer is not None for block in blocks] == [False] + [codes] * 5
    assert [block.folds for block in blocks] == [activations == 32, False] * 3
    assert sum(isinstance(module, FrozenLinear) for module in view.modules()) == 2
    assert not any(isinstance(module, QuantConv2d | QuantLinear) for module in view.modules())


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("weights", "activations"), [(DoReFaWeight(2), DoReFaActivation(2)), (DoReFaWeight(4), DoReFaActivation(4))])
def test_codes_differ_only_where_rounding_decides(weights: DoReFaWeight, activations: DoReFaActivation, pool: bool) -> None:
    torch.manual_seed(0)
    block = ConvBlock(QuantConv2d(24, 16, 3, weights), activations, pool)
    top = 2**activations.bit_width - 1
    codes = torch.randint(0, top + 1, (20, 24, 8, 8))
    block(codes / top)  # moves the running statistics
    frozen = FrozenConvBlock(block.eval(), before=activations)
    if frozen.integer is None:
        pytest.skip("this processor has no 8-bit convolution")
    its, mine = block(codes / top), frozen(codes.to(torch.uint8))
    assert len(mine.unique()) == top + 1
    y = nn.Sequential(*list(block)[:-1])(codes / top) * top
    to_the_edge = ((y - y.floor()) - 0.5).abs()
    differ = mine != its
    assert bool((to_the_edge[differ] < 1e-4).all())
    assert torch.equal(frozen(codes.to(torch.uint8), gives_codes=True), (mine * top).round().to(torch.uint8))


def test_a_view_of_a_view_and_a_copy_of_it() -> None:
    view = classifier(1, 1).evaluation_view()
    again, copied = evaluation_view(view), copy.deepcopy(view)
    x = images(3)
    expected = view(x)
    assert isinstance(again, NetworkView)
    for other in (again, copied):
        assert other is not view
        assert torch.equal(other(x), expected)
        first = other.first
        assert isinstance(first, FirstLayer)
        assert first.conv is other.get_submodule("network.features.0.conv")
        assert first.conv is not view.get_submodule("network.features.0.conv")


def test_a_bare_network_and_one_inside_another_module() -> None:
    model = classifier(1, 1)
    x = images(3)
    expected = model(x)
    assert torch.equal(evaluation_view(model)(x), expected)
    assert torch.equal(evaluation_view(model.network)(x), expected)
    outer = nn.Sequential(nn.Identity(), model.network, nn.Linear(10, 3))
    view = evaluation_view(outer)
    assert torch.equal(view(x), outer(x))
    assert not any(isinstance(module, QuantConv2d | QuantLinear) for module in view.modules())


class Halved(ConvBlock):
    """A block with a forward pass of its own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is torch's
        return super().forward(input) / 2


class Lone(nn.Module):
    """Layers of ours in someone else's network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = QuantConv2d(3, 6, 3, DoReFaWeight(2), pad_value=-1.0)
        self.blocks = nn.Sequential(
            ConvBlock(QuantConv2d(6, 8, 3, DoReFaWeight(2)), BinaryNet(), pool=True),
            ConvBlock(QuantConv2d(8, 8, 3, DoReFaWeight(2)), BinaryNet(), pool=False),  # pads with 0, so it must see -1 and +1
            Halved(QuantConv2d(8, 8, 3, DoReFaWeight(2), pad_value=-1.0), DoReFaActivation(2), pool=True),
            ConvBlock(QuantConv2d(8, 8, 3, None), nn.Hardtanh(), pool=False),
        )
        self.dropout = nn.Dropout()
        self.dense = QuantLinear(8 * 8 * 8, 10, DoReFaWeight(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.dropout(self.blocks(self.conv(x))).flatten(1))


def test_layers_of_ours_in_someone_elses_network() -> None:
    torch.manual_seed(0)
    model = Lone()
    settled(model)
    view = evaluation_view(model)
    for mine, its in zip(slope(view, images(9)), slope(model, images(9)), strict=True):
        same(mine, its)
    assert isinstance(view.conv, FrozenConv2d)
    assert [type(module) for module in view.get_submodule("blocks").children()] == [FrozenBlocks, Halved, ConvBlock]
    assert isinstance(view.dense, FrozenLinear)


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is torch's
        return 2 * F.linear(input, self.weight)


def test_a_plain_module_is_copied_and_frozen() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.BatchNorm1d(3072), Doubled(3072, 4))
    model(images(4)).sum().backward()
    view = evaluation_view(model)
    model.eval()
    assert torch.equal(view(images(4)), model(images(4)))
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in view.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model[3].weight.grad is not None
    assert [type(module) for module in view.children()] == [type(module) for module in model]


def test_a_network_from_the_registry_needs_no_classifier() -> None:
    network = build_network("cifar10", 0.125, Precision(1, 1))
    settled(network)
    view = evaluation_view(network)
    reference = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = images(2)
    assert torch.equal(view(x), reference(x.contiguous(memory_format=torch.channels_last)))


def test_what_is_no_module() -> None:
    with pytest.raises(InputError, match="`model` to be a torch module, but got function"):
        evaluation_view(images)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch.compile's own
def test_compiled() -> None:
    model = classifier(32, 32)
    view = evaluation_view(model, compile=True)
    for count in (2, 5, 9):
        with torch.no_grad():
            torch.testing.assert_close(view(images(count)), model(images(count)), rtol=1e-4, atol=1e-5)
    for mine, its in zip(slope(view, images(3)), slope(model, images(3)), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)
    assert not model.network._compiled_call_impl
