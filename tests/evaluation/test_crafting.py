"""One batch through one attack: against equation (4), with nothing left behind."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qlight.attacks import AttackSpec
from qlight.errors import InputError
from qlight.evaluation.crafting import craft
from qlight.evaluation.seeds import derived_seed
from tests.evaluation.helpers import mostly_right_labels, random_images, tiny_network

HELPERS = "tests.evaluation.helpers"


def spec(attack: str, **init_args: object) -> AttackSpec:
    return AttackSpec.create(None, attack if attack[0].isupper() and attack not in ("Noise", "Wrong") else f"{HELPERS}.{attack}", init_args)


def test_fgsm_is_equation_4_computed_by_hand() -> None:
    """x' = clip(x + eps sign(d loss / d x)) on softmax regression, whose gradient (p - onehot) W is written out in NumPy."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(10, 192)), rng.normal(size=10)
    images, labels, eps = rng.random((6, 192)), rng.integers(0, 10, 6), 0.03
    scores = images @ weight.T + bias
    probabilities = np.exp(scores - scores.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    gradient = (probabilities - np.eye(10)[labels]) @ weight
    expected = np.clip(images + eps * np.sign(gradient), 0, 1)

    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10)).double()
    model.load_state_dict({"1.weight": torch.from_numpy(weight), "1.bias": torch.from_numpy(bias)})
    found, spent = craft(
        spec("FGSM", eps=eps).build(model),
        model,
        torch.from_numpy(images).reshape(6, 3, 8, 8),
        torch.from_numpy(labels),
        name="FGSM",
        seed=0,
    )
    assert found.dtype is torch.float64
    assert np.array_equal(found.reshape(6, 192).numpy(), expected)
    assert (spent.queries, spent.gradients) == (6, 6)


def test_bim_stays_in_the_ball_and_counts_every_step() -> None:
    model = tiny_network().eval()
    images = random_images(5)
    found, spent = craft(
        spec("BIM", eps=0.03, alpha=0.01, steps=7).build(model), model, images, mostly_right_labels(model, images), name="BIM", seed=0
    )
    assert (spent.queries, spent.gradients) == (35, 35)
    assert (found - images).abs().max().item() == pytest.approx(0.03, rel=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1
    assert spent.seconds > 0


def state_of(model: nn.Module) -> tuple[list[bool], list[bool], list[Tensor | None]]:
    parameters = list(model.parameters())
    return [m.training for m in model.modules()], [p.requires_grad for p in parameters], [p.grad for p in parameters]


def numpy_state() -> str:
    return repr(np.random.get_state(legacy=False)["state"]["key"].tolist())  # noqa: NPY002 - the generator that attacks use


@pytest.mark.parametrize("attack", ["Noise", "PGD", "DeepFool"])
def test_model_images_and_random_states_are_left_as_they_were(attack: str) -> None:
    model = tiny_network()
    model[1].eval()  # a mixture of flags, as when a user freezes batch norm
    first, last = next(model.parameters()), list(model.parameters())[-1]
    first.requires_grad_(False)
    grad = torch.ones_like(last)
    last.grad = grad
    images, labels = random_images(4), torch.tensor([1, 2, 3, 4])
    kept_images, kept_labels = images.clone(), labels.clone()
    before = state_of(model)
    buffers = [buffer.clone() for buffer in model.buffers()]
    states = torch.get_rng_state(), numpy_state(), random.getstate()

    adversarial, _ = craft(spec(attack).build(model), model, images, labels, name=attack, seed=3)

    after = state_of(model)
    assert after[:2] == before[:2]
    assert [g is None for g in after[2]] == [g is None for g in before[2]]
    assert last.grad is grad
    assert torch.equal(grad, torch.ones_like(grad))
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), buffers, strict=True))
    assert torch.equal(images, kept_images)
    assert torch.equal(labels, kept_labels)
    assert not adversarial.requires_grad
    assert not images.requires_grad
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]
    assert random.getstate() == states[2]
    assert not model._forward_hooks


def test_state_is_restored_after_a_failure_too() -> None:
    model = tiny_network()
    before = state_of(model)
    with pytest.raises(RuntimeError, match="out of luck") as error:
        craft(spec("Wrong", how="runtime error").build(model), model, random_images(2), torch.zeros(2).long(), name="mine", seed=0)
    assert error.value.__notes__ == ["This happened in attack `mine`."]
    assert state_of(model) == before
    assert not model._forward_hooks


def test_one_seed_gives_one_result_and_another_another() -> None:
    model = tiny_network().eval()
    images, labels = random_images(4), torch.zeros(4).long()

    def run(seed: int) -> Tensor:
        return craft(spec("Noise").build(model), model, images, labels, name="Noise", seed=seed)[0]

    first = run(1)
    torch.rand(5)
    np.random.rand()  # noqa: NPY002 - moves the global generator
    assert torch.equal(run(1), first)
    assert not torch.equal(run(2), first)


def test_derived_seeds_differ_in_each_part() -> None:
    seeds = {derived_seed(seed, name, index) for seed in range(5) for name in ("FGSM", "BIM") for index in range(0, 40, 8)}
    assert len(seeds) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)
    # written down: results that were published must stay reproducible
    assert derived_seed(0, "FGSM", 0) == int.from_bytes(__import__("hashlib").sha256(b"0\x00FGSM\x000").digest()[:8], "big") >> 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "1 values that are not finite"),
        ("inf", "1 values that are not finite"),
        ("above", "to 1.0001"),
        ("below", "from -1e-07"),
        ("shape", "shape (2, 1, 8, 8)"),
        ("batch", "shape (1, 3, 8, 8)"),
        ("integers", "torch.uint8"),
        ("list", "a list"),
        ("value error", "norm must be one of"),
    ],
)
def test_a_wrong_result_names_the_attack_and_is_never_clamped(how: str, words: str) -> None:
    model = tiny_network().eval()
    with pytest.raises(InputError) as error:
        craft(spec("Wrong", how=how).build(model), model, random_images(2), torch.zeros(2).long(), name="mine", seed=0)
    assert "attack `mine`" in str(error.value)
    assert words in str(error.value)


def test_inference_mode_is_refused() -> None:
    model = tiny_network().eval()
    with torch.inference_mode(), pytest.raises(InputError, match=r"inference_mode=False"):
        craft(spec("FGSM").build(model), model, random_images(2), torch.zeros(2).long(), name="FGSM", seed=0)


def test_gradients_are_on_inside_no_grad() -> None:
    model = tiny_network().eval()
    with torch.no_grad():
        _, spent = craft(spec("FGSM").build(model), model, random_images(2), torch.zeros(2).long(), name="FGSM", seed=0)
    assert spent.gradients == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_keep_their_dtype(dtype: torch.dtype) -> None:
    model = tiny_network().eval().to(dtype)
    found, _ = craft(spec("PGD").build(model), model, random_images(2).to(dtype), torch.zeros(2).long(), name="PGD", seed=0)
    assert found.dtype is dtype


def test_a_model_without_parameters_can_be_attacked() -> None:
    model = nn.Flatten()
    found, _ = craft(spec("FGSM").build(model), model, random_images(2), torch.zeros(2).long(), name="FGSM", seed=0)
    assert found.shape == (2, 3, 8, 8)
