"""The proof that a pixel changes no code, against brute force, a plain implementation and sums in every order."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.models.blocks import ConvBlock
from qlight.models.first_layer import FirstLayer
from qlight.models.view import evaluation_view
from qlight.quantization import BinaryNet, DoReFaActivation, QuantConv2d
from tests.models.networks import classifier

SIDES = (6, 5)


def parts(made: ConvBlock) -> tuple[QuantConv2d, nn.BatchNorm2d, nn.Module]:
    """Convolution, batch norm and activation of a block."""
    conv, norm, activation = (made.get_submodule(name) for name in ("conv", "norm", "activation"))
    assert isinstance(conv, QuantConv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return conv, norm, activation


def statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, variance, weight and bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var, norm.weight.detach(), norm.bias.detach()


def block(bits: int, seed: int, channels: int = 4, dtype: torch.dtype = torch.float32) -> ConvBlock:
    """A first block with random weights, statistics, and scales and shifts of either sign."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low

    made = ConvBlock(QuantConv2d(3, channels, 3), BinaryNet() if bits == 1 else DoReFaActivation(bits), pool=False)
    conv, norm, _ = parts(made)
    mean, var, weight, bias = statistics(norm)
    conv.weight.detach().copy_(uniform(-1, 1, channels, 3, 3, 3))
    conv.weight.detach()[0, 0, 1] = 0  # pixels that do not matter
    weight.copy_(uniform(-2, 2, channels))
    bias.copy_(uniform(-0.5, 1, channels))
    mean.copy_(uniform(-0.5, 0.5, channels))
    var.copy_(uniform(0.1, 2, channels))
    return made.to(dtype).eval()


def layer(made: ConvBlock) -> FirstLayer:
    assert FirstLayer.fits(made)
    return FirstLayer(*parts(made))


def probed(images: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
    """The images with one coordinate set, n k x C x H x W."""
    rows = images.flatten(1).repeat_interleave(coordinates.shape[1], 0)
    rows.scatter_(1, coordinates.reshape(-1, 1), pixels.to(images.dtype).reshape(-1, 1))
    return rows.view(-1, *images.shape[1:])


@torch.no_grad()
def same_codes(made: nn.Module, images: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
    """Whether the block's own codes are those of the unchanged image: bool, n x k."""
    seen = made(probed(images, coordinates, pixels)).unflatten(0, coordinates.shape)
    return (seen == made(images)[:, None]).flatten(2).all(2)


def near_steps(made: ConvBlock, images: Tensor, bits: int, place: int, off: float) -> None:
    """Shift batch norm so that the output of each channel at a place is next to a step of the activation."""
    step = 0.0 if bits == 1 else (2 * (place % (2**bits - 1)) + 1) / (2 * (2**bits - 1))
    conv, norm, _ = parts(made)
    with torch.no_grad():
        y = norm(conv(images))[0].flatten(1)[:, place % (SIDES[0] * SIDES[1])]
        norm.bias.add_(step - y + off)


@settings(deadline=None, max_examples=150)
@given(
    bits=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 10_000),
    place=st.integers(0, 29),
    off=st.sampled_from([0.0, 1e-8, -1e-7, 3e-7, -1e-6, 1e-5]),
    change=st.sampled_from([1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2, 0.5]),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.float64]),
)
def test_what_is_called_unaffected_changes_no_code(bits: int, seed: int, place: int, off: float, change: float, dtype: torch.dtype) -> None:
    made = block(bits, seed, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, *SIDES, generator=generator, dtype=torch.float64).to(dtype)
    images[1, 1] = images[1, 1].round()  # the ends of the range
    near_steps(made, images, bits, place, off)
    coordinates = torch.arange(90).repeat(2, 1)
    shift = change * torch.randn(2, 90, generator=generator, dtype=torch.float64)
    pixels = images.flatten(1).double() + shift
    unaffected = layer(made).unaffected(images, coordinates, pixels)
    actual = same_codes(made, images, coordinates, pixels)
    assert not (unaffected & ~actual).any()


