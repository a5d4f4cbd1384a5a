"""The rendered digits: reproducible, balanced, legible to a convolutional network and not to a linear one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from qlight.data import Batch, SyntheticDigits
from qlight.data.dataset import ImageDataset
from qlight.data.rendering import BLOCK, CELL, FONTS, GLYPH_HEIGHT, _blur, glyphs, labels, render
from qlight.errors import InputError
from qlight.models import build_network


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return render(0, 0, 2 * BLOCK)


def test_the_same_arguments_give_the_same_images(many: np.ndarray) -> None:
    np.testing.assert_array_equal(render(0, 0, 2 * BLOCK), many)


def test_a_larger_data_set_begins_with_the_images_of_a_smaller_one(many: np.ndarray) -> None:
    for count in (1, 37, BLOCK, BLOCK + 3):
        np.testing.assert_array_equal(render(0, 0, count), many[:count])
        np.testing.assert_array_equal(labels(0, 0, count), labels(0, 0, 2 * BLOCK)[:count])


def test_seeds_and_splits_differ(many: np.ndarray) -> None:
    for other in (render(1, 0, BLOCK), render(0, 1, BLOCK)):
        assert (other.reshape(BLOCK, -1) != many[:BLOCK].reshape(BLOCK, -1)).mean(axis=1).min() > 0.5


def test_no_two_images_are_alike(many: np.ndarray) -> None:
    assert len({image.tobytes() for image in many}) == len(many)


@given(seed=st.integers(0, 2**32), split=st.integers(0, 1), tens=st.integers(1, 30))
def test_every_ten_consecutive_images_hold_each_digit_once(seed: int, split: int, tens: int) -> None:
    found = labels(seed, split, 10 * tens).reshape(tens, 10)
    assert (np.sort(found, axis=1) == np.arange(10)).all()


def test_form_and_range(many: np.ndarray) -> None:
    assert many.dtype == np.uint8
    assert many.shape == (2 * BLOCK, 32, 32, 3)
    assert many.min() == 0
    assert many.max() == 255
    assert 100 < many.mean() < 155
    # Every image has contrast, and no class is brighter than the others: polarity is even.
    assert many.std(axis=(1, 2)).mean(axis=1).min() > 4
    means = [many[labels(0, 0, 2 * BLOCK) == digit].mean() for digit in range(10)]
    assert max(means) - min(means) < 60


def test_every_font_has_ten_different_digits_of_one_height() -> None:
    masks, advances = glyphs()
    assert masks.shape == (len(FONTS), 10, CELL, CELL)
    assert (advances > GLYPH_HEIGHT / 3).all()
    assert (advances < CELL).all()
    for f, name in enumerate(FONTS):
        assert len({masks[f, digit].numpy().tobytes() for digit in range(10)}) == 10, name
        rows = [np.flatnonzero(masks[f, digit].amax(dim=1) > 0.5) for digit in range(10)]
        for covered in rows:
            # Figures of one height, on the baseline, in the middle of the cell; nothing cut off.
            assert abs(covered[0] - (CELL - GLYPH_HEIGHT) / 2) <= 3, name
            assert abs(covered[-1] - (CELL + GLYPH_HEIGHT) / 2) <= 3, name
        edges = torch.stack([masks[f, :, 0], masks[f, :, -1], masks[f, :, :, 0], masks[f, :, :, -1]])
        assert edges.max() == 0, name


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0.3, 1.5), seed=st.integers(0, 1000))
def test_blur_equals_scipy(sigma: float, seed: int) -> None:
    from scipy.ndimage import gaussian_filter

    image = np.random.default_rng(seed).random((38, 38))
    blurred = _blur(torch.from_numpy(image)[None].float(), np.array([[sigma]]))[0].numpy()
    expected = gaussian_filter(image, sigma, radius=3)[3:-3, 3:-3]
    np.testing.assert_allclose(blurred, expected, atol=1e-5)


def test_the_module() -> None:
    module = SyntheticDigits(train_size=120, test_size=30, validation=20, batch_size=10, seed=4)
    module.setup()
    assert (len(module.train_set), len(module.val_set), len(module.test_set), module.flip) == (100, 20, 30, False)
    batch = next(iter(module.test_dataloader()))
    np.testing.assert_array_equal((batch.images * 255).round().byte().permute(0, 2, 3, 1).numpy(), render(4, 1, 30))
    np.testing.assert_array_equal(batch.labels.numpy(), labels(4, 1, 30))
    assert np.bincount(module.val_set.labels[module.val_set.index]).tolist() == [2] * 10


@pytest.mark.parametrize(("name", "value"), [("train_size", 0), ("test_size", -1), ("test_size", 2.5)])
def test_bad_sizes(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"`{name}`.*{value}"):
        SyntheticDigits(**{name: value})  # pyright: ignore[reportArgumentType]


def whole(split: int, count: int) -> Batch:
    return ImageDataset(render(0, split, count), labels(0, split, count)).__getitems__(range(count))


def linear_accuracy(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Test accuracy of logistic regression on standardized pixels with weight decay, fitted by L-BFGS."""
    mean, deviation = train[0].mean(0), train[0].std(0) + 1e-3
    x, x_test = (train[0] - mean) / deviation, (test[0] - mean) / deviation
    weight = torch.zeros(x.shape[1], 10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=25, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(x @ weight, train[1]) + 0.01 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    return (x_test @ weight).argmax(1).eq(test[1]).float().mean().item()


def test_a_linear_model_fails() -> None:
    train, test = whole(0, 5000), whole(1, 1000)
    assert linear_accuracy((train.images.flatten(1), train.labels), (test.images.flatten(1), test.labels)) < 0.4


def test_the_linear_model_would_succeed_on_plain_digits() -> None:
    """The control: upright, centred, white on black, half of the fonts to learn from."""
    masks, _ = glyphs()
    pixels, digits = masks.flatten(2), torch.arange(10).expand(len(FONTS), 10)
    train, test = (pixels[::2].flatten(0, 1), digits[::2].flatten()), (pixels[1::2].flatten(0, 1), digits[1::2].flatten())
    assert linear_accuracy(train, test) > 0.8


@pytest.mark.slow
def test_the_float_network_succeeds() -> None:
    """The paper's SVHN network at the least width, three epochs."""
    torch.manual_seed(0)
    module = SyntheticDigits(train_size=10_000, test_size=1_000, validation=0)
    module.setup()
    network, loader, epochs = build_network("svhn", 0.125), module.train_dataloader(), 3
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]
        network.train()
        for images, targets, _ in loader:
            optimizer.zero_grad()
            functional.cross_entropy(network(images), targets).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        correct = sum(network(images).argmax(1).eq(targets).sum().item() for images, targets, _ in module.test_dataloader())
    assert correct / 1000 > 0.88
