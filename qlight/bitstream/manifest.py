"""Manifests of overlays: one a folder of bitstreams/, which says what the overlay is and whether it was ever built or loaded.

Fields are those of `Manifest`. What only a build can know is null until there is one, so that nothing is claimed that is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qlight.bitstream.bitfile import check_bitfile
from qlight.bitstream.handoff import check_handoff
from qlight.errors import InputError
from qlight.hardware.boards import load_board
from qlight.hardware.folders import MANIFEST, sha256

FORMAT, VERSION = "qlight-bitstream", 1
PLANNED, BUILT, LOADED = STATES = ("planned", "built", "loaded")
LOADING = ("run-time", "fixed")
#: what pynq or a board would take for an overlay: none may lie there without a manifest that names it
SUFFIXES = (".bit", ".bin", ".hwh", ".xsa", ".dtbo")
#: null until it is built
_OF_BUILDS = ("flow", "built_by", "tool", "geometry_hash", "graph_hash", "folding", "clock_mhz", "timing", "resources")
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Manifest:
    """What is known of an overlay.

    Attributes:
        name: of its folder.
        board, part: as the board's file has them.
        network: what it runs, in words.
        loading: "run-time": networks of its geometry hash can be loaded; "fixed": it runs that of its graph hash.
        state: "planned": there are no files; "built": they are there, no board has loaded them; "loaded": one has.
        flow, built_by, tool: "vivado" or "openxc7", the command, and the tools with their versions.
        geometry_hash, graph_hash: 64 hexadecimal digits.
        folding: as in the manifest of the build folder.
        clock_mhz, timing, resources: what the tool reports: frequency; slacks in ns and whether they are met; used and available by kind.
        files: SHA-256 by name: a .bit and a .hwh.
        loaded_on: of "loaded": which board, when, and what was run on it.
    """

    name: str
    board: str
    part: str
    network: str
    loading: str
    state: str
    flow: str | None
    built_by: str | None
    tool: str | None
    geometry_hash: str | None
    graph_hash: str | None
    folding: Mapping[str, Any] | None
    clock_mhz: float | None
    timing: Mapping[str, Any] | None
    resources: Mapping[str, Any] | None
    files: Mapping[str, str]
    loaded_on: str | None = None

    def text(self) -> str:
        """The text of its file."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1) + "\n"

    def line(self) -> str:
        """One line for people."""
        if self.state == PLANNED:
            return f"{self.name}: {self.board}, {self.network}: planned, not built, never loaded on a board"
        met = "timing met" if (self.timing or {}).get("met") else "timing NOT met"
        where = f"loaded: {self.loaded_on}" if self.state == LOADED else "never loaded on a board"
        return f"{self.name}: {self.board}, {self.network}: built by {self.tool}, {self.clock_mhz:g} MHz, {met}; {where}"


def read_manifests(folder: str | Path) -> list[Manifest]:
    """The manifests of a registry, by name.

    Raises:
        InputError: there is no such folder, or a manifest is damaged or contradicts itself.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"Expected `folder` to be a registry of bitstreams, but {str(folder)!r} is no folder; name it with --folder.")
    return [read_manifest(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}")) if not path.parent.name.startswith(".")]


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of one overlay, without a look at its files.

    Raises:
        InputError: there is none, it is damaged, or it contradicts itself.
    """
    path = Path(folder).expanduser() / MANIFEST
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        held = json.loads(path.read_text(encoding="ascii"))
        if not isinstance(held, dict) or held.pop("format", None) != FORMAT or held.pop("version", None) != VERSION:
            raise ValueError(f"it is not of format {FORMAT} version {VERSION}")
        names = {field.name for field in fields(Manifest)}
        if set(held) != names:
            raise ValueError(f"`{min(set(held) ^ names)}` is missing or not known")
        manifest = Manifest(**held)
        _check(manifest, path.parent.name)
    except OSError as error:
        raise InputError(f"Expected {str(path)!r} to be the manifest of an overlay, but it cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected {str(path)!r} to be the manifest of an overlay, but {error}; see bitstreams/README.md.") from error
    return manifest


