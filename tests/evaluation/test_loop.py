"""The evaluation loop against a recomputation by hand, on one process and on two."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

import qlight
from qlight.attacks import AttackSuite
from qlight.evaluation import AttackEvaluation, ResultRow, evaluate, file_sha256
from qlight.evaluation.crafting import craft
from qlight.evaluation.runner import describe, model_label
from qlight.evaluation.seeds import derived_seed
from tests.evaluation.helpers import QUIET, loader, mostly_right_labels, random_images, tiny_network, trainer

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]
HELPERS = "tests.evaluation.helpers"
SUITE = {
    "FGSM": {"class_path": "FGSM", "init_args": {"eps": "2/255"}},
    "bim": {"class_path": "BIM", "init_args": {"eps": 0.05, "alpha": 0.01, "steps": 5}},
    "noise": f"{HELPERS}.Noise",
}
TIMES = ("seconds", "versions")


def figures(row: ResultRow) -> dict[str, Any]:
    """A row without what differs from run to run."""
    return {name: value for name, value in dataclasses.asdict(row).items() if name not in TIMES}


def by_hand(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int, first: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """The expected figures, in NumPy."""
    was = network.training
    network.eval()

    def predict(x: Tensor) -> np.ndarray:
        with torch.no_grad():
            return np.concatenate([network(part).numpy().argmax(1) for part in x.split(batch_size)])

    expected = []
    before, truth = predict(images), labels.numpy()
    for spec in AttackSuite.from_value(SUITE):
        parts = []
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            number = derived_seed(seed, spec.name, first + start)
            parts.append(craft(spec.build(network), network, images[part], labels[part], name=spec.name, seed=number)[0])
        adversarial = torch.cat(parts)
        after = predict(adversarial)
        change = (adversarial.numpy().astype(np.float64) - images.numpy().astype(np.float64)).reshape(len(images), -1)
        l2, linf = np.sqrt((change**2).sum(1)), np.abs(change).max(1)
        wrong = after != truth
        turned = wrong & (before == truth)
        expected.append(
            {
                "clean_accuracy": float((before == truth).mean()),
                "adversarial_accuracy": float((~wrong).mean()),
                "images": len(images),
                "successes": int(wrong.sum()),
                "flipped": int(turned.sum()),
                "mean_l2": float(l2[wrong].mean()) if wrong.any() else None,
                "mean_linf": float(linf[wrong].mean()) if wrong.any() else None,
                "mean_l2_flipped": float(l2[turned].mean()) if turned.any() else None,
                "mean_linf_flipped": float(linf[turned].mean()) if turned.any() else None,
            }
        )
    network.train(was)
    return expected


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Tensor, Tensor]:
    network, images = tiny_network(), random_images(22)
    return network, images, mostly_right_labels(network, images)


@pytest.mark.parametrize(("with_index", "first"), [(False, 0), (True, 1000)])
def test_rows_hold_what_a_recomputation_gives(case: tuple[nn.Module, Tensor, Tensor], with_index: bool, first: int) -> None:
    network, images, labels = case
    rows = evaluate(trainer(), network, AttackSuite.from_value(SUITE), dataloaders=loader(images, labels, 5, with_index))
    expected = by_hand(network, images, labels, 5, first)
    assert [row.attack for row in rows] == list(SUITE)
    for row, figure in zip(rows, expected, strict=True):
        for name, value in figure.items():
            assert getattr(row, name) == pytest.approx(value, rel=1e-12), (row.attack, name)
    assert 0 < rows[1].flipped < rows[1].successes, "the case must tell the two readings of section 4.3 apart"
    assert [(row.queries, row.gradients) for row in rows] == [(22, 22), (110, 110), (22, 22)]
    assert all(row.seconds is not None and row.seconds > 0 for row in rows)


def test_a_second_run_gives_the_same_and_another_seed_not(case: tuple[nn.Module, Tensor, Tensor]) -> None:
    network, images, labels = case

    def run(seed: int) -> list[dict[str, Any]]:
        torch.rand(3)
        return [
            figures(row)
            for row in evaluate(trainer(), network, AttackSuite.from_value(SUITE), dataloaders=loader(images, labels), seed=seed)
        ]

    first = run(0)
    assert run(0) == first
    other = run(1)
    assert other[2]["mean_l2"] != first[2]["mean_l2"]
    assert other[0]["mean_l2"] == first[0]["mean_l2"], "FGSM draws nothing"


def test_an_attack_does_not_depend_on_those_before_it(case: tuple[nn.Module, Tensor, Tensor]) -> None:
    network, images, labels = case
    alone = evaluate(trainer(), network, AttackSuite.from_value({"noise": SUITE["noise"]}), dataloaders=loader(images, labels))
    together = evaluate(trainer(), network, AttackSuite.from_value(SUITE), dataloaders=loader(images, labels))
    assert figures(alone[0]) == figures(together[2])


def test_network_is_left_as_it_was() -> None:
    network, images = tiny_network(), random_images(6)
    network[1].eval()
    flags = [module.training for module in network.modules()]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    evaluate(trainer(), network, AttackSuite.from_value(SUITE), dataloaders=loader(images, torch.zeros(6).long()))
    assert [module.training for module in network.modules()] == flags
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_no_success_gives_none_and_clean_accuracy_is_kept() -> None:
    network, images = tiny_network().eval(), random_images(6)
    with torch.no_grad():
        labels = network(images).argmax(1)
    (row,) = evaluate(trainer(), network, AttackSuite.from_value("vanila"), dataloaders=loader(images, labels))
    assert (row.clean_accuracy, row.adversarial_accuracy, row.successes) == (1, 1, 0)
    assert row.mean_l2 is row.mean_linf is row.mean_l2_flipped is row.mean_linf_flipped is None


def test_rows_name_network_checkpoint_data_and_attack(tmp_path: Path) -> None:
    class Pixels(LightningDataModule):
        class_names = tuple("abcdefghij")

        def __init__(self, limit: int | None = None, seed: int = 0) -> None:
            super().__init__()
            self.limit, self.seed = limit, seed

        def test_dataloader(self) -> DataLoader:
            return loader(random_images(self.limit or 20, self.seed), torch.arange(self.limit or 20) % 10)

    path = tmp_path / "some.ckpt"
    path.write_bytes(b"weights")
    picture = tmp_path / "figures" / "examples.png"
    (row,) = evaluate(
        trainer(),
        tiny_network(),
        AttackSuite.from_value("fgsm"),
        Pixels(limit=7, seed=3),
        checkpoint=path,
        seed=5,
        label="w1a1",
        picture=picture,
    )
    assert (row.label, row.checkpoint, row.checkpoint_sha256) == ("w1a1", "some.ckpt", file_sha256(path))
    assert row.data["class_path"].endswith("Pixels")
    assert row.data["init_args"] == {"limit": 7, "seed": 3}
    assert (row.images, row.seed, row.class_path, row.parameters) == (7, 5, "torchattacks.FGSM", {"eps": 8 / 255})
    assert row.versions["torch"] == torch.__version__
    assert row.versions["qlight"] == qlight.__version__
    assert picture.read_bytes().startswith(b"\x89PNG")
    json.dumps(dataclasses.asdict(row), allow_nan=False)


def test_labels_and_descriptions_of_networks() -> None:
    class Net(nn.Module):
        def __init__(self, weight_bit_width: int = 32, activation_bit_width: int = 32, own: str | None = None) -> None:
            super().__init__()
            self.hparams = {"weight_bit_width": weight_bit_width, "activation_bit_width": activation_bit_width, "eps": math.inf}
            if own:
                self.label = own

    assert model_label(Net()) == "float"
    assert model_label(Net(1, 32)) == "w1a32"
    assert model_label(Net(1, 1, "mine")) == "mine"
    assert model_label(nn.Flatten()) == "Flatten"
    assert describe(Net(2, 2))["init_args"] == {"weight_bit_width": 2, "activation_bit_width": 2, "eps": "inf"}
    assert describe(None) == {}


def test_autoattack_is_reproducible_though_it_takes_the_time_of_day() -> None:
    suite = AttackSuite.from_value({"aa": {"class_path": "AutoAttack", "init_args": {"version": "rand", "eps": 0.02}}})
    parameters = [dict(spec.parameters) for spec in AttackEvaluation(tiny_network(), suite, seed=4).suite]
    assert parameters[0]["seed"] == derived_seed(4, "aa", 0) % 2**31


def test_examples_are_the_first_images_over_batches() -> None:
    network, images = tiny_network(), random_images(11)
    labels = mostly_right_labels(network, images)
    evaluation = AttackEvaluation(network, AttackSuite.from_value(SUITE), keep=6)
    trainer().test(evaluation, loader(images, labels, 4), verbose=False)
    examples = evaluation.examples
    assert examples is not None
    assert torch.equal(examples.images, images[:6])
    assert torch.equal(examples.labels, labels[:6])
    assert examples.index.tolist() == list(range(6))
    network.eval()
    assert list(examples.adversarial) == list(SUITE)
    for name, adversarial in examples.adversarial.items():
        assert adversarial.shape == examples.images.shape
        with torch.no_grad():
            assert torch.equal(network(adversarial).argmax(1), examples.adversarial_predictions[name])


def test_the_loop_without_evaluate_logs_its_accuracies() -> None:
    network, images = tiny_network(), random_images(6)
    (logged,) = trainer().test(
        AttackEvaluation(network, AttackSuite.from_value("fgsm")), loader(images, torch.zeros(6).long()), verbose=False
    )
    assert set(logged) == {"clean_accuracy", "adversarial_accuracy/FGSM"}


@pytest.mark.parametrize("bar", ["TQDMProgressBar", "RichProgressBar"])
def test_progress_bars_show_attack_and_running_accuracy(bar: str, capfd: pytest.CaptureFixture[str]) -> None:
    from lightning.pytorch import callbacks

    shown = trainer(enable_progress_bar=True, callbacks=[getattr(callbacks, bar)()])
    evaluate(shown, tiny_network(), AttackSuite.from_value("fgsm"), dataloaders=loader(random_images(6), torch.zeros(6).long()))
    out, err = capfd.readouterr()
    assert "FGSM 0." in out + err


def test_memory_that_runs_out_halves_the_batch_of_any_attack() -> None:
    class Small(nn.Module):
        """Has room for four images at once."""

        def __init__(self) -> None:
            super().__init__()
            self.network = tiny_network().eval()

        def forward(self, images: Tensor) -> Tensor:
            if len(images) > 4 and images.requires_grad:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return self.network(images)

    images, labels = random_images(8), torch.arange(8)
    small = Small()
    (expected,) = evaluate(trainer(), small.network, AttackSuite.from_value("bim"), dataloaders=loader(images, labels, 8))
    with pytest.warns(UserWarning, match="Memory ran out in attack `BIM` with 8 images at once; it goes on with 4"):
        (row,) = evaluate(trainer(), small, AttackSuite.from_value("bim"), dataloaders=loader(images, labels, 8))
    for name in ("adversarial_accuracy", "queries", "gradients", "mean_l2"):
        assert getattr(row, name) == pytest.approx(getattr(expected, name), rel=1e-5)


SCRIPT = """
import json, sys
from dataclasses import asdict
from qlight.attacks import AttackSuite
from qlight.evaluation import evaluate
from tests.evaluation.helpers import loader, mostly_right_labels, random_images, tiny_network, trainer

