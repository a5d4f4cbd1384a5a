"""``python -m qlight hardware plan | synth | report``: how a network fits a board, and what Yosys and Vivado say of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qlight.errors import InputError, nearest
from qlight.hardware.boards import Board, load_board
from qlight.hardware.folders import MANIFEST
from qlight.hardware.graphs import load_graph
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.plan import load_folding, make_plan
from qlight.hardware.synth import check_unit, synthesize_pipeline
from qlight.hardware.vivado_reports import record_implementation, summary
from qlight.intgraph import Graph
from qlight.options import OptionParser

ACTIONS = ("plan", "synth", "report")


def main(args: Sequence[str]) -> None:
    """Run the verb with these options.

    Raises:
        InputError: an option is wrong, or no design fits the board.
        HardwareError: Yosys is not installed, or fails.
    """
    if not args or args[0] not in ACTIONS:
        got = repr(args[0]) if args else "nothing"
        close = nearest(args[0], ACTIONS, 1) if args else ""
        raise InputError(f"Expected `hardware` to be followed by plan, synth or report, but got {got}; did you mean {close or 'plan'}?")
    parser = OptionParser(f"hardware {args[0]}", "the options of `hardware`")
    if args[0] == "report":
        parser.add_argument("--build", required=True, type=Path)
        build = parser.parse_args(args[1:]).build
        print(summary(record_implementation(build)))
        print(f"wrote {build / MANIFEST}")
        return
    parser.add_argument("--graph", required=True, type=Path)
    parser.add_argument("--board", required=True)
    if args[0] == "plan":
        parser.add_argument("--fps", type=float)
        parser.add_argument("--out", type=Path)
    else:
        parser.add_argument("--unit")
        parser.add_argument("--plan", type=Path)
        parser.add_argument("--folding")
        parser.add_argument("--seconds", type=float, default=3600.0)
    options = parser.parse_args(args[1:])
    board = load_board(options.board)
    graph = load_graph(options.graph)
    if args[0] == "plan":
        plan = make_plan(graph, board, options.fps)
        plan.print()
        if options.out is not None:
            plan.save(options.out)
            print(f"wrote {options.out}")
    else:
        _synth(graph, board, options)


def _synth(graph: Graph, board: Board, options: argparse.Namespace) -> None:
    if options.plan is not None and options.folding is not None:
        raise InputError("Expected `plan` or `folding`, but got both; leave one out.")
    if not options.seconds > 0:
        raise InputError(f"Expected `seconds` to be positive, but got {options.seconds:g}.")
    folding = None
    if options.plan is not None:
        folding = load_folding(options.plan, "plan")
    elif options.folding is not None:
        folding = _parsed(options.folding)
    pipeline = make_pipeline(graph, folding)
    if options.unit is not None:
        check_unit(pipeline, options.unit)
    synthesize_pipeline(pipeline, board, options.unit, options.seconds).print()


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected `folding` to be JSON, but it is not ({error}).") from error
    if not isinstance(found, dict):
        raise InputError(f"Expected `folding` to be a JSON object, but got {type(found).__name__}.")
    return found
