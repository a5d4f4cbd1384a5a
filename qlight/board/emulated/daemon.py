"""The daemon of PYNQ.remote on an emulated board. Runs where pynq is installed (`qlight.board.environment`).

``python -m qlight.board.emulated.daemon --build FOLDER --host 127.0.0.1``; see ``python -m qlight board emulate``.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qlight.board.emulated.board import Board
from qlight.board.emulated.designs import ENGINES, Make, designs
from qlight.board.emulated.faults import Fault, Faults
from qlight.board.emulated.services import Gate, Mmio, RemoteBuffer, RemoteDevice
from qlight.board.settings import is_loopback
from qlight.hardware.build import load_build

#: where the client asks; it cannot be told another port
PORT = 7967
_WORKERS = 16


class Daemon:
    """A board with a daemon at an address; it can crash and come back.

    Args:
        made: geometry hash -> what makes an accelerator (`qlight.board.emulated.designs`).
        host: a loopback address; boards of one machine take 127.0.0.1, 127.0.0.2, ...

    Raises:
        ImportError: pynq is not installed here.
        OSError: the address is taken.
    """

    def __init__(self, made: Mapping[str, Make], host: str = "127.0.0.1", faults: Faults | None = None) -> None:
        self.made, self.host, self.faults = made, host, faults or Faults()
        self.faults.on_crash = self._suffer
        self._lock = threading.Lock()
        self._grpc: Any = importlib.import_module("grpc")
        self._start(None)

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._stop()

    def _start(self, fault: Fault | None) -> None:
        self.gate, self.board = Gate(self._grpc.StatusCode), Board(self.made, self.faults)
        if fault is not None:
            self.board.suffer(fault)
        self._server = self._grpc.server(ThreadPoolExecutor(_WORKERS), options=[("grpc.so_reuseport", 0)])
        for service in (RemoteDevice, Mmio, RemoteBuffer):
            service(self.board, self.gate).add_to(self._server)
        try:
            self._server.add_insecure_port(f"{self.host}:{PORT}")
        except RuntimeError as error:
            raise OSError(f"{self.host}:{PORT} cannot be bound") from error
        self._server.start()

    def _stop(self) -> None:
        self._server.stop(None).wait(5)
        self.board.power_off()

    def _suffer(self, fault: Fault) -> None:
        """Called by the DMA's thread, which must not wait."""
        if fault.kind == "hang":
            self.gate.until = time.monotonic() + fault.seconds
        elif fault.kind == "wrong_bitstream":
            threading.Thread(target=self.board.suffer, args=(fault,), daemon=True).start()
        else:
            threading.Thread(target=self._restart, args=(fault,), daemon=True).start()

    def _restart(self, fault: Fault) -> None:
        with self._lock:
            self._stop()
            time.sleep(fault.seconds if fault.kind == "crash" else 0.0)
            for attempt in itertools.count():
                try:
                    self._start(fault)
                    return
                except OSError:  # the old server's socket is not closed yet
                    if attempt > 100:
                        raise
                    time.sleep(0.05)


def main() -> None:
    """Run a daemon until it is asked to end."""
    parser = argparse.ArgumentParser(prog="python -m qlight.board.emulated.daemon", description="The daemon of an emulated board.")
    parser.add_argument("--build", required=True, action="append", help="a build folder; several: designs that the fabric can be given")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default 127.0.0.1); the port is 7967")
    parser.add_argument("--engine", default="packed", choices=ENGINES, help="what computes behind the registers")
    parser.add_argument("--fault", action="append", default=[], help="KIND@IMAGE:SECONDS; several times")
    parser.add_argument("--commands", action="store_true", help="read faults from standard input, a line each, and end when it ends")
    arguments = parser.parse_args()
    if not is_loopback(arguments.host):
        parser.error(f"this daemon asks nobody who he is, so --host must be a loopback address, and {arguments.host} is none")
    faults = Faults()
    for text in arguments.fault:
        faults.arm(Fault.parse(text))
    daemon = Daemon(designs([load_build(folder) for folder in arguments.build], arguments.engine), arguments.host, faults)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if arguments.commands:
        threading.Thread(target=_commands, args=(faults, ended), daemon=True).start()
    print(f"ready {arguments.host}:{PORT}", flush=True)
    ended.wait()
    daemon.close()


def _commands(faults: Faults, ended: threading.Event) -> None:
    """Arm what comes, and answer each line with how many faults are armed; `?` asks for that alone."""
    for line in sys.stdin:
        if line.strip() != "?":
            faults.arm(Fault.parse(line.strip()))
        print(f"armed {faults.waiting}", flush=True)
    ended.set()


if __name__ == "__main__":
    main()
