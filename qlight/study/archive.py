"""Finished tasks in one small file: what they measured, without images, so that a study goes on on another machine."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from qlight.errors import InputError
from qlight.files import whole_file
from qlight.study.comparing import DISTORTIONS
from qlight.study.deployed import PIXELS, RTLSIM
from qlight.study.store import Spent, Store
from qlight.study.summary import FILE as SUMMARY
from qlight.study.task import Plan

#: of the file; a reader refuses others
FORMAT = "qlight-study-results-1"
#: what the report reads of a task, by the first word of its name; networks and graphs are quickly made again, or trained elsewhere
_FILES = {
    "attack": ("results.json", SUMMARY),
    "transfer": ("transfer.json", DISTORTIONS),
    "ensemble": ("ensemble.json",),
    "gradients": ("gradients.json",),
    "spread": ("spread.json",),
    "shift": ("shift.json",),
    "diagnose": ("diagnostics.json",),
    "pixels": (PIXELS,),
    "rtlsim": (RTLSIM,),
}
#: tasks that read the images of those that they need, and make none
_NEEDS_IMAGES = ("pixels/", "rtlsim/")


def export(plan: Plan, store: Store, path: Path) -> int:
    """Write the results of all tasks that are done; how many.

    Raises:
        InputError: there is none, or the file cannot be written.
    """
    tasks = []
    for task in plan:
        names, digest = _FILES.get(task.name.partition("/")[0], ()), plan.digest(task.name)
        if names and store.is_done(digest):
            spent = store.spent(digest)
            assert spent is not None
            files = {name: (store.result(digest) / name).read_text(encoding="utf-8") for name in names}
            tasks.append({"name": task.name, "digest": digest, **spent._asdict(), "files": files})
    if not tasks:
        raise InputError(f"Expected tasks of this study that are done in {str(store.root)!r}, but there is none; run the study first.")
    with whole_file(path) as part:
        part.write_bytes(lzma.compress(json.dumps({"format": FORMAT, "tasks": tasks}).encode(), preset=9 | lzma.PRESET_EXTREME))
    return len(tasks)


class Taken(NamedTuple):
    """What became of the tasks of a file.

    Attributes:
        done: of the plan, put into the store.
        left: of the plan, but to be run here, as tasks that are missing need the images that they make.
        foreign: none of the plan's: of other networks, options or revisions.
    """

    done: int
    left: int
    foreign: int


def take(plan: Plan, store: Store, path: Path) -> Taken:
    """Put results of a file into the store, where they count as done; what is there already stays.

    An attack is left out where a task of `_NEEDS_IMAGES` that needs its images is neither in the file nor done: the study runs that attack
    again. Other tasks that would read the images of one that was imported make them again themselves.

    Raises:
        InputError: there is no such file, or it is no such file.
    """
    names, done, left, foreign = {plan.digest(task.name): task.name for task in plan}, 0, 0, 0
    tasks = _read(path)
    needed = _needed(plan, store, {each["digest"] for each in tasks})
    for each in tasks:
        digest = each["digest"]
        if digest not in names:
            foreign += 1
            continue
        if digest in needed:
            left += not store.is_done(digest)
            continue
        with store.running(digest) as folder:
            if store.is_done(digest):
                continue
            shutil.rmtree(folder)  # an interrupted run may have left something
            folder.mkdir()
            for name, text in each["files"].items():
                (folder / name).write_text(text, encoding="utf-8")
            store.finish(digest, names[digest], Spent(each["seconds"], each["cpu_seconds"]))
            done += 1
    return Taken(done, left, foreign)


def _needed(plan: Plan, store: Store, given: set[str]) -> set[str]:
    """Digests of the tasks whose images are needed by tasks that are neither given nor done."""
    missing = (task for task in plan if task.name.startswith(_NEEDS_IMAGES) and plan.digest(task.name) not in given)
    return {plan.digest(need) for task in missing if not store.is_done(plan.digest(task.name)) for need in task.needs}


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(lzma.decompress(path.read_bytes()))
        tasks = found["tasks"]
        whole = found["format"] == FORMAT and all(
            isinstance(each["digest"], str)
            and float(each["seconds"]) >= 0
            and float(each["cpu_seconds"]) >= 0
            and all(PurePosixPath(name).name == name and isinstance(text, str) for name, text in each["files"].items())
            for each in tasks
        )
    except OSError as error:
        raise InputError(f"Expected `archive` to be a file of `study export`, but {str(path)!r} cannot be read: {error}.") from error
    except (lzma.LZMAError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"Expected `archive` to be a file of `study export`, but {str(path)!r} is none; give another.") from error
    if not whole:
        raise InputError(f"Expected `archive` to be a file of `study export` of this version, but {str(path)!r} is not; give another.")
    return tasks
