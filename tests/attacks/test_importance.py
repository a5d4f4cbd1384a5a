"""Importance sampling: its probabilities, its draws, and what it is good for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.attacks.importance import importance, weighted_order
from qlight.attacks.per_image import State
from qlight.attacks.zoo import ZOO


def plain(modifier: list[float], channels: int, height: int, width: int) -> list[float]:
    """One image's probabilities in plain Python."""
    tall, wide = (height + 7) // 8, (width + 7) // 8
    largest: dict[tuple[int, int, int], float] = {}
    where = [(i // (height * width), i // width % height // tall, i % width // wide) for i in range(channels * height * width)]
    for place, value in zip(where, modifier, strict=True):
        largest[place] = max(largest.get(place, 0.0), abs(value))
    total = sum(largest[place] for place in where)
    if total == 0:
        return [1 / len(where)] * len(where)
    return [0.5 * largest[place] / total + 0.5 / len(where) for place in where]


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 1000),
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
def test_probabilities_are_those_of_the_plain_implementation(shape: tuple[int, int, int], seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = shape[0] * shape[1] * shape[2]
    modifier = torch.randn(2, values, generator=generator, dtype=torch.float64)
    modifier *= torch.rand(2, values, generator=generator) < share
    probability = importance(modifier, shape)
    assert probability.dtype == torch.float64
    for mine, moved in zip(probability, modifier.tolist(), strict=True):
        torch.testing.assert_close(mine, torch.tensor(plain(moved, *shape), dtype=torch.float64), rtol=1e-12, atol=0)
        assert float(mine.sum()) == pytest.approx(1)
        assert (mine > 0.499 / values).all()


def test_regions_of_an_image_of_32_by_32_are_4_by_4() -> None:
    modifier = torch.zeros(1, 3072, dtype=torch.float64)
    modifier[0, 1024 + 32 * 9 + 30] = -0.5  # the green channel's region of rows 8 to 11 and columns 28 to 31
    above = importance(modifier, (3, 32, 32)).view(3, 32, 32) > 1 / 3072
    expected = torch.zeros(3, 32, 32, dtype=torch.bool)
    expected[1, 8:12, 28:32] = True
    assert torch.equal(above, expected)


def test_draws_follow_the_probabilities() -> None:
    probability = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2], dtype=torch.float64)
    index = torch.arange(40_000)
    drawn = weighted_order(3, index, torch.zeros_like(index), probability.expand(len(index), 5), 2)
    first = drawn[:, 0].bincount(minlength=5) / len(index)
    torch.testing.assert_close(first.double(), probability, rtol=0, atol=0.01)  # four standard deviations
    second = drawn[drawn[:, 0] == 1][:, 1].bincount(minlength=5)
    rest = torch.where(torch.arange(5) == 1, 0.0, probability) / 0.6
    torch.testing.assert_close(second / second.sum(), rest.float(), rtol=0, atol=0.015)


def test_draws_are_different_and_depend_on_seed_image_and_step_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(6, 100, generator=generator, dtype=torch.float64) + 1e-3
    index, step = torch.arange(6) + 3, torch.tensor([0, 5, 2, 2, 9, 1])
    together = weighted_order(1, index, step, probability, 30)
    assert all(len(set(row)) == 30 for row in together.tolist())
    order = torch.tensor([4, 0, 2, 5, 1, 3])
    assert torch.equal(weighted_order(1, index[order], step[order], probability[order], 30), together[order])
    for i in range(6):
        assert torch.equal(weighted_order(1, index[i : i + 1], step[i : i + 1], probability[i : i + 1], 30)[0], together[i])
    assert torch.equal(weighted_order(1, index, step, 7 * probability, 100).sort(1).values, torch.arange(100).expand(6, 100))
    for seed, image, when in ((2, index, step), (1, index + 1, step), (1, index, step + 1)):
        assert not torch.equal(weighted_order(seed, image, when, probability, 30), together)


class OneRegion(nn.Module):
    """Looks only at a square of 4 x 4 pixels of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, 2, 12:16, 20:24].flatten(1).mean(1)
        return torch.stack([self.gain * (seen - 0.45), torch.zeros_like(seen)], 1)


class Watched(ZOO):
    """Counts how often a coordinate of that square is drawn, and the iterations until each image's first success."""

    def start(self, state: State) -> None:
        super().start(state)
        self.seen, self.drawn = 0, 0
        self.first = torch.zeros(len(state["image"]), dtype=torch.int64)

    def _chosen(self, state: State) -> Tensor:
        chosen = super()._chosen(state)
        inside = torch.zeros(3, 32, 32, dtype=torch.bool)
        inside[2, 12:16, 20:24] = True
        self.seen += int(inside.flatten()[chosen].sum())
        self.drawn += chosen.numel()
        self.first += ~state["found"]
        return chosen


def test_it_finds_the_region_that_matters_with_fewer_queries() -> None:
    net = OneRegion().double()
    images = torch.full((8, 3, 32, 32), 0.5, dtype=torch.float64)  # where tanh is odd, so that distances move no coordinate
    labels = torch.zeros(8, dtype=torch.int64)
    runs: dict[bool, Watched] = {}
    for sampled in (False, True):
        attack = runs[sampled] = Watched(
            net,
            coordinates=32,
            steps=120,
            search_steps=1,
            c=50.0,
            learning_rate=0.02,
            abort_early=False,
            importance=sampled,
            max_rows=1000,
        )
        result = attack(images, labels)
        assert attack.report is not None
        if sampled:
            assert attack.report.success.all()
            assert torch.equal(net(result).argmax(1), labels + 1)
    uniform, weighted = runs[False], runs[True]
    assert uniform.seen / uniform.drawn == pytest.approx(16 / 3072, rel=0.5)
    assert weighted.seen > 10 * uniform.seen
    assert weighted.first.double().mean() < 0.5 * uniform.first.double().mean()


def test_uniform_while_nothing_has_moved() -> None:
    net = OneRegion().double()
    images = torch.full((2, 3, 32, 32), 0.9, dtype=torch.float64)
    counts = torch.zeros(3072)
    for seed in range(60):
        attack = Watched(net, importance=True, seed=seed)
        state = {"image": images, "index": torch.arange(2), "iteration": torch.zeros(2, dtype=torch.int64)}
        state |= {"origin": images.flatten(1), "modifier": torch.zeros(2, 3072, dtype=torch.float64)}
        counts += ZOO._chosen(attack, state).flatten().bincount(minlength=3072)
    expected = 60 * 2 * 128 / 3072
    assert counts.mean() == expected
    assert float((counts - expected).square().mean()) == pytest.approx(expected, rel=0.2)  # Poisson, nearly