if __name__ == "__main__":
    strategy, folder = sys.argv[1:]
    network, images = tiny_network(), random_images(22)
    suite = AttackSuite.from_value({"FGSM": None, "BIM": {"class_path": "BIM", "init_args": {"steps": 3}}})
    many = trainer(strategy=strategy, devices=2)
    # 21 images: two processes with batches of 5 do not divide them, so that the sampler repeats one
    data = loader(images[:21], mostly_right_labels(network, images)[:21], 5, with_index=True)
    rows = evaluate(many, network, suite, dataloaders=data, picture=f"{folder}/examples.png")
    if many.is_global_zero:
        with open(f"{folder}/rows.json", "w") as file:
            json.dump([asdict(row) for row in rows], file, allow_nan=False)
    else:
        assert rows == []
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", pytest.param("ddp_spawn", marks=pytest.mark.thorough)])
def test_two_processes_give_the_rows_of_one(strategy: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), strategy, str(tmp_path)], check=True, cwd=root, env=environment, timeout=300
    )
    many = json.loads((tmp_path / "rows.json").read_text())
    network, images = tiny_network(), random_images(22)
    labels = mostly_right_labels(network, images)[:21]
    suite = AttackSuite.from_value({"FGSM": None, "BIM": {"class_path": "BIM", "init_args": {"steps": 3}}})
    one = [dataclasses.asdict(row) for row in evaluate(trainer(), network, suite, dataloaders=loader(images[:21], labels, 5))]
    assert [row["images"] for row in many] == [21, 21]
    for row, expected in zip(many, one, strict=True):
        for name in TIMES:
            row.pop(name)
            expected.pop(name)
        # the last bits of a batch's logits may depend on its size, and those of a sum on its order
        for name in ("mean_l2", "mean_linf", "mean_l2_flipped", "mean_linf_flipped"):
            assert row.pop(name) == pytest.approx(expected.pop(name), rel=1e-5)
        # each process crafts the image that the sampler repeats to fill up only where it is its own
        assert row == expected
    assert (tmp_path / "examples.png").read_bytes().startswith(b"\x89PNG")