def _check(manifest: Manifest, folder: str) -> None:
    """Types, and what the state allows.

    Raises:
        ValueError: something is wrong.
    """
    for name in ("name", "board", "part", "network"):
        if not isinstance(getattr(manifest, name), str) or not getattr(manifest, name):
            raise ValueError(f"`{name}` is no text")
    if manifest.name != folder:
        raise ValueError(f"it is of {manifest.name!r}, and its folder is {folder!r}")
    for name, known in (("state", STATES), ("loading", LOADING)):
        if getattr(manifest, name) not in known:
            raise ValueError(f"`{name}` is none of {', '.join(known)}")
    files = manifest.files
    if not isinstance(files, dict) or any(not _is_hash(stated) or name != Path(name).name for name, stated in files.items()):
        raise ValueError("`files` does not hold checksums by name")
    if (manifest.state == LOADED) != isinstance(manifest.loaded_on, str):
        raise ValueError(f"`loaded_on` does not fit the state {manifest.state}")
    if manifest.state == PLANNED:
        stated = [name for name in _OF_BUILDS if getattr(manifest, name) is not None] + ["files"] * bool(files)
        if stated:
            raise ValueError(f"it states `{stated[0]}` of an overlay that is only planned")
        return
    kinds = dict.fromkeys(("flow", "built_by", "tool"), str) | dict.fromkeys(("folding", "timing", "resources"), dict)
    for name, kind in kinds.items():
        if not isinstance(getattr(manifest, name), kind) or not getattr(manifest, name):
            raise ValueError(f"`{name}` is missing, though it is built")
    if type(manifest.clock_mhz) not in (int, float):
        raise ValueError("`clock_mhz` is no number")
    if not _is_hash(manifest.geometry_hash) or not _is_hash(manifest.graph_hash):
        raise ValueError("`geometry_hash` or `graph_hash` is no hash")
    if sorted(Path(name).suffix for name in files) != [".bit", ".hwh"] or len({Path(name).stem for name in files}) != 1:
        raise ValueError("`files` are not a .bit and a .hwh of one name")


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


def verify(folder: str | Path, name: str | None = None) -> list[Manifest]:
    """Check a registry: manifests, checksums, the bitstreams themselves, the handoff files, and that nothing else is taken for an overlay.

    Args:
        name: of one overlay; None: all.

    Returns:
        Those that were checked.

    Raises:
        InputError: the first thing that is wrong.
    """
    folder = Path(folder).expanduser()
    manifests = read_manifests(folder)
    if name is not None and name not in {each.name for each in manifests}:
        known = ", ".join(each.name for each in manifests) or "none"
        raise InputError(f"Expected `name` to be an overlay of {str(folder)!r} ({known}), but got {name!r}; see `bitstream list`.")
    named = {folder / each.name / file for each in manifests for file in each.files}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path not in named:
            raise InputError(f"Expected manifests to name every file of an overlay, but none names {str(path)!r}; delete it or build it.")
    chosen = [each for each in manifests if name in (None, each.name)]
    for each in chosen:
        verify_files(folder / each.name, each)
    return chosen


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check the files of one overlay against its manifest and its board.

    Raises:
        InputError: the first thing that is wrong.
    """
    board = load_board(manifest.board)
    if board.part != manifest.part:
        raise InputError(f"Expected the part of {manifest.name} to be that of {board.name}, {board.part}, but got {manifest.part}.")
    for name, stated in manifest.files.items():
        path = folder / name
        try:
            found = sha256(path.read_bytes())
        except OSError as error:
            raise InputError(f"Expected the overlay {manifest.name} to hold {name}, but it cannot be read ({error.strerror}).") from error
        if found != stated:
            raise InputError(f"Expected {str(path)!r} to have the checksum in its manifest, but it is changed or cut off; build it again.")
        if path.suffix == ".bit":
            check_bitfile(path, board.part, board.family)
        else:
            check_handoff(path, board)
