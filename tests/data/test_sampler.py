"""The order of images: one permutation an epoch, shared out among processes, independent of everything but (seed, epoch, position)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from qlight.data.counter import Stream, random_bits
from qlight.data.sampler import EvalSampler, TrainSampler
from qlight.errors import InputError

MASK = (1 << 64) - 1


def scalar_bits(seed: int, *counters: int) -> int:
    """SplitMix64 with Python integers, from the published algorithm."""

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    bits = mix(((seed & MASK) + 0x9E3779B97F4A7C15) & MASK)
    for counter in counters:
        bits = mix(((bits ^ (counter & MASK)) + 0x9E3779B97F4A7C15) & MASK)
    return bits


@given(seed=st.integers(-(2**63), 2**64 - 1), epoch=st.integers(0, 10**6), index=st.integers(0, 10**7))
def test_random_bits_equal_a_scalar_implementation(seed: int, epoch: int, index: int) -> None:
    assert int(random_bits(seed, Stream.SHUFFLE, epoch, np.array([index]))[0]) == scalar_bits(seed, 1, epoch, index)


def test_the_first_number_is_that_of_the_published_generator() -> None:
    # First output of SplitMix64 with state 0, as in the authors' reference implementation.
    assert int(random_bits(0)[0]) == 0xE220A8397B1DCDAF


def test_seed_and_stream_do_not_mix() -> None:
    """Neither swapping nor adding makes two uses of the generator the same."""
    seen = {int(random_bits(seed, a, b)[0]) for seed, a, b in itertools.product(range(8), repeat=3)}
    assert len(seen) == 8**3


def test_bits_are_uniform() -> None:
    values = random_bits(3, Stream.AUGMENT, 5, np.arange(20_000))
    for shift in (0, 31, 55):
        counts = np.bincount((values >> np.uint64(shift)).astype(np.uint64) % np.uint64(16), minlength=16)
        # Chi-squared with 15 degrees of freedom stays below 45 but for one seed in 10,000.
        assert ((counts - 1250) ** 2 / 1250).sum() < 45


def global_batches(size: int, batch_size: int, replicas: int, seed: int, epoch: int) -> list[list[list[tuple[int, int]]]]:
    """What each process gets in each step: step, process, element."""
    ranks = []
    for rank in range(replicas):
        sampler = TrainSampler(range(size), batch_size, replicas, rank, seed)
        sampler.set_epoch(epoch)
        elements = list(sampler)
        assert len(elements) == len(sampler)
        local = batch_size // replicas
        ranks.append([elements[i : i + local] for i in range(0, len(elements), local)])
    return [list(step) for step in zip(*ranks, strict=True)]


@settings(max_examples=50, deadline=None)
@given(local=st.integers(1, 5), replicas=st.integers(1, 4), extra=st.integers(0, 40), seed=st.integers(0, 99), epoch=st.integers(0, 9))
def test_processes_share_the_global_batches_of_one_process(local: int, replicas: int, extra: int, seed: int, epoch: int) -> None:
    batch_size, size = local * replicas, local * replicas + extra
    alone = global_batches(size, batch_size, 1, seed, epoch)
    shared = global_batches(size, batch_size, replicas, seed, epoch)
    assert [step[0] for step in alone] == [list(itertools.chain(*step)) for step in shared]
    assert all(len(part) == local for step in shared for part in step)
    flat = [position for step in alone for _, position in step[0]]
    assert len(set(flat)) == len(flat) == size // batch_size * batch_size
    assert set(flat) <= set(range(size))


def test_every_epoch_and_seed_has_its_own_order_and_the_epoch_travels_with_it() -> None:
    orders = {}
    for seed, epoch in itertools.product((0, 1), (0, 1, 2)):
        sampler = TrainSampler(range(100), 10, seed=seed)
        sampler.set_epoch(epoch)
        elements = list(sampler)
        assert {element[0] for element in elements} == {epoch}
        orders[seed, epoch] = tuple(position for _, position in elements)
    assert len(set(orders.values())) == 6


def test_shuffling_reaches_every_place() -> None:
    """Over many epochs, each position comes first about equally often."""
    sampler = TrainSampler(range(10), 10)
    firsts = np.bincount([sampler.permutation(epoch)[0] for epoch in range(2000)], minlength=10)
    assert ((firsts - 200) ** 2 / 200).sum() < 34  # chi-squared, 9 degrees of freedom, p = 1e-4


def test_the_epoch_is_read_when_iteration_starts_not_when_the_iterator_is_made() -> None:
    """Lightning makes the iterator of a resumed run before it sets the epoch."""
    sampler = TrainSampler(range(20), 4)
    early = iter(sampler)
    sampler.set_epoch(7)
    assert next(early)[0] == 7


@given(size=st.integers(0, 60), replicas=st.integers(1, 7))
def test_evaluation_neither_drops_nor_repeats(size: int, replicas: int) -> None:
    parts = [list(EvalSampler(range(size), replicas, rank)) for rank in range(replicas)]
    assert sorted(itertools.chain(*parts)) == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [len(EvalSampler(range(size), replicas, rank)) for rank in range(replicas)] == [len(part) for part in parts]


@pytest.mark.parametrize(
    ("size", "batch_size", "replicas", "words"),
    [
        (100, 10, 4, ["`batch_size`", "multiple", "4", "10"]),
        (100, 0, 1, ["`batch_size`", "0"]),
        (9, 10, 1, ["10 training images", "9"]),
    ],
)
def test_bad_batch_size(size: int, batch_size: int, replicas: int, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TrainSampler(range(size), batch_size, replicas)
    assert all(word in str(caught.value) for word in words)


def test_works_under_an_ordinary_loader() -> None:
    loader = DataLoader(range(12), batch_size=2, sampler=EvalSampler(range(12), 2, 1))  # pyright: ignore[reportArgumentType]
    assert [batch.tolist() for batch in loader] == [[1, 3], [5, 7], [9, 11]]
