"""An accelerator behind a board server, as a target that attacks query."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import numpy as np

from qlight.board.client import BoardClient
from qlight.board.link import BoardError
from qlight.board.messages import FILES
from qlight.errors import HardwareError, InputError
from qlight.hardware.graphs import load_graph
from qlight.intgraph import Graph, execute
from qlight.targets.eight_bit import CACHE_BYTES, PixelTarget

#: seconds from a batch's first sending to its answer, where nothing else is said
DEADLINE = 60.0


class BoardTarget(PixelTarget):
    """A board, real or emulated, by the address of its server.

    The graph, which says what accumulators are worth, is the one in `graph`, or is fetched from the server; either way the board must state
    its content hash. Then random images must get the accumulators of the reference executor: a board that runs something else is refused.

    Args:
        address: ``board://host:port``; ``?graph=FOLDER&deadline=SECONDS`` after it, or one of the two, in place of these arguments.
        graph: the graph, or a folder of it or of its build; None: what the server offers.
        deadline: seconds from a batch's first sending to its answer, through restarts of the server; None: 60.
        batch: the most images in a frame.
        check: random images that are compared with the reference executor at the start; 0: none.
        token, tls: see `BoardClient`.
        budget, cache_bytes: see `PixelTarget`.

    Raises:
        InputError: an argument is wrong, or the board runs another graph.
        HardwareError: nobody answers there, or the answers to the check are wrong.
    """

    kind = "board"

    def __init__(
        self,
        address: str,
        graph: Graph | str | Path | None = None,
        *,
        deadline: float | None = None,
        batch: int = 512,
        check: int = 2,
        token: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        budget: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        place = _split(address)
        for name, argument, given in (("graph", graph, place.graph), ("deadline", deadline, place.deadline)):
            if argument is not None and given is not None:
                raise InputError(f"Expected the {name} of a board once, but got `{name}` and {address!r}; leave one out.")
        deadline = place.deadline if deadline is None else deadline
        held = graph if isinstance(graph, Graph) else None
        if held is None and (place.graph or graph) is not None:
            held = load_graph(place.graph or str(graph))
        client = BoardClient(
            place.address,
            token=token,
            tls=tls,
            graph_hash=None if held is None else held.content_hash,
            deadline=DEADLINE if deadline is None else deadline,
            batch=batch,
        )
        super().__init__(_fetched(client) if held is None else held, client.query, budget=budget, cache_bytes=cache_bytes)
        self.client = client
        self._check(check)

    @property
    def metadata(self) -> dict[str, str]:
        """Where the graph says that it came from, and what ran it."""
        welcome = self.client.welcome
        return {**super().metadata, "board": welcome.description, "bitstream_sha256": welcome.bitstream_hash}

    def timing(self) -> dict[str, float]:
        """How long queries took since the start, as sums (`qlight.board.traffic.Traffic.sums`)."""
        return self.client.traffic.sums()

    def _check(self, images: int) -> None:
        if images < 1:
            return
        pixels = np.random.default_rng(1).integers(0, 256, (images, *self.graph.input.shape), np.uint8)
        wrong = (self.client.query(pixels) != execute(self.graph, pixels)).any(1).sum()
        if wrong:
            raise HardwareError(
                f"The board at {self.client.address} gives {wrong} of {images} random images other accumulators than the reference "
                "executor does, though it states the hash of this graph; its bitstream or its parameters are wrong."
            )


class _Place(NamedTuple):
    """An address without what follows its question mark, and the values of that."""

    address: str
    graph: str | None = None
    deadline: float | None = None


def _split(text: str) -> _Place:
    """``board://HOST:PORT``, ``?graph=FOLDER`` and ``?deadline=SECONDS``, joined by & where both are given."""
    address, mark, options = (text if "://" in text else f"board://{text}").partition("?")
    held = parse_qs(options, keep_blank_values=True)
    try:
        values = {name: value for name, (value,) in held.items() if value}  # one of each
        if values.keys() != held.keys() or not values.keys() <= {"graph", "deadline"} or bool(mark) != bool(values):
            raise ValueError
        return _Place(address, values.get("graph"), float(values["deadline"]) if "deadline" in values else None)
    except ValueError:
        raise InputError(
            "Expected board://HOST:PORT or board://HOST:PORT?graph=FOLDER&deadline=SECONDS, of which one may be left out, but got "
            f"{text!r}; correct what follows the ?."
        ) from None


def _fetched(client: BoardClient) -> Graph:
    """The graph that the server offers."""
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            (Path(folder) / name).write_bytes(client.file(name))
        try:
            graph = Graph.load(folder)
        except InputError as error:
            raise BoardError(f"The graph that the board at {client.address} offers is damaged: {error}") from error
    if graph.content_hash != client.welcome.graph_hash:
        raise BoardError(
            f"The board at {client.address} offers the graph {graph.content_hash[:16]}, but runs {client.welcome.graph_hash[:16]}; "
            "its folder was changed."
        )
    return graph
