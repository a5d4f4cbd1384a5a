"""``python -m qlight.board.emulated.tied MODULE ARGUMENTS``: run a module until it ends, or whoever started it does.

The end of the standard input says so: it comes however the other process ended, and nothing is left running.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_watch, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