@pytest.mark.parametrize(("bits", "least"), [(1, 0.93), (2, 0.85), (4, 0.35)])
def test_it_recognizes_most_of_what_changes_no_code(bits: int, least: float) -> None:
    made = block(bits, 1, channels=16)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 32, 32, generator=generator)
    coordinates = torch.randint(0, 3072, (4, 256), generator=generator)
    pixels = images.flatten(1).gather(1, coordinates) + 5e-5
    unaffected = layer(made).unaffected(images, coordinates, pixels)
    actual = same_codes(made, images, coordinates, pixels)
    assert not (unaffected & ~actual).any()
    assert unaffected.float().mean() > least
    assert unaffected.sum() > 0.9 * actual.sum()
    far = layer(made).unaffected(images, coordinates, 1 - pixels)
    assert far.float().mean() < 0.2


def plain(made: ConvBlock, bits: int, image: np.ndarray, coordinate: int, pixel: float, slack: float) -> bool:
    """The claim's condition for one probe in plain Python, with every bound times ``slack``."""
    conv, norm, _ = parts(made)
    w = conv.weight.detach().double().numpy()
    mean, var, weight, bias = (x.double().numpy() for x in statistics(norm))
    channels, height, width = image.shape
    channel, row, column = coordinate // (height * width), coordinate // width % height, coordinate % width
    delta = float(np.float32(pixel)) - float(image[channel, row, column])
    if delta == 0:
        return True
    u, top = 2.0**-24, 2**bits - 1
    steps = [0.0] if bits == 1 else [(2 * k + 1) / (2 * top) for k in range(top)]
    for o, i, j in product(range(len(w)), range(max(0, row - 1), min(height, row + 2)), range(max(0, column - 1), min(width, column + 2))):
        terms = [
            w[o, c, a, b] * float(image[c, i + a - 1, j + b - 1])
            for c, a, b in product(range(channels), range(3), range(3))
            if 0 <= i + a - 1 < height and 0 <= j + b - 1 < width
        ]
        z, total = math.fsum(terms), math.fsum(map(abs, terms))
        alpha = weight[o] / math.sqrt(var[o] + norm.eps)
        y = alpha * (z - mean[o]) + bias[o]
        moved = alpha * w[o, channel, row - i + 1, column - j + 1] * delta
        most = u * (27 * (total + abs(z)) / 2 + 2 * total) + 8 * u * (abs(z) + abs(mean[o]))
        error = slack * (abs(alpha) * most + 3 * u * abs(bias[o]) + (0 if bits == 1 else 8 * u))
        if any(min(y, y + moved) - error <= step <= max(y, y + moved) + error for step in steps):
            return False
    return True


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_equals_the_plain_implementation(bits: int) -> None:
    unsettled = agreed = 0
    for seed in range(24):
        made = block(bits, seed, channels=4 if seed < 12 else 1)
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(1, 3, *SIDES, generator=generator)
        far = seed < 4
        if not far:  # where the bound of the rounding errors decides
            near_steps(made, images, bits, 7 + seed, (seed % 12 - 3) * 8e-7)
        coordinates = torch.arange(90)[None]
        pixels = images.flatten(1) + (2e-2 if far else 1e-6) * torch.randn(1, 90, generator=generator)
        pixels[0, :3] = images.flatten()[:3]
        unaffected = layer(made).unaffected(images, coordinates, pixels)[0].tolist()
        for k, seen in enumerate(unaffected):
            loose, strict = (plain(made, bits, images[0].numpy(), k, float(pixels[0, k]), slack) for slack in (0.99, 1.01))
            if loose == strict:
                assert seen == strict, (seed, k)
                agreed += seen
            else:
                unsettled += 1
    assert agreed > 100
    assert unsettled < 20


