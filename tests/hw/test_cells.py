"""Every cell of hw/rtl under its cocotb testbench (hw/tb); the larger space of shapes and the mutants are slow."""

from __future__ import annotations

import os
import subprocess

import pytest

from hw.tb.common.run import CELLS, run_cell
from hw.tb.mutants import MUTANTS, Mutant, detect

#: cells with so many slow shapes that only every third is simulated, a second each to build; QLIGHT_ALL_SHAPES=1: all of them
EVERY = {"mvtu": 3, "pool": 3}

#: every sixth fault: each is a simulator to build; `python -m hw.tb.mutants` or QLIGHT_ALL_SHAPES=1: all of them
SHOWN = MUTANTS if os.environ.get("QLIGHT_ALL_SHAPES") else MUTANTS[::6]

pytestmark = pytest.mark.usefixtures("simulator_tools")


def _run(cell: str, slow: bool) -> None:
    try:
        outcomes = run_cell(cell, slow)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"qlight_{cell} does not build:\n{error.stderr[-3000:]}")
    failures = [f"{outcome.test}: {outcome.error}" for outcome in outcomes if outcome.error]
    assert outcomes
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("cell", CELLS)
def test_cell(cell: str) -> None:
    _run(cell, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_cell_over_many_shapes(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if cell in EVERY and not os.environ.get("QLIGHT_ALL_SHAPES"):
        monkeypatch.setenv("QLIGHT_TB_EVERY", str(EVERY[cell]))
    _run(cell, slow=True)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SHOWN, ids=lambda mutant: f"{mutant.cell}: {mutant.what}")
def test_testbench_notices_fault(mutant: Mutant) -> None:
    assert detect(mutant), "the testbench passes in spite of this fault"
