"""What an evaluation refuses or warns of: its arguments, batches and networks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import AttackEvaluation, evaluate
from qlight.evaluation.batches import unpack
from tests.evaluation.helpers import QUIET, loader, random_images, tiny_network, trainer

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]


@pytest.mark.parametrize("seed", [None, 1.5, True, "0"])
def test_a_seed_is_an_integer(seed: Any) -> None:
    with pytest.raises(InputError, match="`seed` to be an integer"):
        AttackEvaluation(tiny_network(), AttackSuite.from_value("fgsm"), seed=seed)


@pytest.mark.parametrize("keep", [-1, 1.5, True])
def test_keep_is_a_count(keep: Any) -> None:
    with pytest.raises(InputError, match="`keep`"):
        AttackEvaluation(tiny_network(), AttackSuite.from_value("fgsm"), keep=keep)


def test_inference_mode_is_refused_before_anything_runs() -> None:
    data = loader(random_images(2), torch.zeros(2).long())
    with pytest.raises(InputError, match=r"Trainer\(inference_mode=False\)"):
        evaluate(trainer(inference_mode=True), tiny_network(), AttackSuite.from_value("fgsm"), dataloaders=data)
    with pytest.raises(InputError, match=r"Trainer\(inference_mode=False\)"):
        trainer(inference_mode=True).test(AttackEvaluation(tiny_network(), AttackSuite.from_value("fgsm")), data)


def test_data_is_given_once() -> None:
    data = loader(random_images(2), torch.zeros(2).long())
    for arguments in ({}, {"datamodule": LightningDataModule(), "dataloaders": data}):
        with pytest.raises(InputError, match="either `datamodule` or `dataloaders`"):
            evaluate(trainer(), tiny_network(), AttackSuite.from_value("fgsm"), **arguments)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (random_images(2) * 255, [0, 1], "`images` in [0, 1]"),
        (random_images(2) - 0.5, [0, 1], "`images` in [0, 1]"),
        (random_images(2) * math.nan, [0, 1], "`images` in [0, 1]"),
        ((random_images(2) * 255).byte(), [0, 1], "`images` to be floats"),
        (random_images(2), [0, 10], "`labels` from 0 to 9, but got 0 to 10"),
        (random_images(2), [-1, 0], "`labels` from 0 to 9, but got -1 to 0"),
        (random_images(2), [0.0, 1.0], "`labels` to be 2 integers"),
        (random_images(2), [[0], [1]], "`labels` to be 2 integers"),
    ],
)
def test_bad_batches(images: Tensor, labels: list[Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate(trainer(), tiny_network(), AttackSuite.from_value("fgsm"), dataloaders=loader(images, torch.tensor(labels)))
    assert words in str(error.value)


@pytest.mark.parametrize("batch", [torch.zeros(3), [torch.zeros(3)], {"x": 1}, [torch.zeros(2, 3), [0, 1]]])
def test_a_batch_is_a_pair_or_a_triple(batch: Any) -> None:
    with pytest.raises(InputError, match="Expected a batch of"):
        unpack(batch)


class Constant(nn.Module):
    """Returns `value` whatever it sees."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, 10) + math.nan, "finite logits"),
        (torch.zeros(2), "logits of shape 2 x classes, but got (2,)"),
        (torch.zeros(3, 10), "but got (3, 10)"),
        ([1], "but got list"),
    ],
)
def test_a_network_that_is_no_classifier(value: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate(trainer(), Constant(value), AttackSuite.from_value("vanila"), dataloaders=loader(random_images(2), torch.zeros(2).long()))
    assert words in str(error.value)


class Softmax(nn.Module):
    """A network that returns probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny_network().eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).softmax(1)


class Restless(nn.Module):
    """A network with a layer that never sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny_network().eval()
        self.noise = AlwaysDropout()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.noise(images))


class AlwaysDropout(nn.Module):
    """Dropout in evaluation mode too."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(images, 0.5, training=True)


@pytest.mark.parametrize(
    ("network", "words"),
    [(Softmax(), "probabilities, not logits"), (Restless(), r"not deterministic: the first module .* is `noise` \(AlwaysDropout\)")],
    ids=["probabilities", "random"],
)
def test_networks_whose_results_mean_less_are_named(network: nn.Module, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        evaluate(trainer(), network, AttackSuite.from_value("fgsm"), dataloaders=loader(random_images(4), torch.zeros(4).long()))


def test_an_empty_test_set() -> None:
    data = DataLoader(TensorDataset(random_images(0), torch.zeros(0).long()), batch_size=2)
    with pytest.warns(UserWarning, match="zero"), pytest.raises(InputError, match="at least one image"):
        evaluate(trainer(), tiny_network(), AttackSuite.from_value("fgsm"), dataloaders=data)
