"""A diagnosis on paper: JSON, CSV, picture and table; what was given is left as it was."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from qlight.errors import InputError
from qlight.evaluation.diagnostics import Diagnosis, Sizes, diagnose, progress_bar
from tests.evaluation.diagnostics import toys

NAMES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    network = toys.Staircase(toys.healthy())
    return toys.diagnosis_of(network, index=torch.arange(100, 108), class_names=NAMES, label="a staircase")


def no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def test_json_is_strict_and_holds_everything(found: Diagnosis) -> None:
    record = json.loads(found.to_json(), parse_constant=no_constant)
    assert record["verdict"] == found.verdict
    assert record["sizes"]["h"] == list(toys.SMALL.h)
    assert [step["h"] for step in record["sweep"]] == list(toys.SMALL.h)
    assert {"zero_share", "explosion", "cosine", "largest_quotient"} <= set(record["sweep"][0])
    assert len(record["diagnostics"]) == len({d["name"] for d in record["diagnostics"]}) == len(found.diagnostics)
    assert all(attack["parameters"] for attack in record["attacks"])
    assert [image["index"] for image in record["per_image"]] == list(range(100, 108))
    assert record["per_image"][0]["class"] == NAMES[record["per_image"][0]["label"]]
    fooled = sum("SPSA" in image["fooled_by"] for image in record["per_image"]) / 8
    assert fooled == next(attack["success"] for attack in record["attacks"] if attack["name"] == "SPSA") > 0


def test_the_same_twice_and_another_with_another_seed(found: Diagnosis) -> None:
    settings = {"index": torch.arange(100, 108), "class_names": NAMES, "label": "a staircase"}
    assert toys.diagnosis_of(toys.Staircase(toys.healthy()), **settings).to_json() == found.to_json()
    assert toys.diagnosis_of(toys.Staircase(toys.healthy()), seed=1, **settings).to_json() != found.to_json()


def test_every_verdict_says_its_figure(found: Diagnosis) -> None:
    for diagnostic in found.diagnostics:
        assert diagnostic.source
        assert diagnostic.measured
        assert diagnostic.verdict.endswith(".")
        if diagnostic.figure is not None and diagnostic.unit == "share" and diagnostic.figure >= 0:
            assert f"{100 * diagnostic.figure:.0f} %" in diagnostic.verdict, diagnostic


def test_saved_files_are_whole(found: Diagnosis, tmp_path: Path) -> None:
    json_path, csv_path, png_path = found.save(tmp_path / "new")
    assert json_path.read_text() == found.to_json()
    with csv_path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [d.name for d in found.diagnostics]
    assert float(next(row["figure"] for row in rows if row["name"] == "zero_gradient_margin")) == 1
    with Image.open(png_path) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["diagnostics.csv", "diagnostics.json", "diagnostics.png"]


@pytest.mark.parametrize("network", [toys.Deployed(toys.healthy()), toys.healthy()])
def test_what_does_not_apply_is_drawn_as_such(network: nn.Module, tmp_path: Path) -> None:
    images = toys.images_of()
    wrong = (network(images).argmax(1) + 1) % 10 if not isinstance(network, toys.Deployed) else None
    assert toys.diagnosis_of(network, images, wrong).save(tmp_path)[2].stat().st_size > 10_000


def test_the_table_fits_120_columns(found: Diagnosis) -> None:
    stream = io.StringIO()
    found.print(Console(file=stream, width=120))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 120
    words = " ".join(text.split())
    assert "a staircase, 8 images (8 right)" in words
    assert words.count("FAIL") == len(found.failed)
    assert "diagnostics fail: attacks that follow its gradients" in words


def test_the_network_and_the_generators_are_left_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 10))
    network[1].eval()
    first, *_, last = network.parameters()
    first.requires_grad_(False)
    last.grad = torch.ones(10)
    source = toys.healthy().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    flags = [module.training for module in network.modules()]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    toys.diagnosis_of(network, sources={"source": source})
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == flags
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, *[True] * 5]
    assert torch.equal(last.grad, torch.ones(10))
    assert source.training
    assert all(parameter.grad is None for parameter in source.parameters())


def test_attacks_run_on_the_evaluation_view() -> None:
    class Offering(nn.Module):
        """Random as it is, healthy in its view."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = toys.healthy()

        def evaluation_view(self) -> nn.Module:
            return self.inner

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = self.inner(images)
            return logits + 0.01 * torch.randn_like(logits)

    network = Offering().eval()
    found = toys.diagnosis_of(network, labels=network.inner(toys.images_of()).argmax(1))
    assert {d.name for d in found.failed} - {"batch_logits", "batch_predictions"} == {"deterministic"}


