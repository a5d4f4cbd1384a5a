"""Files that are whole or not there, and where what can be made again is kept."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qlight.errors import InputError
from qlight.files import cache_folder, whole_file


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def killed() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_whole_file_is_readable_like_any_other(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "a.txt") as part:
            part.write_text("x")
        (tmp_path / "b.txt").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_threads_leave_the_umask_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The umask is one of the whole process: who sets it, if only to read it, gives it to the files that other threads make meanwhile."""
    plain, set_umask = tmp_path / "plain", os.umask
    plain.touch()

    def slow(mask: int) -> int:
        before = set_umask(mask)
        time.sleep(0.002)  # another thread's turn
        return before

    def write(number: int) -> None:
        with whole_file(tmp_path / f"{number}.txt") as part:
            part.write_text("x")
        (tmp_path / f"{number}.plain").touch()

    before = set_umask(0o022)
    set_umask(before)
    monkeypatch.setattr(os, "umask", slow)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(40)))
    finally:
        after = set_umask(before)
    assert after == before
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {plain.stat().st_mode}


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"), whole_file(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    words = f"folder that can be written for `a.txt`, but '{tmp_path}{os.sep}file' cannot"
    with pytest.raises(InputError, match=re.escape(words)), whole_file(tmp_path / "file" / "a.txt"):
        pass


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "qlight"
    assert cache_folder().is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    own = cache_folder()
    assert own.is_dir()
    assert own == cache_folder()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _no_home)
    assert cache_folder() == own


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
