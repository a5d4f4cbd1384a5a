"""Runs what of a plan is missing, on any executor: this process, local processes, or dask's workers on many machines."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qlight.study.store import Store
from qlight.study.task import Plan, Task

#: seconds between two notes of the time that a running task has spent
_NOTE = 5.0


class StudyError(RuntimeError):
    """Tasks of a study failed; those that did not need them have run."""


def run(
    plan: Plan,
    store: Store,
    executor: concurrent.futures.Executor,
    on_done: Callable[[Task, float | None], None] | None = None,
) -> None:
    """Run every task of the plan that is not done, each as soon as what it needs is there.

    Args:
        executor: where tasks run; the store must be a folder that all its workers see. Dask: `Client(...).get_executor()`.
        on_done: called with every task when it is known to be done, and the seconds that it ran now (None: it was done before).

    Raises:
        StudyError: a task failed: the first error, when all that does not need it has run.
    """
    report = on_done or (lambda task, seconds: None)
    waiting: dict[str, Task] = {}
    for task in plan:
        if store.is_done(plan.digest(task.name)):
            report(task, None)
        else:
            waiting[task.name] = task
    missing = set(waiting)
    running: dict[concurrent.futures.Future[float], Task] = {}
    failed: dict[str, Exception] = {}
    while waiting or running:
        for name in [name for name, task in waiting.items() if not missing.intersection(task.needs)]:
            task = waiting.pop(name)
            needs = {need: plan.digest(need) for need in task.needs}
            running[executor.submit(run_task, task, plan.digest(name), needs, str(store.root))] = task
        if not running:
            break  # what is left needs something that failed
        done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            try:
                seconds = future.result()
            except Exception as error:  # whatever a step raises: others go on
                failed[task.name] = error
            else:
                missing.discard(task.name)
                report(task, seconds)
    if failed:
        name, error = next(iter(failed.items()))
        others = f", {len(failed) - 1} more failed" if len(failed) > 1 else ""
        skipped = f", {len(waiting)} that need them did not run" if waiting else ""
        raise StudyError(f"Task {name!r} failed: {error}{others}{skipped}; the same command goes on from here.") from error


def run_task(task: Task, digest: str, needs: Mapping[str, str], root: str) -> float:
    """Run one task in this process, unless another has finished it meanwhile; the seconds that it ran."""
    store = Store(root)
    with store.running(digest) as folder:
        if store.is_done(digest):
            return 0.0
        for need in needs.values():
            store.check(need)
        function, _ = task.function()
        start = time.perf_counter()
        with _noting(store, digest):
            function(task.options, {name: store.result(need) for name, need in needs.items()}, folder)
        store.finish(digest, task.name, store.spend(digest, 0.0))
        return time.perf_counter() - start


@contextlib.contextmanager
def _noting(store: Store, digest: str) -> Iterator[None]:
    """Note now and then how long a task runs, so that the time of a killed one is not lost."""
    ended = threading.Event()

    def note() -> None:
        last = time.perf_counter()
        while not ended.wait(_NOTE):
            now = time.perf_counter()
            store.spend(digest, now - last)
            last = now
        store.spend(digest, time.perf_counter() - last)

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
    return concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_prepare, initargs=(threads,))


def _prepare(threads: int) -> None:
    _die_with_parent()
    import torch

    torch.set_num_threads(threads)


def _die_with_parent() -> None:
    """A worker whose parent was killed must not go on writing beside the run that takes over."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() == 1:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)
