"""Results carried to another machine: what the report reads, in a small file."""

from __future__ import annotations

import json
import lzma
import re
import shutil
from pathlib import Path

import pytest

from qlight.errors import InputError
from qlight.study import Plan, Step, Store, Task, deployed
from qlight.study.archive import FORMAT, export, take
from qlight.study.configuration import Configuration
from qlight.study.planning import make_plan
from qlight.study.report import PAGE, write
from qlight.study.store import Spent
from tests.study.synthetic import OPTIONS, Study

STEP = "tests.study.toy.write"
#: of the study below: what the tasks that read images begin with in the names of those that they need
_READS = {
    "pixels/paper/FGSM": ("attack/torch/paper/FGSM", "attack/packed/paper/FGSM"),
    "pixels/paper/CW": ("attack/torch/paper/CW", "attack/packed/paper/CW"),
    "rtlsim/float": ("attack/packed/paper",),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    """A study whose tasks are done."""
    root = tmp_path_factory.mktemp("study")
    made = Study(root / "made", ("float", "w1a1"), ("FGSM", "CW"))
    plan = Plan([Task(name, STEP, {"seed": name}) for name in made.needs])
    store = Store(root / "store")
    for name, folder in made.needs.items():
        digest = plan.digest(name)
        with store.running(digest) as result:
            result.rmdir()
            folder.rename(result)
        store.finish(digest, name, Spent(2.0, 1.0))
    return plan, store


def folders(plan: Plan, store: Store) -> dict[str, Path]:
    return {task.name: store.result(plan.digest(task.name)) for task in plan if store.is_done(plan.digest(task.name))}


def test_the_report_of_another_machine_lacks_the_pictures_only(study: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = study
    count = export(plan, store, tmp_path / "results.xz")
    other = Store(tmp_path / "other")
    assert take(plan, other, tmp_path / "results.xz") == (count, 0, 0)
    assert take(plan, other, tmp_path / "results.xz") == (0, 0, 0)
    here, there = folders(plan, store), folders(plan, other)
    networks = {name: folder for name, folder in here.items() if name.startswith("network/")}
    assert set(here) - set(there) == set(networks)
    assert other.spent(plan.digest("transfer/CW")) == Spent(2.0, 1.0)
    assert not list((tmp_path / "other").rglob("*.safetensors"))
    write(OPTIONS, here, tmp_path / "a")
    write(OPTIONS, {name: {**there, **networks}[name] for name in here}, tmp_path / "b")
    ours, theirs = ((tmp_path / name / PAGE).read_text() for name in "ab")
    gallery = re.compile(r'<section id="gallery".*?</section>', re.DOTALL)
    assert "there are no images, as they were imported as numbers" in theirs
    assert gallery.sub("", ours) == gallery.sub("", theirs)
    tables = sorted(path.name for path in (tmp_path / "a" / "tables").iterdir())
    assert all((tmp_path / "a" / "tables" / name).read_bytes() == (tmp_path / "b" / "tables" / name).read_bytes() for name in tables)


def test_attacks_whose_images_a_missing_task_needs_run_again(study: tuple[Plan, Store], tmp_path: Path) -> None:
    """Exported when pixels of CW and rtlsim were not done yet."""
    whole, store = study
    tasks = [
        Task(task.name, STEP, {"seed": task.name}, tuple(each.name for each in whole if each.name.startswith(_READS.get(task.name, "-"))))
        for task in whole
    ]
    plan = Plan(tasks)
    late = {"pixels/paper/CW", *(name for name in _READS if name.startswith("rtlsim/"))}
    part, other = Store(tmp_path / "part"), Store(tmp_path / "other")
    for task in plan:
        if task.name not in late:
            with part.running(plan.digest(task.name)) as folder:
                shutil.copytree(store.result(whole.digest(task.name)), folder, dirs_exist_ok=True)
            part.finish(plan.digest(task.name), task.name, Spent(2.0, 1.0))
    count = export(plan, part, tmp_path / "results.xz")
    needed = {need for name in late for need in plan[name].needs}
    assert needed == {task.name for task in plan if task.name.startswith(("attack/torch/paper/CW", "attack/packed/paper"))}
    assert take(plan, other, tmp_path / "results.xz") == (count - len(needed), len(needed), 0)
    assert not needed & folders(plan, other).keys()
    assert {"attack/torch/paper/FGSM/w1a1", "pixels/paper/FGSM", "transfer/CW"} <= folders(plan, other).keys()

    for name in late:  # measured here meanwhile: only numbers are wanted now
        with other.running(plan.digest(name)) as folder:
            (folder / "measured").touch()
        other.finish(plan.digest(name), name, Spent(1.0, 1.0))
    assert take(plan, other, tmp_path / "results.xz") == (len(needed), 0, 0)


@pytest.mark.parametrize("step", [deployed.pixels, deployed.rtlsim])
def test_a_task_that_finds_no_images_says_what_to_do(tmp_path: Path, step: Step) -> None:
    (tmp_path / "attack" / "result").mkdir(parents=True)
    place = tmp_path / "attack" / "result"
    options = {"names": ["w1a1"], "attack": "FGSM", "data": OPTIONS["data"], "images": 2, "attacks": ["FGSM"]}
    with pytest.raises(InputError, match=r"to hold the images of FGSM, but it was imported as numbers; remove '.*attack', so that"):
        step(options, {"first": place, "other": place}, tmp_path)


def test_the_same_results_are_the_same_file(study: tuple[Plan, Store], tmp_path: Path) -> None:
    for name in "ab":
        export(*study, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_there_stays_and_what_is_half_done_goes(study: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = study
    export(plan, store, tmp_path / "results.xz")
    other = Store(tmp_path / "other")
    begun, done = plan.digest("gradients"), plan.digest("spread")
    for digest in (begun, done):
        with other.running(digest) as folder:
            (folder / "half").write_text("x")
    other.finish(done, "spread", Spent(9.0, 9.0))
    take(plan, other, tmp_path / "results.xz")
    assert sorted(path.name for path in other.result(begun).iterdir()) == ["gradients.json"]
    assert sorted(path.name for path in other.result(done).iterdir()) == ["half"]
    assert other.spent(done) == Spent(9.0, 9.0)


def test_results_of_another_study_are_counted_not_taken(study: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = study
    count = export(plan, store, tmp_path / "results.xz")
    changed = Plan([Task(task.name, STEP, {"seed": task.name, "other": task.name == "spread"}) for task in plan])
    assert take(changed, Store(tmp_path / "other"), tmp_path / "results.xz") == (0, 0, count)


def test_nothing_done_is_nothing_to_export(study: tuple[Plan, Store], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is none; run the study first"):
        export(study[0], Store(tmp_path), tmp_path / "results.xz")
    assert not (tmp_path / "results.xz").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        lzma.compress(b"[]"),
        lzma.compress(b'{"format": "other", "tasks": []}'),
        lzma.compress(b'{"tasks": []}'),
        *(
            lzma.compress(json.dumps({"format": FORMAT, "tasks": [{"digest": "0", "seconds": 1, "cpu_seconds": 1, **each}]}).encode())
            for each in ({}, {"files": {"../x": ""}}, {"files": {"x": 1}}, {"files": {}, "seconds": None}, {"files": {}, "digest": 0})
        ),
    ],
)
def test_what_is_no_archive_is_refused(study: tuple[Plan, Store], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="`archive` to be a file of `study export`"):
        take(study[0], Store(tmp_path / "store"), tmp_path / "file")
    assert not (tmp_path / "store").exists()


def test_a_file_that_is_not_there(study: tuple[Plan, Store], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        take(study[0], Store(tmp_path / "store"), tmp_path / "nothing")


def test_the_results_that_come_with_qlight_are_of_its_study(tmp_path: Path) -> None:
    """A changed configuration, network or revision of a step asks for new ones."""
    folder = Path(__file__).parents[2] / "configs/study"
    plan = make_plan(Configuration.load(folder / "small.yaml"))
    taken = take(plan, Store(tmp_path), folder / "small.results.xz")
    assert taken.done > 0
    assert taken.foreign == 0
