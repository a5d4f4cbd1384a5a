"""Running a plan: what is missing, once, in order, with the same bytes however often it is interrupted."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qlight.errors import InputError
from qlight.study import InProcess, Plan, Store, StudyError, Task, local_processes, run
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
    with pytest.raises(StudyError, match=r"'c' failed: it was told to, 1 that need them did not run; the same command goes on"):
        run(plan, store, InProcess())
    assert set(toy.contents(store, plan)) == {"a", "b"}


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


def test_what_a_kill_left_half_written_goes(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), Plan([toy.task("a", seed=1, lines=4)])
    with store.running(plan.digest("a")) as folder:
        (folder / "part").mkdir()
        for name in (".out.abc.txt", "part/.x.abc.png"):
            (folder / name).touch()
    run(plan, store, InProcess())
    assert toy.contents(store, plan) == {"a": WANTED["a"]}
    assert [path.name for path in store.result(plan.digest("a")).rglob("*") if path.is_file()] == ["out.txt"]


def test_time_of_interrupted_runs_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.spend("a" * 64, Spent(2.0, 1.0)) == (2.0, 1.0)
    assert store.spend("a" * 64, Spent(0.5, 0.25)) == (2.5, 1.25)


def test_a_task_says_what_it_took(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), Plan([toy.task("a", pause=0.02)])
    run(plan, store, InProcess())
    spent = store.spent(plan.digest("a"))
    assert spent is not None
    assert spent.seconds >= 3 * 0.02
    assert spent.cpu_seconds >= 0


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
