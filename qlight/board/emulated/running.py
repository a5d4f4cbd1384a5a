"""An emulated board in processes of its own: the daemon, and a board server that reaches it through the unmodified pynq."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from qlight.board.environment import pynq_command
from qlight.engines import native_rtlsim
from qlight.errors import HardwareError

#: of the daemon: the client of pynq asks no other
DAEMON_PORT = 7967
_START_SECONDS, _STOP_SECONDS = 120.0, 10.0


class Process:
    """A program in pynq's environment that says on a line of its own when it is ready, and ends when this process does.

    Args:
        module, arguments: what runs: ``python -m module arguments``; it ends when its standard input does.
        ready: what that line begins with.
        log: file that its output goes to.

    Attributes:
        says: the rest of that line.

    Raises:
        HardwareError: it ends before it is ready; the message has its last words.
    """

    def __init__(self, module: str, arguments: Sequence[str], ready: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        command, variables = pynq_command(module, *arguments, environment=environment)
        self.says, self._log = "", log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._file, start_new_session=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.says = self._heard(ready)
        except HardwareError:
            self.stop()
            raise

    def ask(self, line: str) -> str:
        """Write a line to it; the line that it answers.

        Raises:
            HardwareError: it ends instead.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self._heard("")

    def stop(self) -> None:
        """Ask it to end, and end it where it does not."""
        self._release()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()
        self._release()

    def words(self) -> str:
        """What it wrote to its log."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _heard(self, beginning: str) -> str:
        """The rest of the next line that begins so."""
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                words = self.words().strip().splitlines()
                raise HardwareError(f"{self.process.args[2]} ends, or says nothing: {words[-1] if words else 'not why'}")  # type: ignore[index]
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self._file.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.decode(errors="replace").strip())
        self._lines.put(None)  # it ended


def free_host() -> str:
    """A loopback address at which no daemon listens: every board of a machine has one of its own.

    Raises:
        HardwareError: this system has one loopback address only, and it is taken.
    """
    picked = random.Random(os.getpid() ^ time.time_ns())
    for host in (*(f"127.{picked.randrange(1, 255)}.{picked.randrange(256)}.{picked.randrange(1, 255)}" for _ in range(20)), "127.0.0.1"):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, DAEMON_PORT))
            return host
    raise HardwareError(f"Port {DAEMON_PORT}, at which a PYNQ.remote daemon is asked, is taken on every loopback address.")


def start_daemon(builds: Sequence[Path], log: Path, engine: str = "packed", host: str | None = None, faults: Sequence[str] = ()) -> Process:
    """A daemon of an emulated board; `says` is host:port.

    Raises:
        HardwareError: the environment cannot be made, the daemon does not start, or verilator is missing where `engine` is rtl.
    """
    try:
        root = {"VERILATOR_ROOT": str(native_rtlsim.find_verilator().root)} if engine == "rtl" else {}
    except HardwareError as error:
        raise HardwareError(f"{error} Or let the packed engine compute: --engine packed.") from error
    arguments = [f"--build={build}" for build in builds] + [f"--fault={fault}" for fault in faults]
    arguments += ["--host", host or free_host(), "--engine", engine, "--commands"]
    return Process("qlight.board.emulated.daemon", arguments, "ready", log, root)


def start_server(overlay: Path, daemon: str, log: Path, port: int = 0, options: Sequence[str] = ()) -> Process:
    """A board server on pynq before a daemon (host:port); `says` is its own host:port.

    Raises:
        HardwareError: it does not start.
    """
    arguments = ["qlight.board", "serve", "--overlay", str(overlay), "--remote", daemon.rpartition(":")[0], "--port", str(port), *options]
    return Process("qlight.board.emulated.tied", arguments, "listening on", log)
