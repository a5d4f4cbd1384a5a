"""Results of tasks on disk: a folder a task, named by its hash, complete when its list of files is there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qlight.errors import InputError
from qlight.files import whole_file

_DONE, _LOCK, _RESULT = "done.json", "lock", "result"


class Store:
    """Where a study keeps its results.

    Args:
        root: is made when the first task runs; several processes and machines may share it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def result(self, digest: str) -> Path:
        """The folder that the task of this hash fills."""
        return self._folder(digest) / _RESULT

    def is_done(self, digest: str) -> bool:
        """Whether the task has run to its end and its files are there, each of its size."""
        done = self._done(digest)
        folder = self.result(digest)
        return done is not None and all(
            (folder / name).is_file() and (folder / name).stat().st_size == size for name, size, _ in done["files"]
        )

    def is_begun(self, digest: str) -> bool:
        """Whether a task has left something."""
        return self._folder(digest).is_dir()

    def seconds(self, digest: str) -> float | None:
        """How long the task computed, interruptions not counted; None where it is not done."""
        done = self._done(digest)
        return None if done is None else done["seconds"]

    def check(self, digest: str) -> None:
        """Read all files of a task that is done.

        Raises:
            InputError: a file is not what the task wrote.
        """
        done = self._done(digest)
        assert done is not None
        for name, _, sha256 in done["files"]:
            path = self.result(digest) / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                raise InputError(
                    f"Expected {str(path)!r} to be as its task wrote it, but it was changed; remove {str(self._folder(digest))!r}."
                )

    @contextlib.contextmanager
    def running(self, digest: str) -> Iterator[Path]:
        """The folder of a task for the one process that runs it; another waits until the first is done or dead."""
        folder = self._folder(digest)
        try:
            self.result(digest).mkdir(parents=True, exist_ok=True)
            with (folder / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process, however it ends
                yield self.result(digest)
        except OSError as error:
            if error.filename is None or not str(error.filename).startswith(str(folder)):
                raise
            raise InputError(
                f"Expected `store` to be a folder that can be written, but {str(folder)!r} cannot ({error.strerror})."
            ) from error

    def spend(self, digest: str, seconds: float) -> float:
        """Add to what a task has computed so far, which a killed one takes up again; the sum."""
        path = self._folder(digest) / "seconds"
        with contextlib.suppress(OSError, ValueError):
            seconds += float(path.read_text())
        with whole_file(path) as part:
            part.write_text(str(seconds))
        return seconds

    def finish(self, digest: str, name: str, seconds: float) -> None:
        """Declare that the task is done with the files that are there now."""
        folder = self.result(digest)
        files = []
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            content = path.read_bytes()
            files.append((path.relative_to(folder).as_posix(), len(content), hashlib.sha256(content).hexdigest()))
        with whole_file(self._folder(digest) / _DONE) as part:
            part.write_text(json.dumps({"name": name, "digest": digest, "seconds": seconds, "files": files}, indent=1) + "\n")
            with part.open("rb") as written:
                os.fsync(written.fileno())

    def _folder(self, digest: str) -> Path:
        return self.root / "tasks" / digest[:20]

    def _done(self, digest: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self._folder(digest) / _DONE).read_text())
        except (OSError, ValueError):
            return None
        return found if found.get("digest") == digest else None
