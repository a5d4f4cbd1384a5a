"""Splits, subsets and loaders of a data module, for one process and for many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from qlight.data import Batch, ImageDataModule
from qlight.data.module import limit_index, validation_index
from qlight.errors import InputError

from .conftest import InMemory


def made(**arguments: Any) -> InMemory:
    module = InMemory(**{"batch_size": 8, "validation": 10, **arguments})
    module.setup()
    return module


def as_process(module: ImageDataModule, rank: int, replicas: int) -> ImageDataModule:
    """Let the module believe that it is one of several processes."""
    module.trainer = SimpleNamespace(  # pyright: ignore[reportAttributeAccessIssue]
        distributed_sampler_kwargs={"num_replicas": replicas, "rank": rank}, strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    return module


def batches(loader: DataLoader[Batch] | list[Any], epoch: int = 0) -> list[Batch]:
    if isinstance(loader, DataLoader) and hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]
    return list(loader)


def test_splits_are_disjoint_and_complete() -> None:
    module = made()
    train, val = set(module.train_set.index.tolist()), set(module.val_set.index.tolist())
    assert not train & val
    assert train | val == set(range(50))
    assert module.test_set.index.tolist() == list(range(23))
    assert sorted(module.val_set.labels[module.val_set.index]) == list(range(10))


def test_each_loader_hands_out_its_split() -> None:
    module = made(eval_batch_size=9)
    seen = torch.cat([batch.index for batch in batches(module.train_dataloader())])
    assert len(seen) == len(set(seen.tolist())) == 40
    assert set(seen.tolist()) == set(module.train_set.index.tolist())
    assert [len(batch.index) for batch in batches(module.val_dataloader())] == [9, 1]
    for loader in (module.test_dataloader(), module.predict_dataloader()):
        assert torch.cat([batch.index for batch in batches(loader)]).tolist() == list(range(23))


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 80), min_size=2, max_size=10), share=st.floats(0, 0.99), seed=st.integers(0, 1000))
def test_validation_takes_from_every_class_its_share(sizes: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    if not len(labels):
        return
    count = int(share * len(labels))
    index = validation_index(labels, count, seed)
    assert len(index) == len(set(index.tolist())) == count
    taken = np.bincount(labels[index], minlength=len(sizes))
    assert np.all(np.abs(taken - count * np.array(sizes) / len(labels)) < 2)


def test_validation_depends_on_the_seed_and_a_fraction_is_a_number() -> None:
    labels = np.arange(1000) % 10
    assert validation_index(labels, 0.2, 1).tolist() == validation_index(labels, 200, 1).tolist()
    assert validation_index(labels, 200, 1).tolist() != validation_index(labels, 200, 2).tolist()
    assert np.bincount(labels[validation_index(labels, 200, 1)]).tolist() == [20] * 10
    assert len(validation_index(labels, 0, 1)) == len(validation_index(labels, 0.0, 1)) == 0


def test_limit_touches_the_test_set_alone_and_nests() -> None:
    whole, some, fewer = made(), made(limit=12), made(limit=5)
    assert len(some.test_set) == 12
    assert set(fewer.test_set.index) < set(some.test_set.index)
    assert some.train_set.index.tolist() == whole.train_set.index.tolist()
    assert some.val_set.index.tolist() == whole.val_set.index.tolist()
    everything = whole.test_set.__getitems__(range(23)).images
    for batch in batches(some.test_dataloader()):
        assert torch.equal(batch.images, everything[batch.index])
    assert limit_index(1000, 20, 0).tolist() != limit_index(1000, 20, 1).tolist()


def test_no_validation_means_no_loader() -> None:
    module = made(validation=0)
    assert module.val_dataloader() == []
    assert len(module.train_set) == 50


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("replicas", [2, 4])
def test_processes_together_see_what_one_sees(replicas: int, augment: bool) -> None:
    options: dict[str, Any] = {"augment": augment, "flip": True, "seed": 3}
    alone = batches(made(**options).train_dataloader(), epoch=2)
    parts = [batches(as_process(made(**options), rank, replicas).train_dataloader(), epoch=2) for rank in range(replicas)]
    assert len(alone) == len(parts[0]) == 5
    for whole, *shares in zip(alone, *parts, strict=True):
        for field, *pieces in zip(whole, *shares, strict=True):
            assert torch.equal(field, torch.cat(pieces))
    tests = [as_process(made(eval_batch_size=8), rank, replicas).test_dataloader() for rank in range(replicas)]
    assert sorted(int(i) for loader in tests for batch in loader for i in batch.index) == list(range(23))
    assert all(len(batch.index) <= 8 // replicas for loader in tests for batch in loader)


def test_workers_change_nothing() -> None:
    options: dict[str, Any] = {"augment": True, "seed": 1}
    for epoch in (0, 3):
        here = batches(made(**options).train_dataloader(), epoch)
        there = batches(made(num_workers=2, **options).train_dataloader(), epoch)
        for mine, theirs in zip(here, there, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_loading_data_does_not_advance_the_generator_of_the_network() -> None:
    module = made(augment=True)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches(module.train_dataloader())
    batches(module.test_dataloader())
    assert torch.equal(before, torch.get_rng_state())


def test_augmentation_is_for_training_only() -> None:
    plain, augmented = made(), made(augment=True)
    one, other = batches(plain.val_dataloader())[0], batches(augmented.val_dataloader())[0]
    assert torch.equal(one.images, other.images)
    assert torch.equal(batches(plain.test_dataloader())[0].images, batches(augmented.test_dataloader())[0].images)
    one, other = batches(plain.train_dataloader())[0], batches(augmented.train_dataloader())[0]
    assert torch.equal(one.index, other.index)
    assert not torch.equal(one.images, other.images)


def test_crop_0_leaves_the_flip_alone() -> None:
    plain, mirrored = made(), made(augment=True, flip=True, crop=0)
    one, other = batches(plain.train_dataloader())[0].images, batches(mirrored.train_dataloader())[0].images
    kept, turned = (one == other).flatten(1).all(1), (one.flip(3) == other).flatten(1).all(1)
    assert (kept | turned).all()
    assert kept.any()
    assert turned.any()


def test_setup_loads_once() -> None:
    module = made()
    first = module.train_set
    module.setup("test")
    assert module.train_set is first


def test_a_linear_layer_takes_a_batch() -> None:
    """The form that a network expects."""
    batch = batches(made().test_dataloader())[0]
    assert nn.Conv2d(3, 4, 3)(batch.images).shape == (23, 4, 30, 30)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, ["`batch_size`", "at least 1", "0"]),
        ({"batch_size": 2.5}, ["`batch_size`", "2.5"]),
        ({"eval_batch_size": -1}, ["`eval_batch_size`", "-1"]),
        ({"num_workers": -1}, ["`num_workers`", "at least 0"]),
        ({"crop": -1}, ["`crop`", "-1"]),
        ({"limit": 0}, ["`limit`", "at least 1"]),
        ({"limit": 24}, ["`limit`", "23", "24"]),
        ({"validation": 1.0}, ["`validation`", "[0, 1)", "1.0"]),
        ({"validation": -1}, ["`validation`", "-1"]),
        ({"validation": True}, ["`validation`", "True"]),
        ({"validation": float("nan")}, ["`validation`", "nan"]),
        ({"validation": 50}, ["`validation`", "50"]),
        ({"batch_size": 41}, ["`batch_size`", "41", "40"]),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        made(**arguments).train_dataloader()
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_a_batch_that_processes_cannot_share() -> None:
    module = as_process(made(), 0, 3)
    with pytest.raises(InputError, match="multiple of the number of processes, 3"):
        module.train_dataloader()


def test_using_a_split_before_setup() -> None:
    with pytest.raises(RuntimeError, match="setup"):
        InMemory().train_dataloader()
