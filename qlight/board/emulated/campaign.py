"""``python -m qlight.board.emulated.campaign --runs 210``: faults of every kind at random moments of runs through the whole chain.

A run queries 2,000 random images: client, wire, board server, unmodified pynq, gRPC, DMA, accelerator. A fault comes at a random image,
some longer than the client waits. Then every answer must be that of the reference executor, or an error must come by the deadline.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qlight.board.client import BoardClient
from qlight.board.emulated.design import write_overlay
from qlight.board.emulated.faults import KINDS
from qlight.board.emulated.running import Process, start_daemon, start_server
from qlight.board.emulated.wire import WIRE_KINDS, Wire
from qlight.board.link import BoardError, parse_address
from qlight.errors import InputError
from qlight.hardware.build import Build, write_build
from qlight.intgraph import Graph, GraphBuilder, execute

SERVER_CRASH, CORRUPT = "server_crash", "corrupt_output"
ALL_KINDS = (*KINDS, *WIRE_KINDS, SERVER_CRASH)
#: those that end by themselves after some seconds; long ones outlast the client
LASTING = ("delay", "hang", "crash", "full_disk", "out_of_memory")
#: seconds: a client's deadline in usual runs, in runs whose fault outlasts it, such a fault, and until a board is itself again
_DEADLINE, _SHORT_DEADLINE, _LONG_FAULT, _RECOVERY = 40.0, 4.0, 8.0, 60.0
#: seconds that the part of a run before its fault may take, and that an error may arrive after its deadline
_USUAL, _GRACE = 5.0, 1.0
_DEVICE_SECONDS = 1.5
#: of `network`: parameters on chip in one layer, from DRAM in the others
FOLDING = {
    "conv": (4, 6),
    "dense": {"pe": 1, "simd": 4, "weights": "streamed"},
    "output": {"pe": 1, "simd": 4, "weights": "streamed", "port_bits": 32},
}


@dataclass(frozen=True)
class Run:
    """One run: its fault, and how it ended.

    Attributes:
        outcome: right, refused (an error by the deadline), or what must not be: wrong, late, no fault.
        message: of the error.
        seconds: that it took.
    """

    kind: str
    image: int
    fault_seconds: float
    outcome: str
    message: str
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled or wrong."""
        return self.outcome == "right" or (self.outcome == "refused" and bool(self.message))


class Chain:
    """Everything from the client's wire to the accelerator, for the runs of a campaign.

    Args:
        build: of the network.
        folder: for logs.
        verify: let the server run everything twice: nothing else shows that an answer was changed on its way through the DMA.
    """

    def __init__(self, build: Build, folder: Path, seed: int = 0, verify: bool = False) -> None:
        self.build, self.folder, self.verify = build, folder, verify
        write_overlay(build)
        self.random = random.Random(seed)
        self.daemon = start_daemon([build.folder], folder / "daemon.log")
        try:
            self.server = self._server(0)
        except BaseException:
            self.daemon.stop()
            raise
        self.port = parse_address(self.server.says).port
        self.wire = Wire(("127.0.0.1", self.port), seed)

    def close(self) -> None:
        """End all processes."""
        self.wire.close()
        self.server.stop()
        self.daemon.stop()

    def run(self, kind: str, images: int = 2000, batch: int = 100, long: bool = False) -> Run:
        """Query random images while a fault comes.

        Args:
            long: let the fault outlast the client.
        """
        graph, at = self.build.graph, self.random.randrange(images)
        seconds = _LONG_FAULT if long else round(self.random.uniform(0.05, 1.0), 3)
        pixels = np.random.default_rng(self.random.getrandbits(32)).integers(0, 256, (images, *graph.input.shape)).astype(np.uint8)
        due = execute(graph, pixels)
        deadline = _SHORT_DEADLINE if long else _DEADLINE
        outcome, message = "right", ""
        with BoardClient(self.wire.address, batch=batch, deadline=deadline, graph_hash=graph.content_hash) as client:
            self._arm(kind, at, seconds, at * pixels[0].size)
            start = time.monotonic()
            try:
                outcome = "right" if np.array_equal(client.query(pixels), due) else "wrong"
            except BoardError as error:
                outcome, message = "refused", str(error)
            taken = time.monotonic() - start
        if taken > _USUAL + deadline + _GRACE:
            outcome = "late"
        elif outcome == "right" and self._armed(kind):
            outcome = "no fault"
        self._recover()
        return Run(kind, at, seconds, outcome, message, round(taken, 3))

    def _arm(self, kind: str, image: int, seconds: float, byte: int) -> None:
        if kind in KINDS:
            self.daemon.ask(f"{kind}@{image}:{seconds}")
        elif kind in WIRE_KINDS:
            self.wire.arm(kind, byte)
        else:
            self.wire.call(self._crash_server, byte)

    def _armed(self, kind: str) -> bool:
        """Whether the fault has not come."""
        return self.daemon.ask("?") != "armed 0" if kind in KINDS else self.wire.waiting

    def _recover(self) -> None:
        """See that the board answers again.

        Raises:
            BoardError: it does not within a minute.
        """
        pixels = np.zeros((1, *self.build.graph.input.shape), np.uint8)
        until = time.monotonic() + _RECOVERY
        while True:
            try:
                with BoardClient(self.wire.address, deadline=_RECOVERY) as client:
                    assert np.array_equal(client.query(pixels), execute(self.build.graph, pixels)), "the board came back with other answers"
                    return
            except BoardError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _crash_server(self) -> None:
        """The server's process ends as by a crash; a supervisor starts another."""
        self.server.kill()
        self.server = self._server(self.port)

    def _server(self, port: int) -> Process:
        options = ["--device_seconds", str(_DEVICE_SECONDS), *(["--verify"] if self.verify else [])]
        return start_server(self.build.folder, self.daemon.says, self.folder / "server.log", port, options)


