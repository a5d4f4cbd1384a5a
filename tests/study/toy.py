"""Steps that take no time or as much as they are told, for tests of plans; also run by hand: python -m tests.study.toy ROOT."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlight.study import InProcess, Plan, Store, Task, local_processes, run


def write(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """A line a need, then as many lines as are asked for, one at a time; goes on where an interrupted run was."""
    path = folder / "out.txt"
    have = path.read_text().splitlines(keepends=True) if path.exists() else []
    have = [line for line in have if line.endswith("\n")]
    lines = [f"{name}: {(place / 'out.txt').read_text().count(chr(10))}\n" for name, place in needs.items()]
    lines += [f"{options['seed']} {number}\n" for number in range(options.get("lines", 3))]
    sum(range(options.get("work", 0)))
    path.write_text("".join(have))
    with path.open("a") as file:
        for line in lines[len(have) :]:
            file.write(line)
            file.flush()
            time.sleep(options.get("pause", 0))
    if options.get("fail"):
        raise ValueError("it was told to.")
    if options.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory runs out
    if options.get("miss"):
        (folder / "nothing.txt").read_text()


def task(name: str, *needs: str, **options: Any) -> Task:
    return Task(name, "tests.study.toy.write", {"seed": 0, **options}, needs, stage=name[0])


def diamond(pause: float = 0.0, **options: Any) -> Plan:
    """a, then b and c, then d of both."""
    return Plan(
        [
            task("a", seed=1, lines=4, pause=pause),
            task("b", "a", seed=2, pause=pause),
            task("c", "a", seed=3, pause=pause, **options),
            task("d", "b", "c", seed=4, pause=pause),
        ]
    )


def contents(store: Store, plan: Plan) -> dict[str, str]:
    return {
        each.name: (store.result(plan.digest(each.name)) / "out.txt").read_text() for each in plan if store.is_done(plan.digest(each.name))
    }


if __name__ == "__main__":
    workers = int(sys.argv[2])
    with local_processes(workers) if workers else InProcess() as pool:
        run(diamond(pause=0.05), Store(sys.argv[1]), pool)
