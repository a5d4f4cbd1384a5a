"""A server without hardware: the packed CPU engine behind the wire."""

from __future__ import annotations

from pathlib import Path

from qlight.board.accelerator import Accelerator
from qlight.board.engine import EngineAccelerator
from qlight.board.messages import FILES
from qlight.board.server import BoardServer
from qlight.board.settings import Settings
from qlight.engines.packed import PackedEngine
from qlight.hardware.graphs import graph_folder, load_graph


def open_engine(folder: str | Path, settings: Settings) -> BoardServer:
    """A server of the graph in a folder, or in a build folder.

    Raises:
        InputError: there is none, or the settings do not do.
    """
    folder = graph_folder(folder)
    graph = load_graph(folder)

    def open_accelerator() -> Accelerator:
        height, width, channels = graph.input.shape
        engine = PackedEngine(graph)
        return EngineAccelerator(
            engine,
            (height, width, channels),
            graph.output.shape[0],
            graph.content_hash,
            description="packed CPU engine in the server's process, no hardware",
        )

    return BoardServer(open_accelerator, settings, files={name: folder / name for name in FILES})
