"""Suites: every shape that YAML or the command line gives, round trips, and what is refused."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchattacks
import yaml
from torch import nn

from qlight.attacks import AttackSpec, AttackSuite
from qlight.attacks.spec import resolve_attack, short_names
from qlight.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "attack"
HELPERS = "tests.attacks.helpers"


class Flat(nn.Module):
    """A classifier without parameters."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :10]


def names(value: Any) -> list[tuple[str, str]]:
    return [(spec.name, spec.class_path) for spec in AttackSuite.from_value(value)]


FGSM, BIM = ("FGSM", "torchattacks.FGSM"), ("BIM", "torchattacks.BIM")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("FGSM", [FGSM]),
        ("fgsm", [FGSM]),
        (" fgsm , BIM ", [FGSM, BIM]),
        ("torchattacks.FGSM,bim", [FGSM, BIM]),
        (["FGSM", "bim"], [FGSM, BIM]),
        (("FGSM",), [FGSM]),
        ({"class_path": "bim"}, [BIM]),
        (["FGSM", {"class_path": "torchattacks.BIM", "init_args": {"steps": 2}}], [FGSM, BIM]),
        ({"FGSM": None, "BIM": None}, [FGSM, BIM]),
        ({"mine": "FGSM", "fgsm": None}, [("mine", "torchattacks.FGSM"), ("fgsm", "torchattacks.FGSM")]),
        ({"attacks": {"mine": {"class_path": "BIM", "init_args": None}}}, [("mine", "torchattacks.BIM")]),
        ({"attacks": "fgsm,bim"}, [FGSM, BIM]),
        ("{FGSM: null, b: BIM}", [FGSM, ("b", "torchattacks.BIM")]),
        ("[FGSM, bim]", [FGSM, BIM]),
        (f"{HELPERS}.Anything", [("Anything", f"{HELPERS}.Anything")]),
        (["PGD", "PGD", "pgd"], [("PGD", "torchattacks.PGD"), ("PGD_2", "torchattacks.PGD"), ("PGD_3", "torchattacks.PGD")]),
        ("apgdt", [("APGDT", "torchattacks.APGDT")]),
    ],
)
def test_shapes_of_a_suite(value: Any, expected: list[tuple[str, str]]) -> None:
    before = copy.deepcopy(value)
    assert names(value) == expected
    assert value == before, "the user's value must not change"
    suite = AttackSuite.from_value(value)
    assert AttackSuite.from_value(suite.to_value()) == suite
    assert AttackSuite.from_value(yaml.safe_load(yaml.safe_dump(suite.to_value(), sort_keys=False))) == suite
    assert AttackSuite.from_value(suite) is suite
    assert AttackSuite.from_value(list(suite)) == suite
    assert pickle.loads(pickle.dumps(suite)) == suite
    assert len(suite) == len(expected)
    assert eval(repr(suite), {"AttackSuite": AttackSuite.from_value}) == suite


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_suite_in_configs_is_a_fragment_that_builds(path: Path) -> None:
    assert list(yaml.safe_load(path.read_text())) == ["attacks"]
    suite = AttackSuite.from_value(str(path))
    assert suite == AttackSuite.from_value(path) == AttackSuite.from_value(yaml.safe_load(path.read_text()))
    for spec in suite:
        attack = spec.build(nn.Sequential(nn.Flatten(), nn.Linear(12, 10)))
        for name, value in spec.init_args.items():
            assert getattr(attack, name) == value


def test_there_are_suites() -> None:
    assert {"fgsm_bim.yaml", "linf_8_255.yaml"} <= {path.name for path in CONFIGS.glob("*.yaml")}


def test_the_papers_suite_has_the_values_of_tables_11_and_12() -> None:
    fgsm, bim = AttackSuite.from_value(CONFIGS / "fgsm_bim.yaml")
    assert fgsm.parameters == {"eps": 0.03}
    assert bim.parameters == {"eps": 0.03, "alpha": 0.0003, "steps": 100}


def test_a_file_with_a_fraction() -> None:
    fgsm, pgd = AttackSuite.from_value(CONFIGS / "linf_8_255.yaml")
    assert fgsm.init_args["eps"] == pgd.init_args["eps"] == 8 / 255


def test_suites_compare_by_order_label_class_and_arguments() -> None:
    suite = AttackSuite.from_value("FGSM,BIM")
    assert suite != AttackSuite.from_value("BIM,FGSM")
    assert suite != AttackSuite.from_value({"x": "FGSM", "BIM": None})
    assert suite != AttackSuite.from_value(["FGSM", {"class_path": "BIM", "init_args": {"steps": 3}}])
    assert suite != "FGSM,BIM"
    assert suite.names == ["FGSM", "BIM"]


