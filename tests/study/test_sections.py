"""Every section of a study: what it may hold, and that every slip in it is an error of one sentence, told by its place."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qlight.errors import InputError
from qlight.study.configuration import Configuration
from qlight.study.planning import make_plan
from tests.study.test_configuration import PGD, SMALLEST, study

#: every section, with every key that it may have
WHOLE: dict[str, Any] = {
    **SMALLEST,
    "training": {
        "data": {"train_size": 50},
        "model": {"width": 0.5},
        "trainer": {"max_epochs": 1},
        "networks": {"float": {"model": {"width": 0.5}, "trainer": {"max_epochs": 2}}},
    },
    "targets": ["torch", "packed"],
    "presets": {
        "paper": {
            "FGSM": {"class_path": "torchattacks.FGSM", "init_args": {"eps": "8/255"}, "images": {"default": 5, "float": 10}},
            "BIM": {"class_path": "torchattacks.BIM", "init_args": {"eps": 0.03, "alpha": "2/255", "steps": 5}, "images": 5},
        }
    },
    "transfer": {"attacks": {"FGSM": 10}, "kappas": [0, 5.5]},
    "ensemble": {
        "members": ["float", "w2a32"],
        "m": 2,
        "attacks": {"FGSM": 10},
        "kappas": [5],
        "adaptive": {"attacks": PGD, "images": 5},
    },
    "eps": {"attacks": ["FGSM", "BIM"], "values": [0.1, "16/255"], "images": 5},
    "gradients": {"images": 10},
    "spread": {"images": 10, "difference_images": 2},
    "shift": {"images": 10, "attacks": copy.deepcopy(PGD), "networks": ["float"]},
    "diagnose": {"images": 2, "networks": ["float"]},
    "rtlsim": {"images": 2, "networks": ["w2a32"]},
    "seed": 1,
}
_FREE = ("init_args", "model", "trainer", "data")
_BIM = WHOLE["presets"]["paper"]["BIM"]


def changed(where: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The whole study with another value there; with none where it is `...`."""
    made = copy.deepcopy(WHOLE)
    place = made
    for key in where[:-1]:
        place = place[key]
    if value is ...:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    return made


