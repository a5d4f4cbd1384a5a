"""Runs what of a plan is missing, on any executor: this process, local processes, or dask's workers on many machines."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qlight.study.store import Spent, Store
from qlight.study.task import Plan, Task

#: seconds between two notes of the time that a running task has spent
_NOTE = 5.0


class StudyError(RuntimeError):
    """Tasks of a study failed; those that did not need them have run."""


def run(
    plan: Plan,
    store: Store,
    executor: concurrent.futures.Executor,
    on_done: Callable[[Task, Spent | None], None] | None = None,
    at_once: int | None = None,
) -> None:
    """Run every task of the plan that is not done, each as soon as what it needs is there; of those that can run, the plan's first.

    Args:
        executor: where tasks run; the store must be a folder that all its workers see. Dask: `Client(...).get_executor()`.
        on_done: called with every task when it is known to be done, and what it took now (None: it was done before).
        at_once: how many tasks the executor is given at a time: as many as it has workers, so that what becomes possible meanwhile is not
            put behind all that could run before it. None: all that can run.

    Raises:
        StudyError: a task failed: the first error, when all that does not need it has run; or at once where a worker was killed.
    """
    report = on_done or (lambda task, spent: None)
    waiting: dict[str, Task] = {}
    for task in plan:
        if store.is_done(plan.digest(task.name)):
            report(task, None)
        else:
            waiting[task.name] = task
    missing = set(waiting)
    running: dict[concurrent.futures.Future[Spent], Task] = {}
    failed: dict[str, Exception] = {}
    while waiting or running:
        ready = [name for name, task in waiting.items() if not missing.intersection(task.needs)]
        try:
            for name in ready if at_once is None else ready[: at_once - len(running)]:
                needs = {need: plan.digest(need) for need in waiting[name].needs}
                future = executor.submit(run_task, waiting[name], plan.digest(name), needs, str(store.root))
                running[future] = waiting.pop(name)
            if not running:
                break  # what is left needs something that failed
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                try:
                    spent = future.result()
                except concurrent.futures.BrokenExecutor:
                    raise
                except Exception as error:  # whatever a step raises: others go on
                    failed[running.pop(future).name] = error
                else:
                    task = running.pop(future)
                    missing.discard(task.name)
                    report(task, spent)
        except concurrent.futures.BrokenExecutor as error:
            names = ", ".join(task.name for task in running.values()) or "nothing"
            raise StudyError(
                f"A worker was killed, most likely for want of memory, while {names} ran; what is finished is kept: the same command with "
                "fewer --workers goes on from here."
            ) from error
    if failed:
        name, error = next(iter(failed.items()))
        others = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
        skipped = f"; {len(waiting)} that need them did not run" if waiting else ""
        said = str(error).removesuffix(".")  # a sentence of its own: it goes on here
        raise StudyError(f"Task {name!r} failed: {said}{others}{skipped}; the same command goes on from here.") from error


def run_task(task: Task, digest: str, needs: Mapping[str, str], root: str) -> Spent:
    """Run one task in this process, unless another has finished it meanwhile; what it took."""
    store = Store(root)
    with store.running(digest) as folder:
        if store.is_done(digest):
            return Spent(0.0, 0.0)
        for need in needs.values():
            store.check(need)
        function, _ = task.function()
        start = clock()
        with _noting(store, digest):
            function(task.options, {name: store.result(need) for name, need in needs.items()}, folder)
        store.finish(digest, task.name, store.spend(digest, Spent(0.0, 0.0)))
        return clock() - start


def clock() -> Spent:
    """What this process has taken so far; its children once they have ended. The seconds count from any moment."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Spent(time.perf_counter(), sum(each.ru_utime + each.ru_stime for each in used))


@contextlib.contextmanager
def _noting(store: Store, digest: str) -> Iterator[None]:
    """Note now and then what a task takes, so that the time of a killed one is not lost."""
    ended = threading.Event()

    def note() -> None:
        last = clock()
        while not ended.wait(_NOTE):
            now = clock()
            store.spend(digest, now - last)
            last = now
        store.spend(digest, clock() - last)

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class InProcess(concurrent.futures.Executor):
    """Runs tasks here, one after the other."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # as other executors do
            future.set_exception(error)
        return future


def local_processes(workers: int, threads: int = 1) -> concurrent.futures.Executor:
    """An executor of processes on this machine that die with this one, each with ``threads`` torch threads."""
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_prepare, initargs=(threads, os.getpid()))


def _prepare(threads: int, parent: int) -> None:
    _die_with_parent(parent)
    import torch

    torch.set_num_threads(threads)


def _die_with_parent(parent: int) -> None:
    """A worker whose parent was killed must not go on writing beside the run that takes over.

    Args:
        parent: the process that started this one; 1 in a container, and whoever takes up orphans may be any other.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)
