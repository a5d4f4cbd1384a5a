"""``python -m qlight.board``: serve an accelerator, ask a server how it is, time it, make a token."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from qlight.board.accelerator import Accelerator
from qlight.board.client import BoardClient
from qlight.board.deployment import read_deployment
from qlight.board.link import BoardError
from qlight.board.owner import Care
from qlight.board.protocol import DEFAULT_PORT
from qlight.board.security import new_token, read_token, server_tls
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.errors import InputError

#: exit status that asks the supervisor for a restart: the accelerator is in a call that does not return
STUCK_STATUS = 75
#: between looks for a server that starts
_AGAIN_SECONDS = 0.2


def serve(args: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    parser = argparse.ArgumentParser("python -m qlight.board serve", description="Serve the accelerator of this board.")
    parser.add_argument("--overlay", metavar="DIR", help="build folder with a bitstream (.bit and .hwh) in it")
    parser.add_argument("--graph", metavar="DIR", help="load the parameters of this build, of the same geometry, instead")
    parser.add_argument("--remote", metavar="HOST", help="reach the accelerator through the PYNQ.remote daemon there")
    parser.add_argument("--engine", metavar="DIR", help="no hardware: run this graph or build on the packed CPU engine")
    parser.add_argument("--host", default=Settings.host, help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: the system chooses")
    parser.add_argument("--token_file", metavar="FILE", help="secret that clients must know (`python -m qlight.board token FILE`)")
    parser.add_argument("--tls_cert", metavar="PEM", help="certificate of the server")
    parser.add_argument("--tls_key", metavar="PEM", help="its key")
    parser.add_argument("--tls_clients", metavar="PEM", help="who signs the certificates that clients must show")
    parser.add_argument("--clients", type=int, default=Settings.clients, help="at once")
    parser.add_argument("--memory", type=int, default=Settings.memory >> 20, metavar="MIB", help="for frames of all clients together")
    parser.add_argument("--device_seconds", type=float, default=Care.device_seconds, help="that a piece may take on the accelerator")
    parser.add_argument("--verify", action="store_true", help="run everything twice and compare")
    given = parser.parse_args(args)
    if not 0 <= given.port <= 65535 or given.clients < 1 or given.memory < 1 or not 0 < given.device_seconds < 1e6:
        raise InputError("Expected a port from 0 to 65535, and clients, memory and device_seconds above 0; see --help.")
    if bool(given.tls_cert) != bool(given.tls_key) or (given.tls_clients and not given.tls_cert):
        raise InputError("Expected --tls_cert with --tls_key, and --tls_clients with both; give all that belong together.")
    settings = Settings(
        host=given.host,
        port=given.port,
        token=read_token(given.token_file) if given.token_file else b"",
        tls=server_tls(given.tls_cert, given.tls_key, given.tls_clients) if given.tls_cert else None,
        clients=given.clients,
        memory=given.memory << 20,
        care=Care(device_seconds=given.device_seconds, verify=given.verify),
    )
    settings.check()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    return run(_server(given, settings))


def run(server: BoardServer) -> int:
    """Run a server until SIGTERM or SIGINT; 0, or `STUCK_STATUS` where its accelerator does not come back from a call."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    print(f"listening on {server.address}", flush=True)
    while not ended.wait(0.2):
        if server.owner.stuck:
            logging.getLogger("qlight.board").critical("the accelerator does not return from a call; start the server again")
            os._exit(STUCK_STATUS)  # its thread cannot be ended
    server.stop()
    return 0


def _server(given: Any, settings: Settings) -> BoardServer:
    if bool(given.overlay) == bool(given.engine):
        raise InputError("Expected either --overlay DIR or --engine DIR, but got both or none; --overlay is for a board.")
    if given.engine:
        from qlight.board.packed import open_engine

        return open_engine(given.engine, settings)
    overlay = read_deployment(given.overlay)
    network = read_deployment(given.graph) if given.graph else overlay
    if network.geometry_hash != overlay.geometry_hash:
        raise InputError(
            f"Expected `graph` {given.graph!r} to be a build of the geometry {overlay.geometry_hash[:16]}, which the overlay has, but got "
            f"{network.geometry_hash[:16]}; export it with the overlay's folding."
        )
    return BoardServer(_opener(given.overlay, given.remote), settings, parameters=network.parameters, files=network.files)


def _opener(folder: str, remote: str | None) -> Callable[[], Accelerator]:
    def open_accelerator() -> Accelerator:
        from qlight.board.pynq_accelerator import PynqAccelerator

        return PynqAccelerator(folder, remote=remote)

    return open_accelerator


def status(args: Sequence[str]) -> int:
    """Print what a server serves and counted, as JSON."""
    wait = ("--wait", {"type": float, "default": 0.0, "metavar": "SECONDS", "help": "that the server may take to start (default 0)"})
    with _client("status", "Ask a board server how it is.", args, wait)[0] as client:
        print(json.dumps({"serves": client.welcome.__dict__, "status": client.status()}, indent=2))
    return 0


def throughput(args: Sequence[str]) -> int:
    """Print the throughput of random images, by FINN's keys."""
    client, given = _client("throughput", "Time random images on a board.", args, ("--images", {"type": int, "default": 1000}))
    with client:
        for name, value in client.throughput_test(given.images).items():
            print(f"{name:<28} {value:12.3f}")
    return 0


def token(args: Sequence[str]) -> int:
    """Make the file of a token."""
    parser = argparse.ArgumentParser("python -m qlight.board token", description="Make a token that server and clients share.")
    parser.add_argument("file", metavar="FILE", help="a new file that only its owner can read")
    print(f"wrote {new_token(parser.parse_args(args).file)}")
    return 0


def _client(name: str, what: str, args: Sequence[str], *more: tuple[str, dict[str, Any]]) -> tuple[BoardClient, Any]:
    parser = argparse.ArgumentParser(f"python -m qlight.board {name}", description=f"{what} Credentials: see docs/board.md.")
    parser.add_argument("address", metavar="board://HOST:PORT")
    for option, settings in more:
        parser.add_argument(option, **settings)
    given = parser.parse_args(args)
    until = time.monotonic() + getattr(given, "wait", 0.0)
    while True:
        try:
            return BoardClient(given.address), given
        except BoardError:
            if time.monotonic() >= until:
                raise
            time.sleep(_AGAIN_SECONDS)