def summed(w: np.ndarray, x: np.ndarray, way: str, rng: np.random.Generator) -> Any:
    """sum w x in float32 in a random order: "fused" does not round the products, "pairs" adds neighbours first."""
    order = rng.permutation(len(w))
    z = np.float32(0)
    if way == "fused":
        for i in order:
            z = np.float32(float(z) + float(w[i]) * float(x[i]))
        return z
    if way == "plain":
        for i in order:
            z = z + w[i] * x[i]
        return z
    terms = list(w[order] * x[order])
    while len(terms) > 1:
        terms = [sum(terms[i : i + 2], np.float32(0)) for i in range(0, len(terms), 2)]
    return terms[0]


def normalized(z: np.float32, norm: nn.BatchNorm2d, folded: bool) -> Any:
    """Batch norm of one channel in float32, in either of its forms."""
    mean, var, weight, bias = (np.float32(x.item()) for x in statistics(norm))
    inverse = np.float32(1) / np.sqrt(var + np.float32(norm.eps))
    if folded:
        alpha = inverse * weight
        return z * alpha + (bias - mean * alpha)
    return (z - mean) * inverse * weight + bias


@pytest.mark.parametrize("bits", [1, 2])
def test_the_codes_are_the_same_in_whatever_order_a_kernel_sums(bits: int) -> None:
    """On either side another order, fused or not, and another form of batch norm, at outputs within rounding of a step."""
    rng = np.random.default_rng(0)
    certain = uncertain = differing = 0
    for seed in range(40):
        made = block(bits, seed, channels=1)
        images = torch.from_numpy(rng.random((1, 3, 3, 3), dtype=np.float32))
        conv, norm, activation = parts(made)
        with torch.no_grad():
            y = float(norm(conv(images))[0, 0, 1, 1])
            step = 0.0 if bits == 1 else round(y * 3 - 0.5) / 3 + 1 / 6
            norm.bias.add_(step - y + float(rng.choice([0.0, 1e-7, 1e-6, 2e-6, 4e-6, 1e-5])) * float(rng.choice([-1, 1])))
        pixels = images.flatten(1) + torch.from_numpy(1e-6 * rng.standard_normal((1, 27), dtype=np.float32))
        unaffected = layer(made).unaffected(images, torch.arange(27)[None], pixels)[0]
        w = conv.weight.detach()[0].flatten().numpy()
        flat = images.flatten().numpy()
        for k in range(27):
            changed = flat.copy()
            changed[k] = pixels[0, k]
            if changed[k] == flat[k]:
                continue  # the same image
            values = [
                normalized(summed(w, x, way, rng), norm, folded)
                for x, way, folded in product((flat, changed), ("fused", "plain", "pairs"), (False, True))
            ]
            assert {type(value) for value in values} == {np.float32}
            codes = len(activation(torch.from_numpy(np.array(values))).unique())
            assert codes == 1 or not bool(unaffected[k])
            certain += int(unaffected[k])
            uncertain += int(not unaffected[k])
            differing += codes > 1
    assert min(certain, uncertain, differing) > 30  # the cases are at the edge


def test_changes_of_nothing_and_of_what_is_not_finite() -> None:
    made = block(1, 0)
    images = torch.rand(1, 3, *SIDES, generator=torch.Generator().manual_seed(0))
    near_steps(made, images, 1, 7, 0.0)
    coordinates = torch.arange(90)[None]
    own = images.flatten(1).double()
    first = layer(made)
    assert first.unaffected(images, coordinates, own).all()
    assert first.unaffected(images, coordinates, own + 1e-12).all()  # the same in float32
    assert not first.unaffected(images, coordinates, own + 1e-7).all()  # images at a step
    for bad in (math.nan, math.inf, -math.inf):
        assert not first.unaffected(images, coordinates, own + bad).any()
    parts(made)[0].weight.detach()[2, 1, 1, 1] = math.nan
    assert not first.unaffected(images, coordinates, own + 1e-6).any()


