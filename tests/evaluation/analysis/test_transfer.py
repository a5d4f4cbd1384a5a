"""Transfer against attacks and predictions made by hand; reuse; resumption."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlight.attacks import AttackSuite, CarliniWagnerL2
from qlight.data import SyntheticDigits
from qlight.errors import InputError
from qlight.evaluation import evaluate
from qlight.evaluation.analysis import Network, TransferMatrix, examples, transfer
from qlight.evaluation.analysis.crossing import _all_images
from qlight.evaluation.analysis.kappa import best, candidates, check_kappas, variants
from qlight.evaluation.batches import first_images
from qlight.evaluation.intervals import wilson_interval
from qlight.targets import PackedTarget
from tests.engines.networks import network_graph
from tests.evaluation.analysis.cases import CW, FGSM, Data, networks
from tests.evaluation.helpers import QUIET, ExactNetwork, interrupted, trainer
from tests.evaluation.test_resume import contents

pytestmark = [pytest.mark.filterwarnings(text) for text in (*QUIET, "ignore:The packed engine falls back to numpy")]
KAPPAS = (5.0, 50.0)


def run(out: Path, suite: Any = None, sources: Any = None, targets: Any = None, data: Any = None, **settings: Any) -> TransferMatrix:
    sources = networks() if sources is None else sources
    chosen = AttackSuite.from_value({**FGSM, **CW} if suite is None else suite)
    found = transfer(trainer(), sources, sources if targets is None else targets, chosen, data or Data(), out=out, **settings)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TransferMatrix]:
    """FGSM and CW on three networks, with two kappas."""
    out = tmp_path_factory.mktemp("transfer")
    matrix = run(out, kappas=KAPPAS)
    matrix.save(out)
    return out, matrix


def fgsm(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Equation (4) with eps = 0.02, in the batches of the data module (a gradient is divided by their size, and may underflow)."""
    points = images.clone().requires_grad_()
    for first in range(0, len(images), 4):
        torch.nn.functional.cross_entropy(network(points[first : first + 4]), labels[first : first + 4]).backward()
    assert points.grad is not None
    return (images + 0.02 * points.grad.sign()).clamp(0, 1)


def expected(network: nn.Module, clean: Tensor, adversarial: Tensor, labels: Tensor) -> tuple[float, float | None, float | None]:
    """acc, l2 and l-infinity of section 4.3, an image at a time."""
    norms = []
    for image, changed, label in zip(clean, adversarial, labels, strict=True):
        if int(network(changed[None]).argmax()) != int(label):
            difference = (changed.double() - image.double()).flatten()
            norms.append((difference.square().sum().sqrt().item(), difference.abs().max().item()))
    accuracy = 1 - len(norms) / len(labels)
    if not norms:
        return accuracy, None, None
    l2, linf = (math.fsum(column) / len(norms) for column in zip(*norms, strict=True))
    return accuracy, l2, linf


@pytest.mark.parametrize("source", range(3))
@pytest.mark.parametrize("target", range(3))
def test_fgsm_by_hand(made: tuple[Path, TransferMatrix], source: int, target: int) -> None:
    data, cell = Data(), made[1][f"net{source}", f"net{target}", "FGSM"]
    adversarial = fgsm(ExactNetwork(source), data.images, data.labels)
    accuracy, l2, linf = expected(ExactNetwork(target), data.images, adversarial, data.labels)
    assert cell.adversarial_accuracy == pytest.approx(accuracy)
    assert (cell.mean_l2, cell.mean_linf) == (pytest.approx(l2), pytest.approx(linf))
    assert (cell.adversarial_accuracy_low, cell.adversarial_accuracy_high) == wilson_interval(round(accuracy * 10), 10)
    assert cell.clean_accuracy == (ExactNetwork(target)(data.images).argmax(1) == data.labels).double().mean().item()
    assert (cell.kappa, cell.images) == (None, 10)


def test_every_kappa_is_that_attack(made: tuple[Path, TransferMatrix]) -> None:
    data = Data()
    for kappa in (0.0, *KAPPAS):
        attack = CarliniWagnerL2(ExactNetwork(0), steps=12, search_steps=3, kappa=kappa)
        adversarial = attack(data.images, data.labels, index=1000 + torch.arange(10))
        cells = {cell.target: cell for cell in made[1].cells if (cell.source, cell.attack, cell.kappa) == ("net0", "CW", kappa)}
        assert cells.keys() == {"net0", "net1", "net2"}
        for number in range(3):
            accuracy, l2, _ = expected(ExactNetwork(number), data.images, adversarial, data.labels)
            assert cells[f"net{number}"].adversarial_accuracy == pytest.approx(accuracy)
            assert cells[f"net{number}"].mean_l2 == pytest.approx(l2)


