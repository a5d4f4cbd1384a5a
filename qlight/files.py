"""Files that are either whole or not there, and the user's cache folder, where what can be made again is kept."""

from __future__ import annotations

import contextlib
import functools
import os
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
        # The suffix stays last: matplotlib chooses the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    except OSError as error:
        raise InputError(
            f"Expected a folder that can be written for `{path.name}`, but {str(path.parent)!r} cannot ({error.strerror}); choose another."
        ) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)  # mkstemp makes files private; these are as readable as any other file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/qlight`` or ``~/.cache/qlight``, which need not be there.

    Raises:
        RuntimeError: this user has no home folder.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qlight"


def cache_folder() -> Path:
    """`user_cache`, made if missing; where it cannot be written, a folder of this process."""
    try:
        folder = user_cache()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    return Path(_own_folder().name)


@functools.cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="qlight-")
