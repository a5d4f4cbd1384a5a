"""What a board needs of a build folder, with numpy alone: parameter words, weights in DRAM, and the graph's files that clients fetch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qlight.board.accelerator import Parameters
from qlight.board.messages import FILES
from qlight.errors import InputError
from qlight.hardware.folders import KINDS

_MANIFEST, _PARAMETERS, _GRAPH = "manifest.json", "parameters.bin", "graph"
_MOST_MANIFEST = 1 << 20


class Deployment(NamedTuple):
    """A network as a board takes it.

    Attributes:
        geometry_hash: 64 hexadecimal digits: of the accelerators that can be loaded with it.
        parameters: what is loaded.
        files: the graph's files by name.
    """

    geometry_hash: str
    parameters: Parameters
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
        if manifest["format"] not in KINDS or not all(re.fullmatch("[0-9a-f]{64}", text) for text in (graph_hash, geometry_hash)):
            raise ValueError("it is none of a build")
        words = np.frombuffer(_checked(folder, _PARAMETERS, checksums), "<u4").astype(np.uint32)
        weights = tuple(_weights(folder, each, checksums) for each in manifest.get("dram", ()))  # in the order of the memory ports
        for name in FILES:
            _checked(folder, f"{_GRAPH}/{name}", checksums)
    except OSError as error:
        raise InputError(
            f"Expected {str(folder)!r} to be a build folder (`python -m qlight export --format rtl`), but {Path(error.filename).name} "
            f"cannot be read ({error.strerror}); copy the whole folder."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"Expected {str(path)!r} to be the manifest of a whole build, but it is not ({error}); export it again."
        ) from error
    return Deployment(geometry_hash, Parameters(words, graph_hash, weights), {name: folder / _GRAPH / name for name in FILES})


def _checked(folder: Path, name: str, checksums: dict[str, str]) -> bytes:
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != checksums[name]:
        raise ValueError(f"{name} is changed or cut off")
    return content


def _weights(folder: Path, entry: dict[str, Any], checksums: dict[str, str]) -> np.ndarray[Any, Any]:
    """What must lie in DRAM for a streamed layer."""
    content = _checked(folder, entry["file"], checksums)
    if len(content) != entry["bytes"]:
        raise ValueError(f"{entry['file']} has {len(content)} bytes in place of {entry['bytes']}")
    return np.frombuffer(content, np.uint8)
