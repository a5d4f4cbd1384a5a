"""SPSA against a scalar implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qlight.attacks.counter_random import random_signs, random_uniform
from qlight.attacks.spsa import SPSA
from qlight.errors import InputError

SHAPE = (3, 6, 6)
PIXELS = 108


def network(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    return layers.to(dtype).eval()


class IntegerNetwork(nn.Module):
    """Integer weights on rounded inputs: its arithmetic is exact, so that any batch gives the same logits bit for bit."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randint(-3, 4, (5, PIXELS), generator=generator).double())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images * 255).round().flatten(1) @ self.weight.T


def images(count: int = 7, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, *SHAPE, generator=generator, dtype=torch.float64)
    x[0, 0], x[1, 1] = 0.0, 1.0
    return x.to(dtype)


def labels_of(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(x).argmax(1)


def scalar_spsa(model: nn.Module, image: np.ndarray, label: int, index: int, steps: int, evaluations: int, seed: int) -> np.ndarray:
    """One image, one point at a time, from equation (8) and the description of the method; numpy but for the model."""
    eps, rate, delta = 0.03, 0.01, 0.01

    def margin(point: np.ndarray) -> float:
        with torch.no_grad():
            logits = model(torch.from_numpy(point).reshape(1, *SHAPE))[0].tolist()
        own = logits.pop(label)
        return own - max(logits)

    def draw(function: Any, step: int, count: int, stream: int) -> np.ndarray:
        return function(seed, torch.tensor([index]), torch.tensor([step]), count, torch.float64, stream)[0].numpy()

    x = image.ravel()

    def project(shift: np.ndarray) -> np.ndarray:
        return np.clip(x + np.clip(shift, -eps, eps), 0, 1) - x

    shift = project((2 * draw(random_uniform, 0, PIXELS, 2) - 1) * eps)
    first, second = np.zeros(PIXELS), np.zeros(PIXELS)
    for step in range(steps):
        signs = draw(random_signs, step, evaluations // 2 * PIXELS, 1).reshape(-1, PIXELS)
        gradient = np.zeros(PIXELS)
        for sign in signs:
            gradient += (margin(x + shift + delta * sign) - margin(x + shift - delta * sign)) / (2 * delta) * sign
        gradient /= len(signs)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        shift = project(shift - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8))
    return np.clip(x + shift, 0, 1).reshape(SHAPE)


def test_equals_the_scalar_implementation() -> None:
    model, x = network(), images(3)
    labels = labels_of(model, x)
    attack = SPSA(model, steps=6, evaluations=8, seed=5)
    found = attack(x, labels)
    assert attack.report is not None
    for row in range(3):
        expected = torch.from_numpy(scalar_spsa(model, x[row].numpy(), int(labels[row]), row, 6, 8, 5))
        success = bool(labels_of(model, expected[None]) != labels[row])
        assert bool(attack.report.success[row]) == success
        torch.testing.assert_close(found[row], expected if success else x[row], rtol=0, atol=1e-9)


def test_at_least_one_image_of_the_comparison_succeeds_and_one_fails() -> None:
    model, x = network(), images(7)
    attack = SPSA(model, steps=6, evaluations=8, seed=5)
    attack(x, labels_of(model, x))
    assert attack.report is not None
    assert 0 < int(attack.report.success.sum()) < 7


def test_queries_are_counted_exactly() -> None:
    model, x = network(), images(5)
    seen = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal seen
        seen += len(output)

    labels = labels_of(model, x)
    model.register_forward_hook(count)
    for early_stop in (False, True):
        seen = 0
        attack = SPSA(model, steps=10, evaluations=8, early_stop=early_stop, max_rows=24)
        attack(x, labels)
        assert attack.report is not None
        assert int(attack.report.queries.sum()) == seen
        if not early_stop:
            assert set(attack.report.queries.tolist()) == {10 * 8 + 1}
            assert set(attack.report.iterations.tolist()) == {10}


def test_early_stop_ends_at_the_first_success_and_saves_queries() -> None:
    model, x = network(), images(7)
    labels = labels_of(model, x)
    attack = SPSA(model, steps=40, evaluations=16, early_stop=True)
    found = attack(x, labels)
    assert attack.report is not None
    success = attack.report.success
    assert bool((labels_of(model, found)[success] != labels[success]).all())
    assert bool((attack.report.iterations[~success] == 40).all())
    assert int(attack.report.iterations[success].min()) < 40


def test_budget_is_kept() -> None:
    model, x = network(), images(4)
    attack = SPSA(model, steps=50, evaluations=8, query_budget=30)
    attack(x, labels_of(model, x))
    assert attack.report is not None
    assert attack.report.queries.tolist() == [25] * 4
    with pytest.raises(InputError, match="query_budget"):
        SPSA(model, evaluations=8, query_budget=8)(x, labels_of(model, x))


def test_a_failure_returns_the_clean_image_and_the_ball_and_box_are_kept() -> None:
    model, x = network(), images(7)
    attack = SPSA(model, eps=0.03, steps=6, evaluations=8)
    found = attack(x, labels_of(model, x))
    assert attack.report is not None
    success = attack.report.success
    assert torch.equal(found[~success], x[~success])
    assert float((found - x).abs().max()) <= 0.03 + 1e-12
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_targeted() -> None:
    model, x = network(), images(7)
    labels = labels_of(model, x)
    targets = (labels + 1) % 5
    attack = SPSA(model, eps=0.5, steps=60, evaluations=16, learning_rate=0.05)
    attack.set_mode_targeted_by_label(quiet=True)
    found = attack(x, targets)
    assert attack.report is not None
    success = attack.report.success
    assert bool(success.any())
    assert bool((labels_of(model, found)[success] == targets[success]).all())


def test_shifted_logits_change_nothing() -> None:
    model, x = IntegerNetwork(), images(5)
    labels = labels_of(model, x)

    class Shifted(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return model(inputs) - 100

    assert torch.equal(SPSA(model, steps=4, evaluations=8)(x, labels), SPSA(Shifted(), steps=4, evaluations=8)(x, labels))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    model, x = network(dtype), images(3, dtype)
    found = SPSA(model, steps=3, evaluations=8)(x, labels_of(model, x))
    assert found.dtype == dtype
    assert bool(torch.isfinite(found).all())


def test_random_numbers_are_fair_and_streams_differ() -> None:
    index, step = torch.arange(50), torch.zeros(50, dtype=torch.long)
    signs = random_signs(0, index, step, 4000, torch.float64)
    assert abs(float(signs.mean())) < 5 / (50 * 4000) ** 0.5
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    uniform = random_uniform(0, index, step, 4000, torch.float64)
    assert abs(float(uniform.mean()) - 0.5) < 5 * (1 / 12 / (50 * 4000)) ** 0.5
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    for other in (random_signs(1, index, step, 4000, torch.float64), random_signs(0, index, step + 1, 4000, torch.float64)):
        assert abs(float((signs * other).mean())) < 5 / (50 * 4000) ** 0.5
    assert abs(float((signs * random_signs(0, index, step, 4000, torch.float64, 7)).mean())) < 5 / (50 * 4000) ** 0.5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"eps": 0}, "`eps`"),
        ({"eps": float("nan")}, "`eps`"),
        ({"learning_rate": float("inf")}, "`learning_rate`"),
        ({"steps": 0}, "`steps`"),
        ({"steps": 2.5}, "`steps`"),
        ({"evaluations": 8.0}, "`evaluations`"),
        ({"delta": -1}, "`delta`"),
        ({"evaluations": 7}, "`evaluations`"),
        ({"max_rows": 0}, "`max_rows`"),
        ({"query_budget": 0}, "`query_budget`"),
    ],
)
def test_bad_arguments(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        SPSA(network(), **options)
