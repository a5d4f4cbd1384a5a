"""Running a plan: what is missing, once, in order, with the same bytes however often it is interrupted."""

from __future__ import annotations

import concurrent.futures
import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from qlight.errors import InputError
from qlight.study import InProcess, Plan, Store, StudyError, Task, local_processes, run
from qlight.study.run import clock
from qlight.study.store import Spent
from tests.study import toy

WANTED = {"a": "1 0\n1 1\n1 2\n1 3\n", "b": "a: 4\n2 0\n2 1\n2 2\n", "c": "a: 4\n3 0\n3 1\n3 2\n", "d": "b: 4\nc: 4\n4 0\n4 1\n4 2\n"}


def test_everything_runs_once(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), toy.diamond()
    seen: list[tuple[str, bool]] = []

    def note(task: Task, spent: Spent | None) -> None:
        seen.append((task.name, spent is None))

    run(plan, store, InProcess(), note)
    assert toy.contents(store, plan) == WANTED
    assert sorted(seen) == [(name, False) for name in "abcd"]
    seen.clear()
    run(plan, store, InProcess(), note)
    assert sorted(seen) == [(name, True) for name in "abcd"]


def test_two_processes(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), toy.diamond()
    with local_processes(2) as pool:
        run(plan, store, pool)
    assert toy.contents(store, plan) == WANTED


@pytest.mark.slow
def test_two_workers_of_dask(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    store, plan = Store(tmp_path), toy.diamond()
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        run(plan, store, client.get_executor())
    assert toy.contents(store, plan) == WANTED


def test_a_task_that_fails_stops_only_those_that_need_it(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), toy.diamond(fail=True)
    with pytest.raises(StudyError, match=r"'c' failed: it was told to; 1 that need them did not run; the same command goes on"):
        run(plan, store, InProcess())
    assert set(toy.contents(store, plan)) == {"a", "b"}


def test_a_worker_that_is_killed_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), Plan([toy.task("a"), toy.task("b", seed=1, die=True), toy.task("c", seed=2)])
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(1, context) as pool,
        pytest.raises(StudyError, match=r"A worker was killed, .* while b ran; what is finished is kept: .* fewer --workers"),
    ):
        run(plan, store, pool, at_once=1)
    assert set(toy.contents(store, plan)) == {"a"}


class Broken(concurrent.futures.Executor):
    """Takes one task and ends before the next; what it took fails with it, or is never heard of."""

    def __init__(self) -> None:
        self.first: concurrent.futures.Future[Any] | None = None

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        if self.first is not None:
            raise BrokenProcessPool("a child process terminated abruptly")
        self.first = concurrent.futures.Future()
        return self.first


def test_an_executor_that_takes_no_more_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"while b ran; .* fewer --workers"):
        run(Plan([toy.task("b"), toy.task("c", seed=1)]), Store(tmp_path), Broken())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a process of its parent's death")
def test_a_worker_dies_where_its_parent_is_not_the_one_that_started_it() -> None:
    def status(parent: str) -> int:
        text = f"import os; from qlight.study.run import _die_with_parent; _die_with_parent({parent})"
        return subprocess.run([sys.executable, "-c", text], cwd=Path(__file__).parents[2], check=False).returncode

    assert status(str(os.getpid())) == 0
    assert status("1" if os.getpid() != 1 else "2") == -signal.SIGKILL  # it is an orphan; 1 is who takes these up, or not


def test_a_result_that_was_changed_is_found(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), toy.diamond()
    part = Plan([task for task in plan if task.name in "ab"])
    run(part, store, InProcess())
    path = store.result(plan.digest("a")) / "out.txt"
    path.write_text(path.read_text().replace("1 0", "1 9"))
    with pytest.raises(StudyError, match=r"as its task wrote it, but it was changed"):
        run(plan, store, InProcess())
    path.unlink()  # a file that is not there is written again
    run(plan, store, InProcess())
    assert toy.contents(store, plan) == WANTED


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="can be written") as caught:
        run(toy.diamond(), Store(tmp_path / "file"), InProcess())
    assert isinstance(caught.value.__cause__, InputError)


def test_a_file_that_a_task_misses_is_no_matter_of_writing(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"No such file or directory: .*nothing.txt") as caught:
        run(Plan([toy.task("a", miss=True)]), Store(tmp_path), InProcess())
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, True), (errno.EACCES, True), (errno.EISDIR, False)])
@pytest.mark.parametrize("inside", [True, False])
def test_which_errors_of_a_task_are_the_stores(tmp_path: Path, number: int, told: bool, inside: bool) -> None:
    with pytest.raises((InputError, OSError)) as caught, Store(tmp_path / "store").running("a" * 64) as folder:
        raise OSError(number, os.strerror(number), str((folder if inside else tmp_path / "elsewhere") / "x"))
    assert isinstance(caught.value, InputError) == (told and inside)


def test_what_a_kill_left_half_written_goes(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), Plan([toy.task("a", seed=1, lines=4)])
    with store.running(plan.digest("a")) as folder:
        (folder / "part").mkdir()
        for name in (".out.abc.txt", "part/.x.abc.png", "../.spent.abc.json", "../.done.abc.json"):
            (folder / name).touch()
    run(plan, store, InProcess())
    assert toy.contents(store, plan) == {"a": WANTED["a"]}
    folder = store.result(plan.digest("a"))
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["out.txt"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["done.json", "lock", "result", "spent.json"]


def test_time_of_interrupted_runs_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.spend("a" * 64, Spent(2.0, 1.0)) == (2.0, 1.0)
    assert store.spend("a" * 64, Spent(0.5, 0.25)) == (2.5, 1.25)


def test_a_task_says_what_it_took(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), Plan([toy.task("a", pause=0.02, work=300_000)])
    before = clock()
    run(plan, store, InProcess())
    whole, spent = clock() - before, store.spent(plan.digest("a"))
    assert spent is not None
    assert 3 * 0.02 <= spent.seconds <= whole.seconds
    assert 0 < spent.cpu_seconds <= whole.cpu_seconds


def test_what_becomes_possible_comes_before_what_stands_behind_it(tmp_path: Path) -> None:
    plan = Plan([toy.task("a"), toy.task("b", "a", seed=1), toy.task("c", seed=2), toy.task("d", seed=3)])
    seen: list[str] = []
    run(plan, Store(tmp_path), InProcess(), lambda task, spent: seen.append(task.name), at_once=1)
    assert seen == ["a", "b", "c", "d"]


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path, workers: int) -> None:
    command = [sys.executable, "-m", "tests.study.toy", str(tmp_path), str(workers)]
    draw, plan, kills = random.Random(workers), toy.diamond(pause=0.05), 0
    for _ in range(40):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE)
        begun = time.monotonic()
        while process.poll() is None and not (tmp_path / "tasks").exists():
            time.sleep(0.01)
        try:
            process.wait(draw.uniform(0.05, 0.6) if kills < 6 else 60 - (time.monotonic() - begun))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors.decode()
    assert kills >= 1
    assert toy.contents(Store(tmp_path), plan) == WANTED
