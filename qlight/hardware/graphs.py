"""The integer graph of a folder that a person named: a graph's own folder, or a build folder, which holds one."""

from __future__ import annotations

from pathlib import Path

from qlight.errors import InputError
from qlight.intgraph import Graph
from qlight.intgraph.files import GRAPH_FILE

#: where a build folder keeps its graph
GRAPH = "graph"


def graph_folder(folder: str | Path) -> Path:
    """Where in ``folder`` the graph lies: there itself, or where a build folder keeps it."""
    folder = Path(folder).expanduser()
    return folder / GRAPH if (folder / GRAPH / GRAPH_FILE).is_file() else folder


def load_graph(folder: str | Path, argument: str = "graph") -> Graph:
    """The integer graph of a folder.

    Args:
        argument: what the message calls the folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    place = graph_folder(folder)
    if not (place / GRAPH_FILE).is_file():
        what = "is a file" if place.is_file() else f"holds no {GRAPH_FILE}" if place.is_dir() else "is not there"
        raise InputError(
            f"Expected `{argument}` to name the folder of a graph, but {str(place)!r} {what}; "
            "`python -m qlight export --ckpt_path CKPT --out FOLDER` writes one."
        )
    try:
        return Graph.load(place)
    except InputError as error:
        raise InputError(
            f"Expected `{argument}` to name the folder of a graph, but the one in {str(place)!r} is damaged: {error}"
        ) from error
