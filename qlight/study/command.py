"""`python -m qlight study run|status FILE`: the command line of studies."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NoReturn

from qlight.errors import InputError
from qlight.study.configuration import Configuration
from qlight.study.planning import make_plan
from qlight.study.run import InProcess, StudyError, local_processes, run
from qlight.study.store import Store
from qlight.study.task import Plan, Task


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"Expected `study run FILE` or `study status FILE`, but: {message}; see `python -m qlight study --help`.")


def main(arguments: Sequence[str]) -> None:
    """Run a study, or say what of it is done.

    Raises:
        InputError: bad input, or a task that failed.
    """
    parser = _Parser(prog="python -m qlight study", add_help=False)
    parser.add_argument("action", choices=("run", "status"))
    parser.add_argument("study")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dask")
    parser.add_argument("--only")
    parser.add_argument("--dry-run", "--dry_run", action="store_true")
    options = parser.parse_args(arguments)
    if options.workers < 0 or options.threads < 1:
        raise InputError(
            f"Expected `--workers` from 0 (this process) and `--threads` from 1, but got {options.workers} and {options.threads}; "
            "leave them out."
        )
    configuration = Configuration.load(options.study)
    plan = _chosen(make_plan(configuration), options.only)
    store = Store(options.out or Path("runs") / "study" / configuration.name)
    if options.action == "status" or options.dry_run:
        _print_plan(plan, store)
        return
    with _executor(options) as executor:
        _run(plan, store, executor)
    _print_times(plan, store)
    if "report" in {task.name for task in plan}:
        print(f"report: {store.result(plan.digest('report')) / 'report.html'}")


def _chosen(plan: Plan, only: str | None) -> Plan:
    """Tasks whose names begin with one of the words, and all that they need."""
    if only is None:
        return plan
    words = tuple(filter(None, only.split(",")))
    wanted = {task.name for task in plan if task.name.startswith(words)}
    if not wanted:
        kinds = sorted({task.name.partition("/")[0] for task in plan})
        raise InputError(f"Expected `--only` to begin names of tasks ({', '.join(kinds)}, ...), but got {only!r}; see `study status`.")
    for task in reversed(list(plan)):
        if task.name in wanted:
            wanted |= set(task.needs)
    return Plan([task for task in plan if task.name in wanted])


@contextlib.contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Executor]:
    if options.dask is not None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("Expected dask for `--dask`, but it is not installed; pip install 'qlight[study]'.") from error
        try:
            client = Client(options.dask, timeout=20)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"Expected `--dask` to be the address of a running scheduler, but {options.dask!r} is none: {error}"
            ) from error
        with client:
            yield client.get_executor()
    elif options.workers == 0:
        yield InProcess()
    else:
        with local_processes(options.workers, options.threads) as pool:
            yield pool


def _run(plan: Plan, store: Store, executor: Executor) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("study", total=len(plan))

        def done(task: Task, seconds: float | None) -> None:
            progress.update(bar, advance=1, description=task.name)
            if seconds is not None:
                progress.console.print(f"{task.name}: {seconds:.1f} s", highlight=False)

        try:
            run(plan, store, executor, done)
        except StudyError as error:
            raise InputError(str(error)) from error


def _print_plan(plan: Plan, store: Store) -> None:
    left = 0.0
    print(f"{'task':<44} {'state':<8} {'seconds':>9}")
    for task in plan:
        digest = plan.digest(task.name)
        seconds = store.seconds(digest) if store.is_done(digest) else None
        state = "done" if seconds is not None else "begun" if store.is_begun(digest) else "missing"
        left += 0.0 if seconds is not None else task.cost
        print(f"{task.name:<44} {state:<8} {(f'{seconds:.1f}' if seconds is not None else f'~{task.cost:.0f}'):>9}")
    done = sum(store.is_done(plan.digest(task.name)) for task in plan)
    print(f"{done} of {len(plan)} tasks are done; the others take about {left / 3600:.1f} CPU-hours (a rough estimate)")


def _print_times(plan: Plan, store: Store) -> None:
    """Time by stage, and the share that is neither training nor attacks."""
    stages: dict[str, float] = defaultdict(float)
    for task in plan:
        stages[task.stage] += store.seconds(plan.digest(task.name)) or 0.0
    total = sum(stages.values())
    for stage, seconds in stages.items():
        print(f"{stage:<12} {seconds:9.1f} s  {seconds / max(total, 1e-9):6.1%}")
    other = total - stages["training"] - stages["attacks"]
    print(f"{'total':<12} {total:9.1f} s, {other / max(total, 1e-9):.1%} outside training and attacks")