def places(of: Any, within: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of mappings in mappings."""
    for key, value in of.items():
        yield (*within, key)
        if isinstance(value, dict):
            yield from places(value, (*within, key))


def test_fractions_are_numbers() -> None:
    plan = make_plan(Configuration(**WHOLE))
    arguments = plan["attack/torch/eps/BIM 0.0627451/float"].options["attack"]["BIM 0.0627451"]["init_args"]
    assert arguments == {"eps": 16 / 255, "alpha": pytest.approx(2 / 255 * 16 / 255 / 0.03), "steps": 5}
    assert plan["attack/torch/eps/FGSM 0.1/float"].options["attack"]["FGSM 0.1"]["init_args"] == {"eps": 0.1}
    assert plan["attack/torch/paper/FGSM/float"].options["attack"]["FGSM"]["init_args"] == {"eps": "8/255"}


@pytest.mark.parametrize("where", [*places(WHOLE)], ids=".".join)
def test_whatever_stands_in_a_place_is_planned_or_refused(where: tuple[str, ...]) -> None:
    for value in (..., None, True, -1, 0, 2.5, float("nan"), "", "1e-2", "a/b", [], [[]], [1, "x"], {}, {"x": 1}, {1: 2}, {"float": None}):
        if value is ... and where[0] in SMALLEST and len(where) == 1:
            continue  # Python's to miss; `Configuration.load` says so
        with contextlib.suppress(InputError):
            plan = make_plan(Configuration(**changed(where, value)))
            assert all(plan.digest(task.name) for task in plan)


@pytest.mark.parametrize(
    "where", [where for where in places(WHOLE) if not any(key in _FREE for key in where[1:-1]) and where[-1] not in _FREE], ids=".".join
)
def test_a_value_of_another_kind_is_refused_by_its_place(where: tuple[str, ...]) -> None:
    for value in (True, -1, 0.5, "", {"x": 1}, [[]]):
        with pytest.raises(InputError, match=rf"^Expected `{where[0]}\b"):
            Configuration(**changed(where, value))


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("transfer", "kapas"), [5], "`transfer` to hold attacks, kappas, but got 'kapas'; did you mean kappas"),
        (("presets", "paper", "BIM", "init_arg"), {}, "`presets.paper.BIM` to hold .*'init_arg'; did you mean init_args"),
        (("data", "init_arg"), {}, "`data` to hold class_path, init_args, but got 'init_arg'; did you mean init_args"),
        (("shift", "attack"), PGD["PGD"], "`shift` to hold attacks, images, networks, but got 'attack'; did you mean attacks"),
        (("training", "networks", "flaot"), {}, "`training.networks` to hold float, w2a32, but got 'flaot'; did you mean float"),
        (("presets", "paper", "BIM", "images"), {"default": 5, "w1al": 3}, "`presets.paper.BIM.images` to hold .*; did you mean w1a1"),
        (("gradients",), {}, "Expected `gradients.images`, but `gradients` has none; add it"),
        (("ensemble", "m"), ..., "Expected `ensemble.m`, but `ensemble` has none; add it"),
        (("ensemble", "m"), 3, "`ensemble.m` to be a number of its members, of which there are 2, but got 3"),
        (("ensemble", "members"), ["float"], "`ensemble.members` to be a list of 2 or more"),
        (("ensemble", "members"), ["float", "float"], "`ensemble.members` to hold different values, but 'float' comes twice"),
        (("presets", "paper", "BIM", "class_path"), ..., "Expected `presets.paper.BIM.class_path`"),
        (("networks",), ["float"], r"`networks` to be a mapping with an entry or more, but got \['float'\]"),
        (("transfer", "kappas"), ["1e1"], "`transfer.kappas` to be a finite number from 0, but got '1e1'; write .* 1.0e-2 for 1e-2"),
        (("training", "trainer", "max_epochs"), "3", "`training.trainer.max_epochs` to be a whole number"),
        (("eps", "values"), ["x"], "`eps` of attack `FGSM` to be a number or a fraction such as 8/255, but got 'x'"),
        (("presets", "paper", "BIM", "init_args"), {"eps": "x"}, "`eps` of attack `BIM` to be a number"),
        (("shift", "attacks"), {"F": {"class_path": "FGSN"}}, "there is no attack 'FGSN'; did you mean FGSM"),
        (("ensemble", "adaptive", "attacks"), {"F": {"class_path": "FGSM", "init_args": {"e": 1}}}, "attack `F` to name its arguments"),
        (("presets", "a/b"), {}, "names in `presets` without / and comma.* but got 'a/b'"),
        (("presets", "strong,"), {}, "names in `presets` without / and comma"),
        (("presets", "paper", "PGD 8/255"), _BIM, "names in `presets.paper` without / and comma.* but got 'PGD 8/255'"),
        (("presets", "paper", "a,b"), _BIM, "names in `presets.paper` without / and comma"),
        (("presets", "paper", "class_path"), _BIM, "other ones than attacks and class_path, but got 'class_path'"),
        (("data", "init_args"), {"x": float("inf")}, "`data.init_args.x` to be finite numbers, text"),
        (("data", "init_args"), {"x": {"day": date(2020, 1, 1)}}, "`data.init_args.x.day` to be finite numbers, text"),
    ],
)
def test_slips_are_told_by_their_place(where: tuple[str, ...], value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(Configuration(**changed(where, value)))


def test_values_that_are_no_list_where_one_is_wanted(tmp_path: Path) -> None:
    for targets in ("torch", {"torch": 1}, [], 3):
        with pytest.raises(InputError, match="`targets` to be a list"):
            Configuration.load(study(tmp_path, targets=targets))