def test_several_pixels_at_a_coordinate() -> None:
    first = layer(block(2, 3))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, *SIDES, generator=generator)
    coordinates = torch.stack([torch.randperm(90, generator=generator) for _ in range(3)])
    pixels = images.flatten(1).gather(1, coordinates)[:, None] + torch.tensor([4e-3, -4e-3, 0.0]).view(1, 3, 1)
    together = first.unaffected(images, coordinates, pixels)
    assert together.shape == (3, 3, 90)
    for side in range(3):
        assert torch.equal(together[:, side], first.unaffected(images, coordinates, pixels[:, side]))
    assert not torch.equal(together[:, 0], together[:, 1])
    assert first.unaffected(images[:0], coordinates[:0], pixels[:0]).shape == (0, 3, 90)


def offered(model: nn.Module) -> bool:
    return evaluation_view(model).unaffected is not None  # type: ignore[union-attr]


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (4, 4), (32, 4)])
def test_networks_with_quantized_activations_offer_it(weights: int, activations: int) -> None:
    model = classifier(weights, activations)
    assert offered(model)
    assert offered(model.double())
    view = evaluation_view(model)
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    places = torch.arange(0, 3072, 48)[None]
    pixels = x.flatten(1).gather(1, places) + 1e-4
    same = view.unaffected(x, places, pixels)[0]  # type: ignore[operator]
    assert same.float().mean() > 0.3
    with torch.no_grad():
        logits = view(probed(x, places, pixels))
        assert torch.equal(logits[same], view(x.repeat(len(same), 1, 1, 1))[same])


def test_who_does_not_offer_it() -> None:
    for weights, activations in ((32, 32), (1, 32), (2, 32)):
        assert not offered(classifier(weights, activations))
    model = classifier(1, 1)
    view = model.evaluation_view()
    with torch.autocast("cpu", torch.bfloat16):
        assert view.unaffected is None
    assert view.unaffected is not None
    try:
        torch._C._set_mkldnn_enabled(False)
        assert view.unaffected is None
    finally:
        torch._C._set_mkldnn_enabled(True)
    assert view.unaffected is not None
    assert view.to(torch.bfloat16).unaffected is None
    assert view.to(torch.float16).unaffected is None
    assert view.to(torch.float64).unaffected is not None
    assert view.to("meta").unaffected is None


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "fp32_precision"), reason="this torch has no such setting")
def test_not_where_float32_may_be_less(monkeypatch: pytest.MonkeyPatch) -> None:
    view = classifier(1, 1).evaluation_view()
    before = torch.backends.mkldnn.conv.fp32_precision  # type: ignore[attr-defined]
    try:
        torch.backends.mkldnn.conv.fp32_precision = "bf16"  # type: ignore[attr-defined]
        assert view.unaffected is None
    finally:
        torch.backends.mkldnn.conv.fp32_precision = before  # type: ignore[attr-defined]
    assert view.unaffected is not None
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert view.unaffected is None


def test_blocks_that_it_is_not_made_for() -> None:
    fits = FirstLayer.fits
    assert fits(block(1, 0))
    assert not fits(nn.Sequential(*block(1, 0)))
    assert not fits(ConvBlock(QuantConv2d(3, 4, 3), BinaryNet(), pool=True))
    assert not fits(ConvBlock(QuantConv2d(3, 4, 3), nn.ReLU(), pool=False))
    assert not fits(ConvBlock(QuantConv2d(3, 4, 5), BinaryNet(), pool=False))
    assert not fits(ConvBlock(QuantConv2d(4, 4, 3), BinaryNet(), pool=False))
    assert not fits(ConvBlock(QuantConv2d(3, 4, 3, pad_value=-1.0), BinaryNet(), pool=False))
    assert not fits(ConvBlock(QuantConv2d(3, 4, 3, BinaryNet()), BinaryNet(), pool=False))
