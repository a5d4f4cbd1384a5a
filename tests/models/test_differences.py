"""Differences of logits from windows are those of whole forward passes, wherever and however much one value of an image changes."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.models import differences as module
from qlight.models.blocks import ConvBlock
from qlight.models.differences import Differences
from qlight.models.frozen import FrozenBlocks
from qlight.models.view import NetworkView, evaluation_view
from qlight.models.windows import Step, steps
from qlight.quantization import QuantConv2d
from tests.models.networks import classifier

NETWORKS = [("cifar10", 32), ("cifar10", 2), ("svhn", 32), ("svhn", 1)]
CORNERS = [channel * 1024 + row * 32 + column for channel in range(3) for row in (0, 1, 30, 31) for column in (0, 1, 30, 31)]
MOVES = st.sampled_from([0.0, 1e-9, 5e-5, -5e-5, 1e-4, -1e-3, 0.03, 0.5, -0.7, 6.0, -40.0])


@cache
def view(network: str = "cifar10", weights: int = 32, dtype: torch.dtype = torch.float64) -> NetworkView:
    """A network with negative slopes of batch norm, and one that is 0."""
    model = classifier(weights, 32, network=network)
    for block in model.network.features:
        with torch.no_grad():
            block.get_submodule("norm").get_parameter("weight")[0] = 0
    made = model.evaluation_view()
    assert isinstance(made, NetworkView)
    return made.to(dtype)


def pictures(kind: str, count: int, seed: int, dtype: torch.dtype) -> Tensor:
    """In flat ones and in those of few values many outputs under a pool are equal."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 3, 32, 32, generator=generator, dtype=torch.float64)
    if kind == "flat":
        x = x[:, :, :1, :1].expand(x.shape)
    if kind == "saturated":
        x = (x > 0.3).double()
    return x.contiguous().to(dtype)


def told(network: NetworkView, *given: Tensor) -> Tensor:
    assert network.differences is not None
    return network.differences(*given)


