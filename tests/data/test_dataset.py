"""Gathering, conversion and augmentation of whole batches against one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.data.batch import Batch
from qlight.data.counter import Stream, random_bits
from qlight.data.dataset import Augmentation, ImageDataset, to_float
from qlight.data.module import Source


def augment_one(image: np.ndarray, seed: int, flip: bool, padding: int, epoch: int, index: int) -> np.ndarray:
    """Flip, pad with zeros and crop one image, plainly."""
    bits = int(random_bits(seed, Stream.AUGMENT, epoch, np.array([index]))[0])
    top, left = (bits & 0x7FFFFFFF) % (2 * padding + 1), (bits >> 31 & 0x7FFFFFFF) % (2 * padding + 1)
    if flip and bits >> 63:
        image = image[:, ::-1]
    return np.pad(image, ((padding, padding), (padding, padding), (0, 0)))[top : top + 32, left : left + 32]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), epoch=st.integers(0, 100), flip=st.booleans(), padding=st.integers(0, 5))
def test_augmentation_equals_that_of_single_images(seed: int, epoch: int, flip: bool, padding: int) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(1, 256, (7, 32, 32, 3), dtype=np.uint8)
    index = generator.permutation(1000)[:7]
    before = images.copy()
    augmented = Augmentation(seed, flip, padding)(images, np.full(7, epoch), index)
    expected = np.stack([augment_one(image, seed, flip, padding, epoch, int(i)) for image, i in zip(images, index, strict=True)])
    np.testing.assert_array_equal(augmented, expected)
    np.testing.assert_array_equal(images, before)


def test_augmentation_uses_every_crop_and_both_directions() -> None:
    marked = np.zeros((4000, 32, 32, 3), dtype=np.uint8)
    marked[:, 15, 12] = 255
    augmented = Augmentation(0, flip=True)(marked, np.zeros(4000, np.int64), np.arange(4000))
    _, rows, columns = np.nonzero(augmented[..., 0])
    assert set(rows) == set(range(11, 20))
    # Column 12, or 19 where mirrored, and 4 pixels to either side.
    assert set(columns) == set(range(8, 17)) | set(range(15, 24))
    assert 0.45 < np.mean(columns > 15.5) < 0.55


def test_without_flip_no_image_is_mirrored() -> None:
    marked = np.zeros((500, 32, 32, 3), dtype=np.uint8)
    marked[:, 15, 4] = 255
    augmented = Augmentation(0, flip=False)(marked, np.zeros(500, np.int64), np.arange(500))
    assert np.nonzero(augmented[..., 0])[2].max() == 8


@pytest.mark.parametrize("flip", [False, True])
def test_an_augmented_image_does_not_depend_on_its_batch(source: Source, flip: bool) -> None:
    dataset = ImageDataset(source.x_train, source.y_train, augmentation=Augmentation(5, flip))
    together = dataset.__getitems__([(3, position) for position in range(50)])
    for position in (0, 17, 49):
        alone = dataset[3, position]
        assert torch.equal(alone.images, together.images[position])
        assert int(alone.index) == position
        assert int(alone.labels) == position % 10
    assert not torch.equal(dataset.__getitems__([(4, position) for position in range(50)]).images, together.images)


def test_pixels_are_u_over_255_correctly_rounded() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    expected = (np.arange(256) / 255).astype(np.float32)
    np.testing.assert_array_equal(to_float(ramp).numpy().ravel(), expected)


def test_a_batch_has_the_promised_form(source: Source) -> None:
    rows = np.array([3, 30, 4], dtype=np.int64)
    batch = ImageDataset(source.x_train, source.y_train.astype(np.uint8), rows).__getitems__([2, 0])
    assert isinstance(batch, Batch)
    assert (batch.images.dtype, batch.labels.dtype, batch.index.dtype) == (torch.float32, torch.int64, torch.int64)
    assert batch.images.shape == (2, 3, 32, 32)
    assert batch.images.is_contiguous()
    assert batch.index.tolist() == [4, 3]
    assert batch.labels.tolist() == [4, 3]
    # Channel, row, column of one pixel, from height, width, channel.
    assert batch.images[0, 2, 5, 9] == np.float32(source.x_train[4, 5, 9, 2] / 255)


def test_gathering_leaves_the_stored_images_alone(source: Source) -> None:
    dataset = ImageDataset(source.x_train, source.y_train)
    dataset.__getitems__([0]).images.zero_()
    assert dataset[0].images.sum() > 0
