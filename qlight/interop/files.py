"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from qlight.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to a temporary file beside ``path``, then rename it.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            mask = os.umask(0)
            os.umask(mask)
            part.chmod(0o666 & ~mask)  # mkstemp makes files private
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"Expected `path` to be a file that can be written, but {str(path)!r} cannot ({error.strerror}); choose another."
        ) from error
