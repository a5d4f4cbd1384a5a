"""Build folders: written whole or not at all, with the checksum of every file in a manifest, and refused where one is not what it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qlight.errors import InputError

MANIFEST = "manifest.json"
#: what `export --format` calls each kind of build, by its manifest's format
KINDS = {"qlight-build": "rtl", "qlight-hls-build": "hls"}
VERSION = 1
_MOST_MANIFEST_BYTES = 2**20


def sha256(content: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def hash_of(texts: Mapping[str, str]) -> str:
    """64 hexadecimal digits that stand for texts and their names."""
    return sha256("\0".join(f"{name}\0{sha256(texts[name].encode())}" for name in sorted(texts)).encode())


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a folder that is complete, with the checksums of all its files as ``files``, which ``manifest`` gets too."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest["files"] = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in paths}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="ascii")


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a build folder, after a look at every file that it names.

    Args:
        kind: what `export --format` calls it, of `KINDS`.

    Raises:
        InputError: there is no build, it is of another kind, or a file is missing or damaged, which the message names.
    """
    path = folder / MANIFEST
    if not path.is_file():
        what = "is a file" if folder.is_file() else f"holds no {MANIFEST}" if folder.is_dir() else "is not there"
        raise InputError(
            f"Expected `folder` to be a build folder, but {str(folder)!r} {what}; "
            f"`python -m qlight export --format {kind} --ckpt_path CKPT --out FOLDER` writes one."
        )
    manifest = _read(path, kind)
    for name, stated in manifest["files"].items():
        _check_file(folder, name, stated)
    return manifest


def _read(path: Path, kind: str) -> dict[str, Any]:
    """The manifest, with the fields that all kinds have of the right types."""
    wanted = {"graph_hash": str, "geometry_hash": str, "folding": dict, "files": dict}
    format_ = next(each for each, name in KINDS.items() if name == kind)
    try:
        if path.stat().st_size > _MOST_MANIFEST_BYTES:
            raise ValueError("it is too large")
        manifest = json.loads(path.read_text(encoding="ascii"))
        found = manifest.get("format") if isinstance(manifest, dict) else None
        if found != format_ and found in KINDS:
            raise InputError(
                f"Expected {str(path.parent)!r} to be a build of --format {kind}, but it is one of --format {KINDS[found]}; export another."
            )
        if found != format_ or manifest.get("version") != VERSION:
            raise ValueError(f"it is not of format {format_} version {VERSION}")
        for name, type_ in wanted.items():
            if not isinstance(manifest.get(name), type_):
                raise ValueError(f"`{name}` is missing")
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Expected {str(path)!r} to be the manifest of a build, but it is damaged ({error}); export it again.") from error
    return manifest


def _check_file(folder: Path, name: Any, stated: Any) -> None:
    path = folder / str(name)
    if Path(str(name)).is_absolute() or ".." in Path(str(name)).parts:
        raise InputError(f"Expected the manifest of {str(folder)!r} to name files in it, but got {name!r}; export it again.")
    try:
        found = sha256(path.read_bytes())
    except OSError as error:
        raise InputError(f"Expected the build {str(folder)!r} to hold {name}, but it cannot be read ({error.strerror}).") from error
    if found != stated:
        raise InputError(
            f"Expected {name} of the build {str(folder)!r} to have the checksum in its manifest, but it is changed or cut off "
            f"({path.stat().st_size} bytes); export it again."
        )


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when the block ends, and goes where it fails.

    Raises:
        InputError: ``folder`` holds something else than a build, or cannot be written.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"Expected `folder` to be new, empty or a build, but {str(folder)!r} holds something else; choose another.")
    part = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = folder.parent / f".{folder.name}.{secrets.token_hex(8)}"
        made.mkdir()  # not by mkdtemp, whose folders are private
        part = made
        yield part
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
            folder.replace(old)
            part.replace(folder)
            shutil.rmtree(old)
        else:
            part.replace(folder)
    except OSError as error:
        raise InputError(
            f"Expected `folder` to be a folder that can be written, but {str(folder)!r} cannot ({error.strerror}); choose another."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