def test_progress_counts_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int, str]] = []
    toys.diagnosis_of(toys.healthy(), on_progress=lambda *args: seen.append(args))
    assert seen[-1] == (seen[-1][1], seen[-1][1], "done")
    assert [done for done, _, _ in seen] == list(range(len(seen)))
    with progress_bar() as advance:
        advance(1, 2, "halfway")
    assert "halfway" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, "`images`"),
        ({"images": torch.zeros(0, 3, 8, 8), "labels": torch.zeros(0, dtype=torch.int64)}, "`images`"),
        ({"images": torch.full((2, 3, 8, 8), 1.5)}, "`images` in [0, 1]"),
        ({"images": torch.full((2, 3, 8, 8), torch.nan)}, "`images` in [0, 1]"),
        ({"images": [1, 2]}, "got list"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "`labels`"),
        ({"labels": torch.zeros(2)}, "`labels`"),
        ({"labels": torch.tensor([0, -1])}, "`labels`"),
        ({"labels": torch.tensor([0, 10])}, "`labels` from 0 to 9, but got 10"),
        ({"index": torch.tensor([1, 1])}, "`index`"),
        ({"index": torch.tensor([1.0, 2.0])}, "`index`"),
        ({"class_names": ["only one"]}, "`class_names`"),
        ({"sources": {"other": "network"}}, "`sources`"),
        ({"sources": {"board": toys.Deployed(toys.healthy())}}, "`board` has no gradient"),
        ({"eps": 0}, "`eps`"),
        ({"eps": 1.5}, "`eps`"),
        ({"eps": "8/255"}, "`eps`"),
        ({"model": nn.Flatten(0)}, "`model`"),
        ({"model": toys.Times(toys.healthy(), torch.inf)}, "finite logits"),
        ({"model": nn.Sequential(nn.Flatten(), nn.LSTM(192, 10))}, "got tuple"),
    ],
)
def test_bad_input_is_one_sentence(change: dict[str, object], words: str) -> None:
    network, images = toys.healthy(), toys.images_of(2)
    arguments: dict = {"model": network, "images": images, "labels": network(images).argmax(1), "sizes": toys.SMALL, **change}
    with pytest.raises(InputError) as raised:
        diagnose(**arguments)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_inference_mode_is_refused() -> None:
    with torch.inference_mode(), pytest.raises(InputError, match="inference"):
        diagnose(toys.healthy(), toys.images_of(2), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "sizes",
    [{"steps": 0}, {"steps": 2.5}, {"steps": True}, {"h": (1e-3,)}, {"h": (1e-2, 1e-4)}, {"iterations": ()}, {"iterations": (5, 2)},
     {"scales": (0.0,)}, {"scales": 10.0}, {"spsa_evaluations": 3}, {"eps_factors": (1.0, 1.0)}],
)  # fmt: skip
def test_bad_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(sizes))}`"):
        Sizes(**sizes)  # type: ignore[arg-type]


def test_sizes_take_lists_as_yaml_gives_them() -> None:
    assert Sizes(h=[1e-4, 1e-2]).h == (1e-4, 1e-2)  # type: ignore[arg-type]
