"""`python -m hw.tb [cell ...] [--slow]`: run testbenches, print every test and its time."""

import argparse
import sys
import time

from hw.tb.common.run import CELLS, run_cell

parser = argparse.ArgumentParser(prog="python -m hw.tb", description="Run the cocotb testbenches of the cells.")
parser.add_argument("cells", nargs="*", choices=[*CELLS, []], metavar="cell", help=f"of {', '.join(CELLS)}; all unless named")
parser.add_argument("--slow", action="store_true", help="the larger space of shapes")
arguments = parser.parse_args()
failed = 0
for cell in arguments.cells or CELLS:
    start = time.perf_counter()
    outcomes = run_cell(cell, arguments.slow)
    for outcome in outcomes:
        failed += bool(outcome.error)
        print(f"{'FAIL' if outcome.error else 'pass'}  {outcome.seconds:6.2f} s  {cell}: {outcome.test}  {outcome.error}")
    print(f"{cell}: {len(outcomes)} tests, {time.perf_counter() - start:.1f} s with the build")
sys.exit(1 if failed else 0)