def test_the_best_kappa_of_each_source_is_reported_and_its_own_on_itself(made: tuple[Path, TransferMatrix]) -> None:
    matrix = made[1]
    for source in matrix.sources:
        others = [target for target in matrix.targets if target != source]
        mean = {
            kappa: sum(cell.adversarial_accuracy for cell in matrix.cells if cell.source == source and cell.attack == "CW"
                       and cell.kappa == kappa and cell.target in others)
            for kappa in KAPPAS
        }  # fmt: skip
        chosen = min(KAPPAS, key=lambda kappa: (mean[kappa], kappa))
        assert {matrix[source, target, "CW"].kappa for target in others} == {chosen}
        assert matrix[source, source, "CW"].kappa == 0
    reported = [(cell.source, cell.target, cell.attack) for cell in matrix.cells if cell.reported]
    assert len(reported) == len(set(reported)) == 3 * 3 * 2


def test_files(made: tuple[Path, TransferMatrix]) -> None:
    out, matrix = made
    with (out / "transfer.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 3 * (1 + 3)
    assert {row["kappa"] for row in rows} == {"", "0.0", "5.0", "50.0"}
    content = json.loads((out / "transfer.json").read_text())
    assert len(content["cells"]) == len(rows)
    assert content["kappas"] == [5, 50]
    assert (out / "transfer.png").read_bytes().startswith(b"\x89PNG")
    text = (out / "transfer.md").read_text()
    assert text.count("## From ") == 3
    cell = matrix["net0", "net1", "FGSM"]
    assert f"| FGSM | - | net1 | {cell.adversarial_accuracy:.2f} (" in text


def test_an_accuracy_of_one_has_no_distortion(tmp_path: Path) -> None:
    """Appendix C: "-" denotes a value which can not be computed, as where the accuracy is 1."""
    data = Data()

    class Knows(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            rows = (images.flatten(1)[:, None] - data.images.flatten(1)).square().sum(2).argmin(1)
            return nn.functional.one_hot(data.labels[rows], 10).float() * 9 - 1

    matrix = run(tmp_path, FGSM, networks(1), [Network("knows", Knows())], data)
    cell = matrix["net0", "knows", "FGSM"]
    assert (cell.adversarial_accuracy, cell.mean_l2, cell.mean_linf) == (1.0, None, None)
    line = next(line for line in matrix.to_markdown().splitlines() if line.startswith("| FGSM"))
    assert line.startswith("| FGSM | - | knows | 1.00 (")
    assert line.endswith("| - | - |")


def test_results_of_an_attack_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of `attack` with the same attacks, among others; nothing is crafted then, and the result is the same."""
    fresh = run(tmp_path / "fresh", FGSM, networks(2))
    for network in networks(2):
        suite = AttackSuite.from_value({**CW, **FGSM})
        evaluate(trainer(), network.module, suite, Data(), label="another name", out=tmp_path / "attack" / network.name)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("crafted")

    monkeypatch.setattr(examples, "evaluate", refuse)
    assert run(tmp_path / "new", FGSM, networks(2), known=[tmp_path / "attack"]).cells == fresh.cells
    assert not (tmp_path / "new" / "crafted").exists()
    other = {"FGSM": {"class_path": "FGSM", "init_args": {"eps": 0.03}}}
    for suite, more in ((other, {}), (FGSM, {"seed": 1}), (FGSM, {"data": Data(seed=1)}), ({"F": FGSM["FGSM"]}, {})):
        with pytest.raises(AssertionError, match="crafted"):
            run(tmp_path / "new", suite, networks(2), known=[tmp_path / "attack"], **more)


def test_an_interrupted_run_goes_on(made: tuple[Path, TransferMatrix], tmp_path: Path) -> None:
    with interrupted(47):
        run(tmp_path, kappas=KAPPAS)
    matrix = run(tmp_path, kappas=KAPPAS)
    matrix.save(tmp_path)
    assert contents(tmp_path) == contents(made[0])
    # a second run computes nothing, a damaged answer is asked for again
    answers = sorted((tmp_path / "judged").iterdir())
    answers[0].write_bytes(b"damaged")
    answers[1].unlink()
    run(tmp_path, kappas=KAPPAS).save(tmp_path)
    assert contents(tmp_path) == contents(made[0])


def test_other_data_in_the_same_folder_are_kept_apart(tmp_path: Path) -> None:
    first = run(tmp_path, FGSM, networks(2))
    other = run(tmp_path, FGSM, networks(2), data=Data(seed=1))
    assert other.cells != first.cells
    assert run(tmp_path, FGSM, networks(2)).cells == first.cells


def test_examples_of_other_images_are_refused(tmp_path: Path) -> None:
    """A data module that calls itself the same, with other images behind it."""
    run(tmp_path, FGSM, networks(1))
    data = Data()
    data.images[3] = 1 - data.images[3]
    with pytest.raises(InputError, match="image 1003 is another one"):
        run(tmp_path, FGSM, networks(1), data=data)


def test_a_target_of_8_bit_pixels_sees_rounded_images(tmp_path: Path) -> None:
    data, target = Data(4), PackedTarget(network_graph(1, 1, side=8), threads=1, backend="numpy")
    cell = run(tmp_path, FGSM, networks(1), [Network("packed", target)], data)["net0", "packed", "FGSM"]
    adversarial = target.rounded(fgsm(ExactNetwork(0), data.images, data.labels))
    accuracy, l2, _ = expected(target, data.images, adversarial, data.labels)
    assert (cell.adversarial_accuracy, cell.mean_l2) == (pytest.approx(accuracy), pytest.approx(l2))
    assert target.queries > 0


def test_the_judge_sees_the_whole_test_set() -> None:
    """Of several processes one judges; the data module would give it a share."""
    data = SyntheticDigits(train_size=10, test_size=6, validation=0)
    shared = SimpleNamespace(distributed_sampler_kwargs={"num_replicas": 2, "rank": 0}, strategy=trainer().strategy)
    data.trainer = shared  # type: ignore[assignment]
    assert len(first_images(data, 9).labels) == 3
    assert _all_images(data).index.tolist() == list(range(6))
    assert data.trainer is shared


def test_candidates() -> None:
    spec = AttackSuite.from_value(CW).specs[0]
    assert [one.name for one in variants(spec, (0.0, 5.0)).values()] == ["CW", "CW kappa 5"]
    assert candidates(spec, ()) == (0.0,)
    assert candidates(spec, (5.0,)) == (5.0,)
    assert candidates(AttackSuite.from_value("FGSM").specs[0], (5.0,)) == (None,)
    assert candidates(AttackSuite.from_value("ZOO").specs[0], (5.0,)) == (None,)
    assert best({25.0: 0.2, 5.0: 0.2, 10.0: 0.3}) == 5.0
    assert check_kappas([10, 5, 5.0]) == (5.0, 10.0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kappas": [-1]}, "`kappas`"),
        ({"kappas": [float("inf")]}, "`kappas`"),
        ({"kappas": ["5"]}, "`kappas`"),
        ({"sources": []}, "`sources` to name at least 1"),
        ({"targets": []}, "`targets` to name at least 1"),
        ({"sources": [*networks(1), *networks(1)]}, "'net0' comes twice"),
        ({"sources": [ExactNetwork()]}, "Network\\(name, module\\)"),
        ({"sources": networks(1), "targets": [Network("net0", ExactNetwork(5))]}, "'net0' is another one"),
        ({"known": ["nowhere"]}, "no folder 'nowhere'"),
        ({"suite": "nothing"}, "no attack 'nothing'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(tmp_path, **{"suite": FGSM, **changed})
    assert not list(tmp_path.iterdir())


def test_more_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"'.*file' is a file"):
        run(tmp_path / "file", FGSM)
    packed = Network("packed", PackedTarget(network_graph(1, 1, side=8), threads=1, backend="numpy"))
    with pytest.raises(InputError, match="FGSM needs one"):
        run(tmp_path, FGSM, [packed])
    with pytest.raises(InputError, match="inference_mode"):
        transfer(trainer(inference_mode=True), networks(1), networks(1), AttackSuite.from_value(FGSM), Data(), out=tmp_path)
    with pytest.raises(KeyError):
        run(tmp_path, FGSM, networks(1))["net0", "net0", "BIM"]
