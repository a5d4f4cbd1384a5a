"""Where results go that are given no place: a folder named by all that they depend on."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from qlight.attacks import AttackSuite
from qlight.data import SyntheticDigits
from qlight.verbs import Trainer, crossing, diagnose
from tests.cli.test_targets import save
from tests.models.networks import classifier

NETWORKS = ("a=float.ckpt", "b=binary.ckpt", "c=float.ckpt")


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """In a folder that holds float.ckpt and binary.ckpt."""
    monkeypatch.chdir(tmp_path)
    save(classifier(seed=1), tmp_path / "float.ckpt")
    save(classifier(1, 1), tmp_path / "binary.ckpt")
    return Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)


@pytest.fixture
def digits() -> SyntheticDigits:
    return SyntheticDigits(train_size=20, test_size=2)


@pytest.mark.parametrize("verb", ["transfer", "shift"])
def test_which_networks_are_sources_makes_a_difference(
    verb: str, trainer: Trainer, digits: SyntheticDigits, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(crossing, verb, lambda *given, out, **settings: folders.append(out))
    for sources in (1, 2, 3, 1):
        of, to = ",".join(NETWORKS[:sources]), ",".join(NETWORKS[sources:]) or None
        getattr(trainer, verb)(classifier(), digits, of, to, AttackSuite.from_value("FGSM"))
    assert len(set(folders)) == 3
    assert folders[3] == folders[0]


def test_diagnose_asks_what_the_sources_hold(trainer: Trainer, digits: SyntheticDigits, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(diagnose, "diagnose", lambda *given, **settings: SimpleNamespace(print=lambda: None, save=folders.append))

    def folder_of(sources: str | None) -> Path:
        trainer.diagnose(classifier(1, 1), digits, "binary.ckpt", 2, sources)
        return folders[-1]

    name = "epoch=9-step=4000.ckpt"
    for place in ("here", "there"):
        Path(place).mkdir()
        shutil.copy("float.ckpt", f"{place}/{name}")
    first = folder_of(f"here/{name}")
    assert folder_of(f"there/{name}") == first
    assert folder_of(f"own=there/{name}") not in (first, folder_of(None))
    shutil.copy("binary.ckpt", f"here/{name}")
    assert folder_of(f"here/{name}") != first