def test_build_binds_the_model_with_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    model = Flat()
    attack = AttackSpec.create(None, "FGSM", {"eps": "8/255"}).build(model)
    assert isinstance(attack, torchattacks.FGSM)
    assert attack.model is model
    assert attack.eps == 8 / 255
    assert capsys.readouterr().out == "", "torchattacks prints for a model without parameters"


def test_build_turns_a_refusal_into_one_sentence() -> None:
    spec = AttackSpec.create("mine", f"{HELPERS}.Refuses", {"norm": "L7"})
    with pytest.raises(InputError, match=r"attack `mine` accepts.*no such norm: L7"):
        spec.build(Flat())


def test_seeded_sets_only_a_seed_that_is_none() -> None:
    assert AttackSpec.create(None, "AutoAttack").seeded(5).parameters["seed"] == 5
    assert AttackSpec.create(None, "AutoAttack", {"seed": 2}).seeded(5).parameters["seed"] == 2
    for name in ("Square", "FGSM"):  # Square's default is a number, FGSM has none
        spec = AttackSpec.create(None, name)
        assert spec.seeded(5) == spec


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("FGMS", "no attack 'FGMS'; did you mean FGSM"),
        ("qqqqqqqq", "no attack 'qqqqqqqq'; give a short name"),
        (["FGSM", "PDG"], "no attack 'PDG'; did you mean PGD"),
        ("torchattacks.FGMS", "no 'FGMS'; did you mean FGSM"),
        ("torchattack.FGSM", "module 'torchattack' of 'torchattack.FGSM' cannot be imported"),
        (f"{HELPERS}.NotAnAttack", "is not one; name an attack class"),
        ("math.pi", "subclass of torchattacks.Attack, but math.pi is not one"),
        ("torchattacks.attack.Attack", "is not one"),
        ("MultiAttack", "to take `model` as its first argument, but it takes attacks"),
        ("LGV", "to give `trainloader`"),
        ("", "got an empty string"),
        (",", "at least one attack"),
        ([], "at least one attack"),
        ({}, "at least one attack"),
        ({"attacks": None}, "but got None"),
        (None, "but got None"),
        (3, "but got 3"),
        ([["FGSM"]], "flatten it"),
        ({3: "FGSM"}, "but got 3; put it in quotes"),
        ({"a": 3}, "attack `a` to be a name or a mapping"),
        ({"a": {"init_args": {}}}, "attack `a` to be a name or a mapping with `class_path`"),
        ({"a": {"class_path": "FGSM", "init_arg": {}}}, "but got `init_arg`; did you mean init_args"),
        ({"a": {"class_path": "FGSM", "eps": 0.1}}, "but got `eps`; put arguments under `init_args`"),
        ({"a": {"class_path": 3}}, "`class_path` of attack `a` to be a string"),
        ({"a": {"class_path": "FGSM", "init_args": [1]}}, "`init_args` of attack `a` to be a mapping"),
        ({"attacks": "FGSM", "model": {}}, "got `model` as well"),
        ("no/such/suite.yaml", "readable YAML file"),
        ("suite.yml", "readable YAML file"),
        ("{FGSM: [", "cannot be read"),
    ],
)
def test_bad_suites_give_one_sentence(value: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        AttackSuite.from_value(value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"attacks: {FGSM: [", "cannot be read"),
        (b"", "but got None"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"attacks: {suite}", "names itself"),
    ],
)
def test_bad_files_give_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content.replace(b"{suite}", str(path).encode()))
    with pytest.raises(InputError) as error:
        AttackSuite.from_value(str(path))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_not_a_suite(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="readable YAML file"):
        AttackSuite.from_value(tmp_path)


def test_specs_with_one_label_are_refused() -> None:
    spec = AttackSpec.create("same", "FGSM")
    with pytest.raises(InputError, match="'same' comes twice"):
        AttackSuite([spec, spec])


def test_bare_names_of_the_paper_are_those_of_torchattacks() -> None:
    known = short_names()
    assert known["BIM"] == "torchattacks.BIM"
    assert known["FGSM"] == "torchattacks.FGSM"
    assert resolve_attack("bim")[1] is torchattacks.BIM


def test_importing_attacks_and_evaluation_does_not_import_torchattacks() -> None:
    code = (
        "import sys, qlight.attacks, qlight.evaluation\n"
        "heavy = [m for m in ('torch', 'torchattacks', 'lightning', 'matplotlib', 'rich') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