@torch.no_grad()
def whole(network: nn.Module, images: Tensor, which: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
    """The same from whole forward passes."""
    rows = images[which].repeat_interleave(pixels.shape[1], 0)
    rows.flatten(1).scatter_(1, coordinates.repeat_interleave(pixels.shape[1])[:, None], pixels.to(images.dtype).reshape(-1, 1))
    return network(rows).unflatten(0, pixels.shape) - network(images)[which][:, None]


@st.composite
def changes(draw: st.DrawFn, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, which of them, coordinates and pixels."""
    count, sides = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    images = pictures(draw(st.sampled_from(["random", "flat", "saturated"])), count, draw(st.integers(0, 99)), dtype)
    place = st.tuples(st.integers(0, count - 1), st.sampled_from(CORNERS) | st.integers(0, 3071), st.tuples(*[MOVES] * sides))
    places = draw(st.lists(place, min_size=1, max_size=12))
    which, coordinates = torch.tensor([p[0] for p in places]), torch.tensor([p[1] for p in places])
    moves = torch.tensor([p[2] for p in places], dtype=torch.float64)
    return images, which, coordinates, images.flatten(1)[which, coordinates][:, None] + moves


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NETWORKS), changes())
def test_in_float64_they_are_those_of_whole_passes(which_network: tuple[str, int], given: tuple[Tensor, ...]) -> None:
    network = view(*which_network)
    mine, its = told(network, *given), whole(network, *given)
    assert mine.shape == (*given[3].shape, 10)
    torch.testing.assert_close(mine, its, rtol=1e-12, atol=1e-12)
    still = given[3] == given[0].flatten(1)[given[1], given[2]][:, None]
    assert not mine[still].any()


@pytest.mark.parametrize("size", [1e-4, 0.5])
@pytest.mark.parametrize(("network", "weights"), [("cifar10", 32), ("svhn", 1)])
def test_in_float32_they_are_nearer_to_the_truth(network: str, weights: int, size: float) -> None:
    single = view(network, weights, torch.float32)
    double = copy.deepcopy(single).double()
    images = pictures("random", 3, 5, torch.float32)
    generator = torch.Generator().manual_seed(2)
    which, coordinates = torch.arange(60) % 3, torch.randint(3072, (60,), generator=generator)
    pixels = images.flatten(1)[which, coordinates][:, None] + torch.tensor([size, -size])
    truth = whole(double, images.double(), which, coordinates, pixels.double())
    mine, its = told(single, images, which, coordinates, pixels), whole(single, images, which, coordinates, pixels)
    error, usual = ((one.double() - truth).square().mean().sqrt() for one in (mine, its))
    assert error < usual
    assert size > 1e-3 or error < 0.05 * usual
    # some unit at the edge of ReLU may be on its other side in float32
    assert error < 1e-3 * truth.square().mean().sqrt()


def frozen(pools: list[bool], height: int, width: int, seed: int) -> Any:
    """Convolution blocks, with or without a pool, and an output, as the network of a view has them."""
    torch.manual_seed(seed)
    network: Any = nn.Module()
    blocks = {str(i): ConvBlock(QuantConv2d(4 if i else 2, 4, 3, None), nn.ReLU(), pool) for i, pool in enumerate(pools)}
    for block in blocks.values():
        norm = block.get_submodule("norm")
        for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, 0.1 if name == "running_var" else -1, 1)
    network.features = FrozenBlocks(blocks)
    network.dense = nn.Sequential()
    network.output = nn.Linear(4 * (height >> sum(pools)) * (width >> sum(pools)), 4)
    network.forward = lambda x: network.output(network.features(x).flatten(1))
    return network.double()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=5), st.integers(8, 23), st.integers(8, 23), st.integers(0, 9), st.data())
def test_any_blocks_on_any_size(pools: list[bool], height: int, width: int, seed: int, data: st.DataObject) -> None:
    while height >> sum(pools) < 1 or width >> sum(pools) < 1:
        pools[pools.index(True)] = False
    network = frozen(pools, height, width, seed)
    assert Differences.fits(network)
    images = torch.rand(2, 2, height, width, dtype=torch.float64)  # seeded by `frozen`
    places = data.draw(st.lists(st.integers(0, 2 * height * width - 1), min_size=1, max_size=8))
    coordinates = torch.tensor([0, width - 1, height * width - 1, *places])
    which = torch.arange(len(coordinates)) % 2
    pixels = images.flatten(1)[which, coordinates][:, None] + torch.tensor([0.3, -0.1, 1e-6])
    given = (images, which, coordinates, pixels)
    torch.testing.assert_close(Differences(network)(*given), whole(network, *given), rtol=1e-12, atol=1e-12)


def test_windows_are_as_small_as_they_can_be() -> None:
    assert steps([False, True] * 3, 32, 32) == [
        Step(1, 1, False, 1),  # 3 x 3 outputs
        Step(4, 4, False, 1),  # 5 x 5 outputs in 3 x 3 cells
        Step(3, 3, False, 2),
        Step(6, 6, False, 2),  # 7 x 7 outputs in 4 x 4 cells
        Step(4, 4, False, 3),
        Step(8, 8, True, 0),  # 8 x 8 outputs: all that there are
    ]


def test_small_changes_of_a_value_take_one_pass_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, bool]] = []
    follow = module._Points.follow

    def counted(self: Any, which: Tensor, coordinates: Tensor, moves: Tensor, *, together: bool) -> tuple[Tensor, Tensor]:
        sizes.append((len(which), together))
        return follow(self, which, coordinates, moves, together=together)

    monkeypatch.setattr(module._Points, "follow", counted)
    images = pictures("random", 1, 0, torch.float64)
    which, coordinates = torch.zeros(30, dtype=torch.int64), torch.arange(30) * 100
    for size, alone in ((1e-9, 0), (3.0, 60)):
        sizes.clear()
        pixels = images.flatten(1)[which, coordinates][:, None] + torch.tensor([size, -size])
        told(view(), images, which, coordinates, pixels)
        assert sizes[0] == (30, True)
        assert sum(count for count, together in sizes if not together) == alone
        assert max(count for count, _ in sizes) == 30


def test_nothing_asked_and_the_same_asked_twice() -> None:
    images = pictures("random", 2, 1, torch.float64)
    none = torch.zeros(0, dtype=torch.int64)
    assert told(view(), images, none, none, torch.zeros(0, 2, dtype=torch.float64)).shape == (0, 2, 10)
    which, coordinates = torch.tensor([1, 0, 1]), torch.tensor([70, 3000, 70])
    pixels = torch.tensor([[0.1, 0.9], [0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    seen = told(view(), images, which, coordinates, pixels)
    torch.testing.assert_close(seen[0], seen[2], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(seen[1, 0], seen[1, 1], rtol=1e-12, atol=1e-15)
    assert (seen[0, 0] - seen[0, 1]).abs().max() > 1e-6


def test_a_copy_of_a_view_has_its_own() -> None:
    first, second = view(), evaluation_view(copy.deepcopy(view()))
    assert isinstance(second, NetworkView)
    images = pictures("random", 1, 3, torch.float64)
    given = (images, torch.tensor([0]), torch.tensor([500]), torch.tensor([[0.25]], dtype=torch.float64))
    before = told(second, *given)
    assert torch.equal(before, told(first, *given))
    with torch.no_grad():
        second.network.output.weight.mul_(2)
    assert torch.equal(told(second, *given), 2 * before)
    assert torch.equal(told(first, *given), before)


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (32, 4)])
def test_quantized_activations_tell_none(weights: int, activations: int) -> None:
    assert classifier(weights, activations).evaluation_view().differences is None


def test_where_they_are_not_told() -> None:
    model = classifier(2, 32)
    assert model.evaluation_view().differences is not None
    assert model.evaluation_view(compile=True).differences is None
    assert classifier(2, 32, gradient_bit_width=4).evaluation_view().differences is None
    made = model.evaluation_view()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert made.differences is None
    assert made.differences is not None
    assert made.to(torch.bfloat16).differences is None
    assert made.to("meta").differences is None
