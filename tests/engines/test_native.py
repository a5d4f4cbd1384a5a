"""Compiling the kernels: once, for the processor, with what is there; and for older processors, which must give the same integers."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qlight.engines import compiling, native
from qlight.engines import packed as packed_module
from qlight.engines.native import Library, UnavailableError
from qlight.engines.packed import PackedEngine
from qlight.intgraph import execute
from tests.engines.networks import network_graph

fresh_library: Callable[..., Library] = native.library.__wrapped__
#: levels of x86-64 beside what must be there for them
LEVELS = {"x86-64": (), "x86-64-v3": ("avx2", "bmi2", "fma"), "x86-64-v4": ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd")}


@pytest.fixture
def compiler(kernels: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that only counts its calls in a file, and gives what was compiled before; and an empty cache folder."""
    script = tmp_path / "compiler"
    calls = tmp_path / "calls"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo 1; exit; fi\necho "$@" >> {calls}\n'
        f'while [ "$1" != -o ]; do shift; done\ncp {kernels.path} "$2"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


def test_it_compiles_once(compiler: Path, tmp_path: Path) -> None:
    first, second = fresh_library(), fresh_library()
    assert first.path == second.path
    assert first.path.parent == tmp_path / "cache" / "qlight"
    assert len(compiler.read_text().splitlines()) == 1
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name], "temporary files are left"


def test_another_source_or_processor_is_another_library(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fresh_library()
    monkeypatch.setattr(compiling, "processor", lambda: "another one")
    second = fresh_library()
    monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, "-DOTHER"))
    assert len({first.path, second.path, fresh_library().path}) == 3


def test_a_cache_folder_that_cannot_be_made(compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fresh_library().lanes in (8, 16)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"no C\+\+ compiler; install"):
        fresh_library()


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "compiler"
    script.write_text("#!/bin/sh\necho 'x.cpp:1: error: no such thing' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"cannot compile the packed kernels: x\.cpp:1: error: no such thing"):
        fresh_library()
    assert not list((tmp_path / "qlight").iterdir())


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "compiler"
    script.write_text('#!/bin/sh\nif [ "$1" = --version ]; then exit; fi\nwhile [ "$1" != -o ]; do shift; done\necho nothing > "$2"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match="do not load"):
        fresh_library()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("g++"), reason="levels of x86-64, in g++")
@pytest.mark.parametrize("level", LEVELS)
def test_older_processors(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = Path("/proc/cpuinfo").read_text().split() if os.path.exists("/proc/cpuinfo") else []
    if not set(LEVELS[level]) <= set(flags):
        pytest.skip(f"this processor is older than {level}")
    older = native.library(level)
    assert older.path != native.library().path
    monkeypatch.setattr(packed_module, "library", lambda: older)
    for weight_bits, activation_bits, weights in [(1, 1, "odd"), (2, 2, "odd"), (4, 4, "odd"), (2, 8, "odd"), (8, 8, "signed")]:
        for thresholds in ("ties", "random"):
            graph = network_graph(weight_bits, activation_bits, weights=weights, thresholds=thresholds, side=8)
            images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
            images[0], images[1] = 0, 255
            assert (PackedEngine(graph, 1, "native")(images) == execute(graph, images)).all()
