"""Small faults put into the cells, one at a time: the testbench of the cell must fail on each. `python -m hw.tb.mutants` runs all."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hw.tb.common.run import run_cell
from hw.tb.common.tools import RTL

__all__ = ["MUTANTS", "Mutant", "detect"]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """In `qlight_<cell>.sv`, the first `old` (which must be there) becomes `new`."""

    cell: str
    what: str
    old: str
    new: str


MUTANTS = (
    Mutant("fifo", "a word too many", "count != COUNT_BITS'(WORDS)", "32'(count) <= WORDS"),
    Mutant("fifo", "a word too few", "count != COUNT_BITS'(WORDS)", "32'(count) < WORDS - (WORDS > 1 ? 1 : 0)"),
    Mutant("fifo", "the read address wraps one late", "read_address == LAST ?", "read_address == LAST + 1'b1 ?"),
    Mutant("fifo", "an output that nobody took", "!m_axis_tvalid || m_axis_tready", "!m_axis_tvalid || m_axis_tready || count != '0"),
    Mutant("dwc", "a place too few", "place <= CAPACITY - IN;", "place < CAPACITY - IN;"),
    Mutant("dwc", "ready one unit early", "count <= COUNT_BITS'(CAPACITY - IN)", "count <= COUNT_BITS'(CAPACITY - IN) + 1'b1"),
    Mutant("dwc", "a buffer that makes bubbles", "IN + 2 * OUT - 1", "IN + OUT - 1"),
    Mutant("swg", "a dropped pad row", "row_in >= HEIGHT;", "row_in > HEIGHT;"),
    Mutant("swg", "left padding one column late", "32'(column) - PAD_LEFT", "32'(column) - (PAD_LEFT > 0 ? PAD_LEFT - 1 : 0)"),
    Mutant("swg", "padding that does not wait", "first ? ahead >", "first && ahead < 0 ? ahead >"),
    Mutant("swg", "reads what is not yet written", "padding || ahead > 0", "padding || ahead >= 0"),
    Mutant("swg", "room given back too early", "(WIDTH - LAST_COLUMN) * FOLDS", "(WIDTH - LAST_COLUMN + 1) * FOLDS"),
    Mutant("swg", "a buffer that stops between frames", "(2 * KERNEL_H - 2 - PAD_TOP", "(KERNEL_H - 1 - PAD_TOP"),
    Mutant("swg", "a wrong step to the next row", "(WIDTH - OUT_W) * FOLDS", "(WIDTH - OUT_W + 1) * FOLDS"),
    Mutant("mvtu", "an off-by-one threshold", "acc >= level", "acc > level"),
    Mutant("mvtu", "a direction half ignored", "$signed(accumulator[p])) ^ {T_BITS{direction}}", "$signed(accumulator[p]))"),
    Mutant("mvtu", "the accumulator starts one beat late", "(first[3] ?", "(first[3] && first[2] ?"),
    Mutant("mvtu", "an XNOR constant off by one product", "? -MW * OFFSET : 0", "? -(MW - 1) * OFFSET : 0"),
    Mutant("mvtu", "the replay buffer written in every fold", "if (first_fold) vector[sf]", "vector[sf]"),
    Mutant("mvtu", "ready while stopped", "s_axis_tready = enable && first_fold", "s_axis_tready = first_fold"),
    Mutant("mvtu", "planes with wrong weights", "<< (i + j))", "<< (i + 2 * j))"),
    Mutant("mvtu", "packed fields too close", "int FIELD_BITS = WEIGHT_BITS +", "int FIELD_BITS = WEIGHT_BITS - 1 +"),
    Mutant("mvtu", "signed weights taken for unsigned", "? {k[WEIGHT_BITS-1], k}", "? {1'b0, k}"),
    Mutant("mvtu", "thresholds of the next fold", "thresholds[finished]", "thresholds[NF > 1 ? finished + 1'b1 : finished]"),
    Mutant("mvtu", "the chain passes on the last row", "&& !loading_thresholds;", "&& (!loading_thresholds || loaded_thresholds);"),
    Mutant("mvtu", "loaded thresholds a bit apart", "levels} >> T_BITS", "levels} >> (T_BITS - 1)"),
    Mutant("pool", "smallest and largest swapped", "larger != smallest[i]", "larger == smallest[i]"),
    Mutant("pool", "a sign ignored", "BITS'(SIGNED) << (BITS - 1)", "BITS'(0) << (BITS - 1)"),
    Mutant("pool", "one column more than there is", "kx == K_BITS'(REST_W - 1)", "kx == K_BITS'(REST_W)"),
    Mutant("pool", "an output that nobody took", "!m_axis_tvalid || m_axis_tready;", "!m_axis_tvalid || m_axis_tready || first;"),
    Mutant("control", "images begin in load mode", "(!load_mode && in_flight", "((!load_mode || !loading) && in_flight"),
    Mutant("control", "the first cycle of an image not counted", "if (take_first || !idle) cycles", "if (!idle) cycles"),
    Mutant("control", "a byte strobe too many", "if (write_strobe[i]) graph_hash", "if (write_strobe[i] || i == 2) graph_hash"),
    Mutant("control", "the hash words in reverse", "hash[(7-i)*32+:32]", "hash[i*32+:32]"),
)  # fmt: skip


def detect(mutant: Mutant) -> str:
    """How the fault shows: a failing test, or a simulation that does not build or end; "" where nothing notices."""
    with tempfile.TemporaryDirectory() as folder:
        for path in RTL.glob("*.sv"):
            shutil.copy(path, folder)
        path = Path(folder) / f"qlight_{mutant.cell}.sv"
        text = path.read_text()
        if mutant.old not in text:
            raise ValueError(f"Expected {path.name} to hold `{mutant.old}`; update the mutant '{mutant.what}'.")
        path.write_text(text.replace(mutant.old, mutant.new, 1))
        before = os.environ.get("QLIGHT_DUT")
        os.environ["QLIGHT_DUT"] = folder
        try:
            outcomes = run_cell(mutant.cell)
        except subprocess.CalledProcessError as error:
            raise ValueError(f"The mutant '{mutant.what}' does not build: {error.stderr[:600]}") from error
        except RuntimeError as error:
            return str(error).splitlines()[0]
        finally:
            if before is None:
                del os.environ["QLIGHT_DUT"]
            else:
                os.environ["QLIGHT_DUT"] = before
    return next((outcome.test for outcome in outcomes if outcome.error), "")


if __name__ == "__main__":
    survivors = 0
    for mutant in MUTANTS:
        found = detect(mutant)
        survivors += not found
        print(f"{'caught by ' + found if found else 'SURVIVES':50}  {mutant.cell}: {mutant.what}", flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} faults caught")
    sys.exit(1 if survivors else 0)
