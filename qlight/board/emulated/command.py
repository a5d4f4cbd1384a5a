"""``python -m qlight board emulate``: a board to talk to, for anyone."""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from qlight.board.emulated.design import write_overlay
from qlight.board.emulated.designs import ENGINES
from qlight.board.emulated.faults import KINDS, Fault
from qlight.board.emulated.running import start_daemon, start_server
from qlight.errors import InputError
from qlight.hardware.build import Build, load_build, write_build
from qlight.hardware.folders import MANIFEST
from qlight.hardware.graphs import load_graph

#: that a piece may take in the simulated RTL: tens of images a second, or few on a busy machine
_RTL_SECONDS = "300"


def main(args: Sequence[str]) -> int:
    """Run an emulated board until it is interrupted; the exit status.

    Raises:
        InputError: an option is wrong.
        HardwareError: pynq's environment cannot be made, or a process does not start or ends by itself.
    """
    parser = argparse.ArgumentParser(
        prog="python -m qlight board emulate",
        description="A board without a board: an emulated DMA and accelerator, the daemon of PYNQ.remote before them, and a board server "
        "that reaches it through the unmodified pynq package (installed once into an environment of its own, about a minute).",
        epilog="faults: " + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items()),
    )
    parser.add_argument("--graph", required=True, metavar="DIR", help="what `export` wrote: a graph, or a build (--format rtl)")
    parser.add_argument("--engine", default="packed", help=f"what computes: {' or '.join(ENGINES)} (the simulated RTL; slow)")
    parser.add_argument("--port", type=int, default=0, help="of the board server (default: the system chooses)")
    parser.add_argument("--no_server", action="store_true", help="the daemon only, for programs of your own on pynq")
    parser.add_argument("--fault", action="append", default=[], metavar="KIND@IMAGE:SECONDS", help="let something fail; several times")
    given = parser.parse_args(args)
    for fault in given.fault:
        Fault.parse(fault)
    if given.engine not in ENGINES:
        raise InputError(f"Expected `engine` to be one of {', '.join(ENGINES)}, but got {given.engine!r}.")
    if not 0 <= given.port <= 65535:
        raise InputError(f"Expected `port` from 0 to 65535, but got {given.port}; 0 lets the system choose.")
    with tempfile.TemporaryDirectory(prefix="qlight-board-") as name:
        folder = Path(name)
        build = _build(given.graph, folder / "build")
        overlay = write_overlay(build)
        with start_daemon([build.folder], folder / "daemon.log", given.engine, faults=given.fault) as daemon:
            host = daemon.says.rpartition(":")[0]
            print(f"emulated board at {daemon.says} ({given.engine}), overlay {overlay.bitstream}")
            print(f"  for pynq: PYNQ_REMOTE_DEVICES={host}, in the environment of `python -m qlight.board.environment`", flush=True)
            if given.no_server:
                _wait([daemon.process.wait])
                return 0
            patience = ["--device_seconds", _RTL_SECONDS] if given.engine == "rtl" else []
            with start_server(build.folder, daemon.says, folder / "server.log", given.port, patience) as server:
                print(f"board server: --target board://{server.says}", flush=True)
                _wait([daemon.process.wait, server.process.wait])
    return 0


def _wait(waits: Sequence[object]) -> None:
    """Until one of the processes ends, or the user interrupts; SIGTERM is what a script sends, as its shell lets it ignore SIGINT."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for wait in waits:
        threading.Thread(target=lambda wait=wait: (wait(), ended.set()), daemon=True).start()
    try:
        ended.wait()
        print("a process of the board has ended")
    except KeyboardInterrupt:
        print("\nthe board is switched off")


def _build(given: str, folder: Path) -> Build:
    """The build folder that is given, or one of the graph that is given."""
    path = Path(given).expanduser()
    return load_build(path) if (path / MANIFEST).is_file() else write_build(load_graph(path), folder)
