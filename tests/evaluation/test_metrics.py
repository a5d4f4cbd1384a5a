"""The metrics against a plain NumPy recomputation, over batches and over two processes."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.evaluation import AdversarialAccuracy, MeanDistortion
from qlight.evaluation.metrics import distortion, flipped, fooled, predicted_class


def scalar_reference(
    clean: np.ndarray, adversarial: np.ndarray, labels: list[int], before: list[int], after: list[int]
) -> dict[str, float]:
    """Section 4.3 with loops over images and pixels, in Python floats."""
    found: dict[str, list[float]] = {"l2": [], "linf": [], "l2_flipped": [], "linf_flipped": []}
    right = 0
    for x, x_adv, label, clean_class, class_ in zip(clean, adversarial, labels, before, after, strict=True):
        if class_ == label:
            right += 1
            continue
        changes = [abs(float(a) - float(b)) for a, b in zip(x_adv.ravel(), x.ravel(), strict=True)]
        for suffix in ("", "_flipped") if clean_class == label else ("",):
            found[f"l2{suffix}"].append(math.sqrt(math.fsum(c * c for c in changes)))
            found[f"linf{suffix}"].append(max(changes))
    means = {name: math.fsum(values) / len(values) if values else math.nan for name, values in found.items()}
    return {"acc": right / len(labels), **means, "successes": len(found["l2"]), "flipped": len(found["l2_flipped"])}


def random_case(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, ...]:
    clean = rng.random((count, 3, 4, 4), dtype=np.float32)
    adversarial = np.clip(clean + rng.normal(0, 0.1, clean.shape).astype(np.float32), 0, 1)
    labels, before, after = (rng.integers(0, 3, count) for _ in range(3))
    return tuple(torch.from_numpy(part) for part in (clean, adversarial, labels, before, after))


def measured(batches: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
    accuracy = AdversarialAccuracy()
    metrics = {f"{p}{s}": MeanDistortion(2 if p == "l2" else math.inf) for p in ("l2", "linf") for s in ("", "_flipped")}
    for clean, adversarial, labels, before, after in batches:
        accuracy.update(after, labels)
        for name, metric in metrics.items():
            metric.update(clean, adversarial, flipped(before, after, labels) if "flipped" in name else fooled(after, labels))
    results = {name: metric.compute() for name, metric in metrics.items()}
    counts = {"successes": int(results["l2"]["count"]), "flipped": int(results["l2_flipped"]["count"])}
    return {"acc": accuracy.compute().item(), **{name: result["mean"].item() for name, result in results.items()}, **counts}


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), size=st.integers(1, 12))
def test_metrics_equal_the_scalar_reference_in_any_batches_and_order(seed: int, count: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    case = random_case(rng, count)
    clean, adversarial, labels, before, after = (part.numpy() for part in case)
    expected = scalar_reference(clean, adversarial, labels.tolist(), before.tolist(), after.tolist())
    order = torch.from_numpy(rng.permutation(count))
    batches = [tuple(part[order[start : start + size]] for part in case) for start in range(0, count, size)]
    assert measured(batches) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_an_image_that_was_wrong_before_the_attack_is_a_success_but_not_flipped() -> None:
    labels, before, after = torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert fooled(after, labels).tolist() == [False, True, False, True]
    assert flipped(before, after, labels).tolist() == [False, True, False, False]


def test_no_success_has_no_mean() -> None:
    images = torch.rand(3, 3, 4, 4)
    metric = MeanDistortion()
    metric.update(images, images, torch.zeros(3, dtype=torch.bool))
    assert math.isnan(metric.compute()["mean"])
    assert metric.compute()["count"] == 0


def test_sums_do_not_lose_small_terms() -> None:
    # in float32 the sum of 2^20 values of 1 + 2^-20 would drift
    one = torch.full((2**12, 1), 1 + 2**-20, dtype=torch.float32)
    metric = MeanDistortion(math.inf)
    for _ in range(2**8):
        metric.update(torch.zeros_like(one), one, torch.ones(len(one), dtype=torch.bool))
    assert metric.compute()["mean"].item() == 1 + 2**-20
    assert metric.half().total.dtype is torch.float64, "a module's .half() must not narrow the sums"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_distortion_is_exact_in_every_dtype(dtype: torch.dtype, p: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, adversarial = (torch.rand(5, 3, 4, 4, generator=generator).to(dtype) for _ in range(2))
    difference = (adversarial.double().numpy() - clean.double().numpy()).reshape(5, -1)
    assert distortion(clean, adversarial, p).numpy() == pytest.approx(np.linalg.norm(difference, ord=p, axis=1), rel=1e-14)


def test_logits_and_class_indices_agree_and_reset_forgets() -> None:
    logits, labels = torch.randn(20, 10, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 10
    first, second = AdversarialAccuracy(), AdversarialAccuracy()
    first.update(logits, labels)
    second.update(logits.argmax(1), labels)
    assert first.compute() == second.compute() == float((logits.numpy().argmax(1) == labels.numpy()).mean())
    first.reset()
    assert first.total == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: predicted_class(torch.zeros(2, 3, 4), torch.zeros(2)), "`predictions` to be logits"),
        (lambda: predicted_class(torch.zeros(2), torch.zeros(2)), "`predictions` to be logits"),
        (lambda: predicted_class(torch.zeros(2, 0), torch.zeros(2)), "`predictions` to be logits"),
        (lambda: predicted_class(torch.zeros(2, 3), torch.zeros(2, 1)), "`labels` of shape N"),
        (lambda: predicted_class(torch.zeros(2, 3), torch.zeros(3)), "as many `predictions` as `labels`"),
        (lambda: distortion(torch.zeros(2, 3), torch.zeros(2, 4)), "`adversarial` of the shape of `clean`"),
        (lambda: distortion(torch.zeros(2, 3), torch.zeros(2, 3), 0), "`p` to be the order of a norm"),
        (lambda: distortion(torch.zeros(2, 3), torch.zeros(2, 3), math.nan), "`p` to be the order of a norm"),
        (lambda: MeanDistortion(3), "`p` to be 1, 2 or math.inf"),
        (lambda: MeanDistortion().update(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2)), "`selected` to be bool"),
        (lambda: MeanDistortion().update(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3, dtype=torch.bool)), "`selected` to be bool"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value)


def _process(rank: int, folder: str) -> None:
    """Process `rank` of two: sees every second batch of `batches_of`, and saves what it measured."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(measured(batches_of()[rank::2]), f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


def batches_of() -> list[tuple[torch.Tensor, ...]]:
    """Five batches of different sizes, so that the two processes have different counts."""
    rng = np.random.default_rng(7)
    return [random_case(rng, count) for count in (5, 3, 1, 4, 6)]


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first == second
    alone = measured(batches_of())
    joined = measured([tuple(torch.cat(parts) for parts in itertools.zip_longest(*batches_of()))])
    assert first == pytest.approx(alone, rel=1e-14)
    assert alone == pytest.approx(joined, rel=1e-14)
    assert 0 < first["flipped"] < first["successes"] < 19
