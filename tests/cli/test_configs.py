"""Every YAML file of configs/ is parsed by the verb it is for, and what it describes is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qlight.cli import CLI, run
from tests.conftest import write_arrays

CONFIGS = Path(__file__).parents[2] / "configs"
#: but for studies, which are no configuration of a verb: tests/study/test_configuration.py
FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml") if path.parent.name != "study")


class Instantiated(CLI):
    """The command line up to the point where the verb would run."""

    def _run_subcommand(self, subcommand: str) -> None:
        self.ran = subcommand


def make(args: list[str]) -> Any:
    return run(args, Instantiated)


def test_there_are_configs_of_every_kind() -> None:
    kinds = {str(path.parent) for path in FILES}
    assert kinds == {"attack", "data", "experiment", "model", "trainer"}
    assert len([path for path in FILES if path.parent.name == "model"]) == 9


@pytest.mark.parametrize("path", FILES, ids=str)
def test_config_is_instantiated(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_arrays(tmp_path / "data/cifar10.npz")
    file = str(CONFIGS / path)
    cpu = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.strategy", "auto"]
    verb = "attack" if path.parent.name == "attack" else "fit"
    data = [] if path.parent.name in ("data", "experiment") else ["--data", "SyntheticDigits"]
    cli = make([verb, "--config", file, *data, *cpu])
    assert cli.ran == verb
    config = cli.config[verb]
    if path.parent.name == "attack":
        assert len(config["attacks"]) >= 1
    if path.parent.name == "model":
        assert cli.model.label == path.stem
    if path.parent.name == "data":
        assert type(cli.datamodule).__module__.startswith("qlight.data")


def test_files_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [CONFIGS / "model/w2a2.yaml", CONFIGS / "data/synthetic_digits.yaml", CONFIGS / "trainer/paper.yaml"]
    more = [part for file in files for part in ("--config", str(file))]
    cli = make(["fit", *more, "--model.width", "0.125", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"])
    assert cli.model.label == "w2a2"
    assert cli.model.hparams["network"] == "svhn"
    assert cli.model.hparams["width"] == 0.125
    assert type(cli.datamodule).__name__ == "SyntheticDigits"
