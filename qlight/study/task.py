"""A study as a graph of tasks, each known by a hash of all that its result depends on."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qlight.errors import InputError

#: what a task runs: its options, the result folders of the tasks that it needs by their names, and the folder that it fills. An interrupted
#: one finds in the folder what it left there; what it leaves at the end must not depend on interruptions.
Step = Callable[[Mapping[str, Any], Mapping[str, Path], Path], None]


@dataclass(frozen=True)
class Task:
    """A step with its options.

    Attributes:
        name: unique in the plan, for people: "attack/w1a1/BIM".
        step: dotted path of a `Step`; its module says in ``REVISION`` how often what it computes has changed.
        options: JSON values.
        needs: names of tasks whose results it reads, in an order of its own.
        stage: under which its time is counted: "training", "attacks", ...
        cost: about how many CPU-seconds it takes.
    """

    name: str
    step: str
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    stage: str = "other"
    cost: float = 1.0

    def function(self) -> tuple[Step, int]:
        """What it runs, and the revision of that."""
        module, _, name = self.step.rpartition(".")
        found = importlib.import_module(module)
        return getattr(found, name), getattr(found, "REVISION", 1)


class Plan:
    """Tasks in an order in which each comes after those that it needs.

    Args:
        tasks: any order.

    Raises:
        InputError: two tasks have one name, or one needs a task that is not there, or itself.

    >>> plan = Plan([Task("b", "os.path.join", needs=("a",)), Task("a", "os.path.join")])
    >>> [task.name for task in plan]
    ['a', 'b']
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks: dict[str, Task] = {}
        self._digests: dict[str, str] = {}
        by_name = {task.name: task for task in tasks}
        if len(by_name) != len(tasks):
            double = next(task.name for task in tasks if sum(other.name == task.name for other in tasks) > 1)
            raise InputError(f"Expected `tasks` with different names, but {double!r} comes twice; rename one.")
        open_: dict[str, None] = {}

        def add(name: str, by: str) -> None:
            if name in self._tasks:
                return
            if name not in by_name:
                raise InputError(f"Expected `tasks` to hold what they need, but {by!r} needs {name!r}; add it.")
            if name in open_:
                raise InputError(f"Expected `tasks` without circles, but {name!r} needs itself by way of {by!r}; remove one need.")
            open_[name] = None
            for need in by_name[name].needs:
                add(need, name)
            self._tasks[name] = by_name[name]

        for task in tasks:
            add(task.name, task.name)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, name: str) -> Task:
        return self._tasks[name]

    def digest(self, name: str) -> str:
        """64 hexadecimal digits that stand for step, revision, options and, through the digests of what it needs, all that came before.

        Names do not count, so a task that is called otherwise in another study has the same result.
        """
        if name not in self._digests:
            task = self._tasks[name]
            content = [task.step, task.function()[1], task.options, [self.digest(need) for need in task.needs]]
            text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
            self._digests[name] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[name]
