"""Pynq's own environment, and a network for the emulated board."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlight.board.emulated.design import write_overlay
from qlight.board.environment import UnreachableError, pynq_python
from qlight.hardware.build import Build, write_build
from tests.hardware.strategies import random_graph


@pytest.fixture(scope="session")
def pynq() -> Path:
    """The interpreter that has pynq, installed with pip the first time on a machine (a minute)."""
    try:
        return pynq_python()
    except UnreachableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A w1a1 network with an emulated overlay in its folder; of the geometry that the tests of the simulated RTL compile."""
    made = write_build(random_graph(0, bits=1), tmp_path_factory.mktemp("board") / "build")
    write_overlay(made)
    return made
