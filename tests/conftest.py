"""Shared fixtures: a tiny data set on disk, and the command line as a function.

Property tests draw the same examples in every run, so that a change fails for what it changed. QLIGHT_NEW_EXAMPLES=1 draws others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

TINY = ("--model.network", "svhn", "--model.width", "0.125")
QUIET = ("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false")
settings.register_profile("same", derandomize=True)
if not os.environ.get("QLIGHT_NEW_EXAMPLES"):
    settings.load_profile("same")


def write_arrays(path: Path, train: int = 96, test: int = 32, seed: int = 0) -> Path:
    """A learnable .npz: each class is a colour and a bright square at its own place, with noise."""
    rng = np.random.default_rng(seed)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 10
        images = rng.integers(0, 80, (count, 32, 32, 3))
        for image, label in zip(images, labels, strict=True):
            row, column = 2 + 6 * (label // 5) + 8, 1 + 6 * (label % 5)
            image[row : row + 6, column : column + 6, label % 3] += 150
        return images.astype(np.uint8), labels.astype(np.uint8)

    x_train, y_train = split(train)
    x_test, y_test = split(test)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="session")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("arrays") / "tiny.npz")


@pytest.fixture
def qlight(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m qlight`` in a process of its own, in an empty folder."""

    def run(*args: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "qlight", *args]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False)

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
