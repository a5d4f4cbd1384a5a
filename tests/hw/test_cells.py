"""Every cell of hw/rtl under its cocotb testbench (hw/tb); the larger space of shapes and the mutants are slow."""

from __future__ import annotations

import subprocess

import pytest

from hw.tb.common.run import CELLS, run_cell
from hw.tb.mutants import MUTANTS, Mutant, detect

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
def test_cell_over_all_shapes(cell: str) -> None:
    _run(cell, slow=True)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.cell}: {mutant.what}")
def test_testbench_notices_fault(mutant: Mutant) -> None:
    assert detect(mutant), "the testbench passes in spite of this fault"
