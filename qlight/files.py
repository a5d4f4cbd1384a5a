"""Files that are either whole or not there, and the user's cache folder, where what can be made again is kept."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from qlight.errors import InputError


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing); it becomes `path` when the block ends, and goes where the block fails.

    Raises:
        InputError: the folder cannot be made or written, or `path` is a folder.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "new" / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     (Path(folder) / "new" / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected `path` to be a file to write, but {str(path)!r} is a folder; give a file name in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last: matplotlib chooses the format by it. Not mkstemp, whose files are private: to undo that takes the umask,
        # which is read by setting it, for all threads.
        part = path.parent / f".{path.stem}.{secrets.token_hex(8)}{path.suffix}"
        part.touch(exist_ok=False)
    except OSError as error:
        raise InputError(
            f"Expected a folder that can be written for `{path.name}`, but {str(path.parent)!r} cannot ({error.strerror}); choose another."
        ) from error
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/qlight`` or ``~/.cache/qlight``, made if missing; where there is no home folder, or it cannot be written, one
    that goes with this process."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qlight"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    return Path(_own_folder().name)


@functools.cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="qlight-")
