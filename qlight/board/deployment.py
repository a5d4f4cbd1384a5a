"""What a board needs of a build folder, with numpy alone: the parameter words, and the graph's files that clients fetch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qlight.board.messages import FILES
from qlight.errors import InputError

_MANIFEST, _PARAMETERS, _GRAPH = "manifest.json", "parameters.bin", "graph"
_MOST_MANIFEST = 1 << 20


class Deployment(NamedTuple):
    """A network as a board takes it.

    Attributes:
        graph_hash, geometry_hash: 64 hexadecimal digits.
        words: uint32, the parameter stream.
        files: the graph's files by name.
    """

    graph_hash: str
    geometry_hash: str
    words: np.ndarray[Any, Any]
    files: dict[str, Path]


def read_deployment(folder: str | Path) -> Deployment:
    """Read a build folder, or an overlay folder, which is one with a bitstream.

    Raises:
        InputError: there is none, or what a board needs of it is missing, damaged, or not of its checksum.
    """
    folder = Path(folder).expanduser()
    path = folder / _MANIFEST
    try:
        if path.stat().st_size > _MOST_MANIFEST:
            raise ValueError("it is too large")
        manifest = json.loads(path.read_text(encoding="ascii"))
        graph_hash, geometry_hash = manifest["graph_hash"], manifest["geometry_hash"]
        checksums = manifest["files"]
        if manifest["format"] != "qlight-build" or not all(re.fullmatch("[0-9a-f]{64}", text) for text in (graph_hash, geometry_hash)):
            raise ValueError("it is none of a build")
        contents = {name: _checked(folder, name, checksums) for name in (_PARAMETERS, *(f"{_GRAPH}/{name}" for name in FILES))}
    except OSError as error:
        raise InputError(
            f"Expected {str(folder)!r} to be a build folder (`python -m qlight export --format rtl`), but {Path(error.filename).name} "
            f"cannot be read ({error.strerror}); copy the whole folder."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"Expected {str(path)!r} to be the manifest of a whole build, but it is not ({error}); export it again."
        ) from error
    words = np.frombuffer(contents[_PARAMETERS], "<u4").astype(np.uint32)
    return Deployment(graph_hash, geometry_hash, words, {name: folder / _GRAPH / name for name in FILES})


def _checked(folder: Path, name: str, checksums: dict[str, str]) -> bytes:
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != checksums[name]:
        raise ValueError(f"{name} is changed or cut off")
    return content