def network(seed: int = 0) -> Graph:
    """A w1a1 network of 8 x 8 pixels, 4 channels and 5 classes with random weights."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((8, 8, 4))
    builder.conv2d("conv", rng.integers(-128, 128, (8, 3, 3, 4)).astype(np.int8), bits=8, encoding="signed", padding=(1, 1, 1, 1))
    _signs(rng, builder, "act", 1e5)
    builder.max_pool("pool")
    builder.flatten("flat")
    builder.linear("dense", rng.integers(0, 2, (16, builder.operand.type.channels)).astype(np.uint8), bits=1, encoding="odd")
    _signs(rng, builder, "denseact", 8)
    builder.linear("output", rng.integers(-128, 128, (5, 16)).astype(np.int8), bits=8, encoding="signed")
    return builder.build(np.ones(5), np.zeros(5))


def _signs(rng: np.random.Generator, builder: GraphBuilder, name: str, spread: float) -> None:
    """A threshold a channel."""
    channels = builder.operand.type.channels
    levels = rng.normal(0, spread, (channels, 1)).round().clip(builder.operand.low, builder.operand.high).astype(np.int32)
    builder.threshold(name, levels, rng.choice([-1, 1], channels).astype(np.int8), bits=1, encoding="bipolar")


def campaign(runs: int, images: int = 2000, seed: int = 0, out: Path | None = None) -> list[Run]:
    """Runs with every kind of fault in turn, every sixth of a lasting kind with one that outlasts the client; prints what happens.

    Args:
        out: a file that gets a line of JSON a run.
    """
    found: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="qlight-faults-") as name, contextlib.ExitStack() as stack:
        build = write_build(network(), Path(name) / "build", FOLDING)
        chains = {}
        for verify in (False, True):
            folder = Path(name) / f"verify_{verify}"
            folder.mkdir()
            chains[verify] = Chain(build, folder, seed, verify)
            stack.callback(chains[verify].close)
        for number, kind in zip(range(runs), itertools.cycle(ALL_KINDS), strict=False):
            long = kind in LASTING and number // len(ALL_KINDS) % 3 == 2
            run = chains[kind == CORRUPT].run(kind, images, long=long)
            found.append(run)
            print(f"{number + 1:4d} {run.kind:<16} at image {run.image:5d}: {run.outcome} in {run.seconds:.2f} s {run.message}", flush=True)
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Run a campaign; 0 where every run was good."""
    parser = argparse.ArgumentParser(prog="python -m qlight.board.emulated.campaign", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--runs", type=int, default=210)
    parser.add_argument("--images", type=int, default=2000, help="of a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of a line of JSON a run")
    given = parser.parse_args(args)
    if given.runs < 1 or given.images < 1:
        raise InputError(f"Expected `runs` and `images` from 1, but got {given.runs} and {given.images}.")
    found = campaign(given.runs, given.images, given.seed, given.out)
    for kind in ALL_KINDS:
        outcomes = Counter(run.outcome for run in found if run.kind == kind)
        print(f"{kind:<16} {', '.join(f'{outcome}: {count}' for outcome, count in outcomes.items())}")
    bad = [run for run in found if not run.good]
    print(f"{len(found)} runs of {given.images} images: {len(found) - len(bad)} good, {len(bad)} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
