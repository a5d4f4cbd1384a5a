"""`python -m qlight study run|status|report|export|import FILE`: the command line of studies."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import torch

from qlight.errors import InputError
from qlight.files import whole_file
from qlight.options import OptionParser
from qlight.study.archive import export, take
from qlight.study.configuration import Configuration
from qlight.study.planning import make_plan
from qlight.study.progress import print_plan, print_share, print_times
from qlight.study.report import PAGE, material_of, write
from qlight.study.report.claims_page import claims_page
from qlight.study.report.study_page import Place, write_page
from qlight.study.run import InProcess, StudyError, local_processes, run
from qlight.study.store import Spent, Store
from qlight.study.task import Plan, Task


def main(arguments: Sequence[str]) -> None:
    """Run a study, say what of it is done, report that, or carry its numbers to another machine.

    Raises:
        InputError: bad input, or a task that failed.
    """
    parser = OptionParser("study", "`study ACTION FILE`")
    parser.add_argument("action", choices=("run", "status", "report", "export", "import"))
    parser.add_argument("study")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dask")
    parser.add_argument("--only")
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--verdicts", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--dry-run", "--dry_run", action="store_true")
    options = parser.parse_args(arguments)
    if options.workers < 1 or options.threads < 1:
        raise InputError(f"Expected `--workers` and `--threads` from 1, but got {options.workers} and {options.threads}; leave them out.")
    _check_files(options)
    _check_use(parser, options)
    configuration = Configuration.load(options.study)
    plan = _chosen(make_plan(configuration), options.only)
    store = Store(options.out or Path("runs") / "study" / configuration.name)
    if options.action == "status" or options.dry_run:
        print_plan(plan, store)
        if options.action == "status":
            print_times(plan, store)
    elif options.action == "report":
        _report(configuration, plan, store, options)
    elif options.action == "export":
        count = export(plan, store, options.archive)
        print(f"wrote {options.archive}: what {count} tasks measured, {options.archive.stat().st_size / 1024:.0f} KiB")
    elif options.action == "import":
        taken = take(plan, store, options.archive)
        print(f"{taken.done} tasks are done by {options.archive}; {taken.foreign} of it are of other networks, options or revisions")
        if taken.left:
            print(f"{taken.left} attacks of it will run here, as pixels or rtlsim need their images")
    else:
        _run_here(plan, store, options)


def _check_files(options: argparse.Namespace) -> None:
    """Files are given where they are written or read, and not two of one name."""
    pages = [path for path in (options.verdicts, options.page) if path is not None]
    if (options.archive is not None) != (options.action in ("export", "import")) or (pages and options.action != "report"):
        raise InputError(
            "Expected `--archive FILE` with export and import, and `--verdicts FILE` and `--page FILE` with report, only; "
            "see `qlight study --help`."
        )
    if options.page is not None and options.page.suffix != ".md":
        raise InputError(
            f"Expected `--page` to be a file that ends in .md, but got {str(options.page)!r}; its pictures go to a folder of that name "
            "without .md."
        )
    if len(pages) == 2 and pages[0].resolve() == pages[1].resolve():
        raise InputError(f"Expected `--verdicts` and `--page` to be two files, but both are {str(options.page)!r}; name another.")


def _check_use(parser: OptionParser, options: argparse.Namespace) -> None:
    """What is given is used."""
    if options.dry_run and options.action not in ("run", "status"):
        raise InputError(f"Expected `--dry-run` with run, which it plans only, but got it with {options.action}; leave it out.")
    for name in ("workers", "threads"):
        given = getattr(options, name)
        if options.dask is not None and given != parser.get_default(name):
            raise InputError(
                f"Expected `--dask` without `--{name}`, as dask's workers were started with theirs, but got {given}; leave it out."
            )


def _run_here(plan: Plan, store: Store, options: argparse.Namespace) -> None:
    with _executor(options) as (executor, at_once):
        now = _run(plan, store, executor, at_once)
    print_times(plan, store)
    if options.dask is None:
        print_share(plan, now)
    if "report" in {task.name for task in plan}:
        print(f"report: {store.result(plan.digest('report')) / 'report.html'}")


def _report(configuration: Configuration, plan: Plan, store: Store, options: argparse.Namespace) -> None:
    """The report of what is done, beside the store's tasks; and the pages of verdicts and results."""
    if "report" not in {task.name for task in plan}:
        raise InputError("Expected `report` without --only, as it is of all that is done; leave it out.")
    folders = {task.name: store.result(plan.digest(task.name)) for task in plan if store.is_done(plan.digest(task.name))}
    needs = plan["report"].needs
    done = {name: folders[name] for name in needs if name in folders}
    told = {**plan["report"].options, "missing": [name for name in needs if name not in done]}
    folder = store.root / "report"
    write(told, done, folder)
    print(f"report: {folder / PAGE}, of {len(done)} of {len(needs)} tasks")
    of = material_of(told, done)
    if options.verdicts is not None:
        with whole_file(options.verdicts) as part:
            part.write_text(claims_page(of, options.study, len(needs), options.verdicts), encoding="utf-8")
        print(f"verdicts: {options.verdicts}")
    if options.page is not None:
        place = Place(options.study, options.page, options.verdicts)
        write_page(of, configuration, place)
        print(f"page: {options.page}, its pictures in {place.pictures}")


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
def _executor(options: argparse.Namespace) -> Iterator[tuple[Executor, int | None]]:
    """Where tasks run, and how many at once; dask decides that itself, as workers may come and go."""
    if options.dask is not None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("Expected dask for `--dask`, but it is not installed; pip install -e '.[study]' in the checkout.") from error
        try:
            client = Client(options.dask, timeout=20)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"Expected `--dask` to be the address of a running scheduler, but {options.dask!r} is none: {error}"
            ) from error
        with client:
            yield client.get_executor(), None
    elif options.workers == 1:  # a process of its own would only import everything again
        torch.set_num_threads(options.threads)
        yield InProcess(), 1
    else:
        with local_processes(options.workers, options.threads) as pool:
            yield pool, options.workers


def _run(plan: Plan, store: Store, executor: Executor, at_once: int | None) -> dict[str, Spent]:
    """Run what is missing; what each of those tasks took."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    now: dict[str, Spent] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("study", total=len(plan))

        def done(task: Task, spent: Spent | None) -> None:
            progress.update(bar, advance=1, description=task.name)
            if spent is not None:
                now[task.name] = spent
                progress.console.print(f"{task.name}: {spent.seconds:.1f} s", highlight=False)

        try:
            run(plan, store, executor, done, at_once)
        except StudyError as error:
            raise InputError(str(error)) from error
    return now
