"""The cache of simulators keeps what is used, and stays within its size."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hw.tb.common import tools


def _build(cache: Path, name: str, size: int, age: float) -> Path:
    folder = cache / name
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "simulator").write_bytes(bytes(size))
    used = time.time() - age
    os.utime(folder, (used, used))
    return folder


def _names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_the_oldest_builds_go_first(tmp_path: Path) -> None:
    for name, age in (("old", 9000), ("older", 9500), ("newer", 8000)):
        _build(tmp_path, name, 100, age)
    tools.prune(tmp_path, limit=300)
    assert _names(tmp_path) == {"old", "older", "newer"}
    tools.prune(tmp_path, limit=299)
    assert _names(tmp_path) == {"old", "newer"}
    tools.prune(tmp_path, limit=10)
    assert _names(tmp_path) == set()


def test_builds_in_use_stay(tmp_path: Path) -> None:
    _build(tmp_path, "old", 100, 9000)
    _build(tmp_path, "unfinished-x", 100, 10)
    _build(tmp_path, "in use", 100, 100)
    tools.prune(tmp_path, limit=0)
    assert _names(tmp_path) == {"unfinished-x", "in use"}


def test_a_build_counts_as_used_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "simulator").write_bytes(b"x")

    folder = tools.cached(["one"], make)
    os.utime(folder, (0, 0))
    assert tools.cached(["one"], make) == folder
    assert folder.stat().st_mtime > time.time() - 100
    assert len(made) == 1
    tools.prune(folder.parent, limit=0)
    assert folder.exists()
