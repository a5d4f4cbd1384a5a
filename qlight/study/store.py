"""Results of tasks on disk: a folder a task, named by its hash, complete when its list of files is there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from qlight.errors import InputError
from qlight.files import whole_file

_DONE, _LOCK, _RESULT, _SPENT = "done.json", "lock", "result", "spent.json"
#: errors of writing
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class Spent(NamedTuple):
    """What something took: seconds on the clock, and seconds of processors, those of child processes too."""

    seconds: float
    cpu_seconds: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


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

    def spent(self, digest: str) -> Spent | None:
        """What the task took, interruptions not counted; None where it is not done."""
        done = self._done(digest)
        return None if done is None else Spent(done["seconds"], done["cpu_seconds"])

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
        """The folder of a task for the one process that runs it; another waits until the first is done or dead.

        Raises:
            InputError: the folder cannot be written.
        """
        folder, entered = self._folder(digest), False
        try:
            self.result(digest).mkdir(parents=True, exist_ok=True)
            with (folder / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process, however it ends
                if not self.is_done(digest):
                    self._remove_parts(digest)
                entered = True
                yield self.result(digest)
        except OSError as error:
            of_folder = error.filename is not None and str(error.filename).startswith(str(folder))
            # a task may also miss a file of its own, which is no matter of writing
            if not of_folder or (entered and error.errno not in _UNWRITABLE):
                raise
            raise InputError(
                f"Expected `store` to be a folder that can be written, but {str(folder)!r} cannot ({error.strerror})."
            ) from error

    def _remove_parts(self, digest: str) -> None:
        """Remove what a killed process was about to write (`qlight.files.whole_file`) or had locked: hidden files, which no task leaves."""
        for path in [*self._folder(digest).glob(".*"), *self.result(digest).rglob(".*")]:
            if path.is_file():
                path.unlink()

    def spend(self, digest: str, more: Spent) -> Spent:
        """Add to what a task has taken so far, which a killed one takes up again; the sum."""
        path = self._folder(digest) / _SPENT
        with contextlib.suppress(OSError, ValueError, TypeError):
            more = more.plus(Spent(*json.loads(path.read_text())))
        with whole_file(path) as part:
            part.write_text(json.dumps(more))
        return more

    def finish(self, digest: str, name: str, spent: Spent) -> None:
        """Declare that the task is done with the files that are there now."""
        folder = self.result(digest)
        files = []
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            content = path.read_bytes()
            files.append((path.relative_to(folder).as_posix(), len(content), hashlib.sha256(content).hexdigest()))
        with whole_file(self._folder(digest) / _DONE) as part:
            part.write_text(json.dumps({"name": name, "digest": digest, **spent._asdict(), "files": files}, indent=1) + "\n")
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
