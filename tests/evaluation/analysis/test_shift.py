"""What a perturbation leaves unchanged, against the quantizers' own codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import RecordFolder
from qlight.evaluation.analysis import Network, shift, unchanged_values
from qlight.evaluation.intervals import wilson_interval
from qlight.models import Classifier
from qlight.targets import PackedTarget
from tests.engines.networks import network_graph
from tests.evaluation.analysis.cases import FGSM
from tests.evaluation.helpers import QUIET, loader, trainer
from tests.models.networks import classifier

pytestmark = [pytest.mark.filterwarnings(text) for text in (*QUIET, "ignore:The packed engine falls back to numpy")]


class Images(LightningDataModule):
    """Eight images of 32 x 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.images = torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float() / 255
        self.labels = torch.arange(8)

    def test_dataloader(self) -> DataLoader:
        return loader(self.images, self.labels)


def pairs(count: int = 3) -> tuple[Tensor, Tensor]:
    data = Images()
    noise = torch.rand(data.images.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    return data.images[:count], (data.images + 0.06 * noise).clamp(0, 1)[:count]


def integers(model: Classifier, images: Tensor) -> list[tuple[str, Tensor]]:
    """Sums and codes of every layer as whole numbers, where weights or activations are quantized; else real ones. In float64."""
    network: Any = model.network.double()
    x, found = images.double(), []
    for group, blocks in (("features", network.features), ("dense", network.dense)):
        for number, block in enumerate(blocks):
            if group == "dense" and number == 0:
                x = x.flatten(1)
            layer = block[0]
            sums = layer(x)
            bits = model.precision
            if bits.weight_bit_width < 32 and bits.activation_bit_width < 32 and found:
                step = (2**bits.weight_bit_width - 1) * (2**bits.activation_bit_width - 1)
                found.append((f"network.{group}.{number}.{next(iter(dict(block.named_children())))}", (sums * step).round()))
            else:
                found.append((f"network.{group}.{number}.{next(iter(dict(block.named_children())))}", sums))
            before = block.norm(block.pool(sums) if hasattr(block, "pool") else sums)
            activation = block.activation
            quantized = hasattr(activation, "quantize")
            x = activation(before.clone())
            found.append((f"network.{group}.{number}.activation", activation.quantize(before).code if quantized else x))
    found.append(("network.output", network.output(x)))
    model.float()
    return found


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (1, 32), (32, 32)])
def test_codes_by_hand(weights: int, activations: int) -> None:
    model, (clean, perturbed) = classifier(weights, activations), pairs()
    wanted = list(zip(integers(model, clean), integers(model, perturbed), strict=True))
    found = unchanged_values(model, clean, perturbed)
    assert [layer.layer for layer in found] == [name for (name, _), _ in wanted]
    for layer, ((name, before), (_, after)) in zip(found, wanted, strict=True):
        same = (before == after).flatten(1).double().mean(1)
        tolerance = 0 if weights < 32 and activations < 32 else 1e-3  # real numbers may be equal but for their last bits
        assert (layer.unchanged - same).abs().max() <= tolerance, name
        assert layer.values == before[0].numel()
        assert layer.kind == ("activations" if name.endswith("activation") else "sums")
    inner = [layer for layer in found if layer.layer not in ("network.features.0.conv", "network.output")]
    assert {layer.bits for layer in inner if layer.kind == "sums"} == {weights}
    assert {layer.bits for layer in inner if layer.kind == "activations"} == {activations}
    assert (found[0].bits, found[-1].bits) == (32, 32)  # never quantized, section 4.2


def test_nothing_changes_without_a_perturbation() -> None:
    clean, _ = pairs()
    for layer in unchanged_values(classifier(2, 2), clean, clean):
        assert bool((layer.unchanged == 1).all())
        assert bool((layer.change < 1e-12).all())  # the halves of a batch may be rounded otherwise


def test_the_change_is_relative() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False), nn.ReLU())
    clean = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    sums, activations = unchanged_values(model, clean, 1.5 * clean)
    assert sums.change.tolist() == pytest.approx([0.5, 0.5])
    assert (sums.values, sums.kind, sums.bits) == (3, "sums", 32)
    silent = (model[1](clean.flatten(1)) <= 0).double().mean(1)  # what ReLU keeps at 0 in both
    assert activations.unchanged.tolist() == pytest.approx(silent.tolist())


def test_a_network_is_left_as_it_was() -> None:
    model = classifier(1, 1).train()
    unchanged_values(model, *pairs())
    assert model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(module._forward_hooks for module in model.modules())


def test_from_attack_to_table(tmp_path: Path) -> None:
    networks = [Network("w1a1", classifier(1, 1)), Network("float", classifier(seed=1))]
    found = shift(trainer(), networks[:1], networks, AttackSuite.from_value(FGSM), Images(), out=tmp_path)
    assert found is not None
    (folder,) = (tmp_path / "crafted").iterdir()
    records = RecordFolder(folder).load("FGSM")
    assert records is not None
    adversarial = torch.from_numpy(records.adversarial)
    for network in networks:
        rows = [row for row in found.rows if row.network == network.name]
        for row, layer in zip(rows, unchanged_values(network.module, Images().images, adversarial), strict=True):
            assert (row.source, row.attack, row.layer, row.images) == ("w1a1", "FGSM", layer.layer, 8)
            assert row.unchanged == pytest.approx(layer.unchanged.mean().item())
            assert row.change == pytest.approx(layer.change.mean().item())
            assert row.unchanged_low is not None
            assert row.unchanged_low <= row.unchanged <= row.unchanged_high  # type: ignore[operator]
        fooled = (network.module(adversarial).argmax(1) != Images().labels).double().mean().item()
        assert {(row.fooled, row.fooled_low, row.fooled_high) for row in rows} == {(fooled, *wilson_interval(round(8 * fooled), 8))}
    found.save(tmp_path)
    assert len(json.loads((tmp_path / "shift.json").read_text())["layers"]) == len(found.rows) == 2 * 17
    assert (tmp_path / "shift.png").read_bytes().startswith(b"\x89PNG")


def test_an_attack_that_moves_nothing(tmp_path: Path) -> None:
    network = Network("w1a1", classifier(1, 1))
    found = shift(trainer(), [network], [network], AttackSuite.from_value("VANILA"), Images(), out=tmp_path)
    assert found is not None
    assert {(row.images, row.unchanged, row.change, row.fooled, row.fooled_low) for row in found.rows} == {(0, *[None] * 4)}


@pytest.mark.parametrize(
    ("clean", "perturbed", "words"),
    [
        (torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4), "`perturbed` of the shape"),
        (torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 4, 4), "at least one image"),
        (torch.zeros(3, 4), torch.zeros(3, 4), "n x C x H x W"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), "but it has none"),
    ],
)
def test_bad_images(clean: Tensor, perturbed: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        unchanged_values(nn.Flatten(), clean, perturbed)


@pytest.mark.parametrize("where", ["sources", "targets"])
def test_deployed_networks_have_other_layers(tmp_path: Path, where: str) -> None:
    torch_network = Network("w1a1", classifier(1, 1))
    packed = Network("packed", PackedTarget(network_graph(1, 1), threads=1, backend="numpy"))
    given: dict[str, Any] = {"sources": [torch_network], "targets": [torch_network], where: [packed]}
    with pytest.raises(InputError, match=f"`{where}` with gradients, but 'packed' is a packed target"):
        shift(trainer(), given["sources"], given["targets"], AttackSuite.from_value("GN"), Images(), out=tmp_path)
