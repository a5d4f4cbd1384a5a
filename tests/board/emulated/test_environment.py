"""The environment of pynq: made once, whole or not at all, with this qlight and nothing else of this one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from qlight.board import environment
from qlight.board.environment import UnreachableError, pynq_command, pynq_python
from qlight.errors import HardwareError


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The environments that are made, without making any, in a cache of its own."""
    made: list[Any] = []
    monkeypatch.setattr(environment, "cache_folder", lambda: tmp_path)

    def create(folder: Path, with_pip: bool) -> None:
        folder.mkdir()
        made.append(folder)

    monkeypatch.setattr(environment.venv, "create", create)
    return made


def _pip(monkeypatch: pytest.MonkeyPatch, status: int, says: str) -> None:
    def run(command: tuple[str, ...], **settings: Any) -> subprocess.CompletedProcess[str]:
        assert settings["env"]["PYNQ_REMOTE"] == "1"
        assert "pynq==4.0.0" in command
        return subprocess.CompletedProcess(command, status, "", says)

    monkeypatch.setattr(environment.subprocess, "run", run)


def test_it_is_made_once(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _pip(monkeypatch, 0, "")
    assert pynq_python() == pynq_python()
    assert len(calls) == 1
    assert pynq_python().parents[1] == calls[0]


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("WARNING: Retrying after NewConnectionError\nERROR: Could not find a version", UnreachableError),
        ("ERROR: No space left on device", HardwareError),
        ("", HardwareError),
    ],
)
def test_one_that_pip_cannot_make_is_made_anew(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, says: str, kind: type[HardwareError]
) -> None:
    _pip(monkeypatch, 1, says)
    with pytest.raises(HardwareError, match=r"pip install pynq==4\.0\.0") as caught:
        pynq_python()
    assert caught.type is kind
    _pip(monkeypatch, 0, "")
    pynq_python()
    assert len(calls) == 2


def test_an_installed_qlight_is_given_without_its_neighbours(calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pip(monkeypatch, 0, "")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    checkout = Path(environment.__file__).resolve().parents[2]
    assert pynq_command("module", "argument")[1]["PYTHONPATH"] == str(checkout)
    site = tmp_path / "site-packages"
    (site / "qlight" / "board").mkdir(parents=True)
    (site / "numpy").mkdir()
    monkeypatch.setattr(environment, "__file__", str(site / "qlight" / "board" / "environment.py"))
    for _ in range(2):
        command, variables = pynq_command("module", "argument", environment={"EXTRA": "1"})
        assert command[1:] == ["-m", "module", "argument"]
        folder = Path(variables["PYTHONPATH"])
        assert [(path.name, path.resolve()) for path in folder.iterdir()] == [("qlight", (site / "qlight").resolve())]
        assert variables["EXTRA"] == "1"
