"""Studies from YAML: what is planned, and bad input."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from qlight.errors import InputError
from qlight.study.command import main
from qlight.study.configuration import Configuration, images_of
from qlight.study.costs import attack_cost
from qlight.study.planning import make_plan

CONFIGS = Path(__file__).parents[2] / "configs/study"
PGD = {"PGD": {"class_path": "torchattacks.PGD", "init_args": {"eps": 0.03}}}
SMALLEST: dict[str, Any] = {
    "name": "least",
    "dataset": "SVHN",
    "data": {"class_path": "qlight.data.SyntheticDigits", "init_args": {"train_size": 100, "test_size": 10}},
    "networks": {"float": "train", "w2a32": "train"},
    "presets": {"paper": {"FGSM": {"class_path": "torchattacks.FGSM", "init_args": {"eps": 0.03}, "images": 10}}},
}


def study(folder: Path, **changes: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in {**SMALLEST, **changes}.items() if value is not None}))
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_a_plan(path: Path) -> None:
    configuration = Configuration.load(path)
    plan = make_plan(configuration)
    tasks = list(plan)
    assert tasks[-1].name == "report"
    assert set(tasks[-1].needs) == {task.name for task in tasks[:-1]}
    assert len({plan.digest(task.name) for task in tasks}) == len(tasks)
    assert configuration.name == path.stem


def test_the_smallest_study(tmp_path: Path) -> None:
    plan = make_plan(Configuration.load(study(tmp_path)))
    assert [task.name for task in plan] == [
        "network/float",
        "network/w2a32",
        "attack/torch/paper/FGSM/float",
        "attack/torch/paper/FGSM/w2a32",
        "report",
    ]
    assert plan["network/w2a32"].options["model"] == {"weight_bit_width": 2, "activation_bit_width": 32}


def test_sections_add_their_tasks(tmp_path: Path) -> None:
    more = {
        "targets": ["torch", "packed"],
        "transfer": {"attacks": {"FGSM": 10}, "kappas": [5]},
        "ensemble": {"members": ["float", "w2a32"], "m": 2, "attacks": {"FGSM": 10}, "adaptive": {"attacks": PGD, "images": 5}},
        "gradients": {"images": 10},
        "spread": {"images": 10, "difference_images": 2},
        "shift": {"images": 10, "attacks": PGD},
        "diagnose": {"images": 2, "networks": ["float"]},
        "eps": {"attacks": ["FGSM"], "values": [0.01, 0.1], "images": 5},
        "rtlsim": {"images": 2, "networks": ["w2a32"]},
    }
    plan = make_plan(Configuration.load(study(tmp_path, **more)))
    assert Counter(task.name.partition("/")[0] for task in plan) == {
        "network": 2,
        "graph": 2,
        "attack": 8,
        "pixels": 1,
        "rtlsim": 1,
        "transfer": 1,
        "ensemble": 2,
        "gradients": 1,
        "spread": 1,
        "shift": 1,
        "diagnose": 1,
        "report": 1,
    }
    assert plan["transfer/FGSM"].needs == (
        "network/float",
        "network/w2a32",
        "attack/torch/paper/FGSM/float",
        "attack/torch/paper/FGSM/w2a32",
    )
    assert "transfer/FGSM" in plan["ensemble/FGSM"].needs  # crafts nothing again
    assert plan["attack/torch/eps/FGSM 0.1/float"].options["attack"]["FGSM 0.1"]["init_args"] == {"eps": 0.1}
    assert plan["attack/packed/paper/FGSM/float"].needs[2] == "attack/torch/paper/FGSM/float"  # judges what was crafted there
    assert plan["rtlsim/w2a32"].needs == ("graph/w2a32", "attack/packed/paper/FGSM/w2a32")
    order = [task.name for task in plan]
    stages = ["network/w2a32", "gradients", "attack/torch/paper/FGSM/float", "transfer/FGSM", "ensemble/FGSM", "graph/float"]
    stages += ["attack/packed/paper/FGSM/w2a32", "pixels/paper/FGSM", "ensemble/adaptive", "shift", "rtlsim/w2a32", "report"]
    assert [name for name in order if name in stages] == stages


def test_steps_of_another_eps_are_in_proportion(tmp_path: Path) -> None:
    bim = {"class_path": "torchattacks.BIM", "init_args": {"eps": 0.03, "alpha": 0.003, "steps": 10}, "images": 10}
    path = study(tmp_path, presets={"paper": {"BIM": bim}}, eps={"attacks": ["BIM"], "values": [0.06], "images": 5})
    options = make_plan(Configuration.load(path))["attack/torch/eps/BIM 0.06/float"].options
    assert options["images"] == 5
    assert options["attack"]["BIM 0.06"]["init_args"] == {"eps": 0.06, "alpha": 0.006, "steps": 10}


def test_what_takes_no_gradients_comes_last(tmp_path: Path) -> None:
    presets = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())["presets"]
    more = {"shift": {"images": 10, "attacks": PGD}, "presets": presets, "transfer": {"attacks": {"ZOO": 4, "CW": 5}, "kappas": [5]}}
    plan = make_plan(Configuration.load(study(tmp_path, **more)))
    order = [task.name for task in plan]
    assert order.index("transfer/CW") < order.index("shift") < order.index("attack/torch/paper/SPSA/float")
    assert order.index("transfer/ZOO") < order.index("attack/torch/strong/PGD/float")
    assert plan["transfer/CW"].options["kappas"] == [5]
    assert plan["transfer/ZOO"].options["kappas"] == []  # the paper searches CW's


@pytest.mark.parametrize(("attack", "counts"), [("BIM", "gradients"), ("SPSA", "queries"), ("ZOO", "queries"), ("CW", "gradients")])
def test_costs_grow_with_the_work(attack: str, counts: str) -> None:
    spec = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())["presets"]["paper"][attack]
    cost = attack_cost(spec, 10, "float")
    assert attack_cost(spec, 20, "float") == pytest.approx(2 * cost, rel=1e-2)
    assert attack_cost(spec, 10, "w2a32") == cost
    assert attack_cost(spec, 10, "float", width=0.5) == pytest.approx(4 * cost, rel=1e-2)
    assert attack_cost(spec, 10, "w1a1") < cost
    if counts == "queries":
        assert attack_cost(spec, 10, "float", packed=True) < cost


def test_what_changes_a_result_changes_its_hash_and_no_other(tmp_path: Path) -> None:
    before = make_plan(Configuration.load(study(tmp_path)))
    other = yaml.safe_load(yaml.safe_dump(SMALLEST["presets"]))
    other["paper"]["FGSM"]["images"] = {"default": 10, "w2a32": 9}
    after = make_plan(Configuration.load(study(tmp_path, presets=other)))
    changed = {task.name for task in before if before.digest(task.name) != after.digest(task.name)}
    assert changed == {"attack/torch/paper/FGSM/w2a32", "report"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "MNIST"}, "`dataset` to be one of CIFAR10, SVHN"),
        ({"networks": {"w1a2": "train"}}, "`networks` to hold .*but got 'w1a2'"),
        ({"targets": ["rtl"]}, "`targets` to hold packed, torch, but got 'rtl'"),
        ({"rtlsim": {"images": 2, "networks": ["w1a1"]}}, "`rtlsim.networks` to hold float, w2a32, but got 'w1a1'"),
        ({"eps": {"attacks": ["CW"], "values": [1], "images": 2}}, "`eps.attacks` to hold FGSM, but got 'CW'"),
        ({"presets": {"eps": {}}}, "`presets` with other names than 'eps'"),
        (
            {
                "presets": {"paper": {"CW": {"class_path": "qlight.attacks.CarliniWagnerL2", "images": 3}}},
                "eps": {"attacks": ["CW"], "values": [1], "images": 2},
            },
            "attacks of the preset paper that have an eps, but CW has none",
        ),
        ({"presets": None}, "`study` to have 'presets'"),
        ({"prests": {}}, "but got 'prests'; did you mean presets"),
        ({"transfer": {"attacks": {"CW": 10}}}, "`transfer.attacks` to hold FGSM, but got 'CW'"),
        ({"transfer": {"attacks": {"FGSM": {"float": 3}}}}, "`transfer.attacks.FGSM` to be .*numbers by network with `default`"),
        ({"transfer": {"attacks": {"FGSM": {"default": 3, "flaot": 3}}}}, "`transfer.attacks.FGSM` to hold .* but got 'flaot'"),
        (
            {"ensemble": {"members": ["float", "w1a1"], "m": 2, "attacks": {"FGSM": 5}}},
            "`ensemble.members` to hold float, w2a32, but got 'w1a1'",
        ),
        ({"presets": {"paper": {"FGSM": {"class_path": "torchattacks.FGSM"}}}}, "Expected `presets.paper.FGSM.images`, but .* has none"),
        (
            {"presets": {"paper": {"FGSM": {"class_path": "torchattacks.FGSM", "images": {"float": 3}}}}},
            "numbers by network with `default`",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Configuration.load(study(tmp_path, **changes))


@pytest.mark.parametrize(("text", "message"), [("a: [", "is none"), ("- a", "holds a list"), ("\xff", "Expected")])
def test_what_is_no_study_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        Configuration.load(path)
    with pytest.raises(InputError, match="there is no"):
        Configuration.load(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(("images", "expected"), [(5, 5), ({"default": 5}, 5), ({"default": 5, "w1a1": 3}, 3)])
def test_images_of_a_network(images: Any, expected: int) -> None:
    assert images_of(images, "w1a1") == expected


def test_a_transfer_has_the_images_of_each_source(tmp_path: Path) -> None:
    presets = yaml.safe_load(yaml.safe_dump(SMALLEST["presets"]))
    counts = presets["paper"]["FGSM"]["images"] = {"default": 5, "w2a32": 3}
    task = make_plan(Configuration.load(study(tmp_path, presets=presets, transfer={"attacks": {"FGSM": counts}})))["transfer/FGSM"]
    assert task.options["images"] == {"float": 5, "w2a32": 3}
    assert {"attack/torch/paper/FGSM/float", "attack/torch/paper/FGSM/w2a32"} <= {*task.needs}  # nothing is crafted twice
    task = make_plan(Configuration.load(study(tmp_path, presets=presets, transfer={"attacks": {"FGSM": {"default": 4}}})))["transfer/FGSM"]
    assert task.options["images"] == 4
    assert not [need for need in task.needs if need.startswith("attack/")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["report", "x.yaml", "--dry-run"], "`--dry-run` with run, which it plans only, but got it with report; leave it out"),
        (["export", "x.yaml", "--archive", "x.xz", "--dry_run"], "but got it with export"),
        (["import", "x.yaml", "--archive", "x.xz", "--dry-run"], "but got it with import"),
        (["run", "x.yaml", "--dask", "tcp://x:1", "--workers", "4999"], "`--dask` without `--workers`, .* but got 4999; leave it out"),
        (["run", "x.yaml", "--dask", "tcp://x:1", "--threads", "2"], "`--dask` without `--threads`, .* but got 2; leave it out"),
        (["run", "x.yaml", "--dask", "tcp://x:1", "--threads", "1"], "there is no 'x.yaml'"),
        (["status", "x.yaml", "--dry-run"], "there is no 'x.yaml'"),
    ],
)
def test_options_that_would_not_be_used_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(given)
