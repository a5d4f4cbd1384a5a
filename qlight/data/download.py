"""Turn what goes wrong in a download into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qlight.data.arrays import first_line
from qlight.errors import InputError


@contextmanager
def fetching(name: str, root: Path) -> Iterator[None]:
    """Raise `InputError` where the network, the server, the disk or the checksum fails."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; torchvision reports a wrong checksum as a RuntimeError.
        raise InputError(
            f"Expected `download: true` to fetch {name} into {root}, but got: {first_line(error)}; "
            "check the connection, or put the files there and leave `download` out."
        ) from error
