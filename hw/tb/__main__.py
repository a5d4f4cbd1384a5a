"""`python -m hw.tb [cell | network ...] [--slow]`: run testbenches, print every test and its time. `coverage`: what they cover."""

import argparse
import subprocess
import sys
import time

from hw.tb.common.run import CELLS, run_cell
from hw.tb.network.coverage import table
from hw.tb.network.networks import FAST, NETWORKS
from hw.tb.network.run import run_network

NAMES = [*CELLS, *NETWORKS]
HELP = f"of {', '.join(CELLS)}; of {', '.join(NETWORKS)}, or network for all of these; coverage: the table of shapes that they cover"
parser = argparse.ArgumentParser(prog="python -m hw.tb", description="Run the cocotb testbenches of the cells and of whole networks.")
parser.add_argument("names", nargs="*", choices=[*NAMES, "network", "coverage", []], metavar="name", help=HELP)
parser.add_argument("--slow", action="store_true", help="the larger space of shapes of the cells; all networks")
arguments = parser.parse_args()
names = arguments.names or [*CELLS, *(NETWORKS if arguments.slow else FAST)]
names = [each for name in names for each in (NETWORKS if name == "network" else [name])]
if "coverage" in arguments.names:
    print(table())
names = [name for name in names if name != "coverage"]
failed = 0
for name in names:
    start = time.perf_counter()
    try:
        outcomes = run_network(NETWORKS[name]) if name in NETWORKS else run_cell(name, arguments.slow)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name} does not build:\n{error.stderr}")
    for outcome in outcomes:
        failed += bool(outcome.error)
        print(f"{'FAIL' if outcome.error else 'pass'}  {outcome.seconds:6.2f} s  {name}: {outcome.test}  {outcome.error}")
    print(f"{name}: {len(outcomes)} tests, {time.perf_counter() - start:.1f} s with the build", flush=True)
sys.exit(1 if failed else 0)
