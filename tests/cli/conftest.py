"""A working folder for tests of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the test file's fixture `made` holds."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
