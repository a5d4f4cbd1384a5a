"""Arguments of attacks: kinds, fractions, and what is refused."""

from __future__ import annotations

import json
import math

import pytest
import torchattacks
from hypothesis import given, settings
from hypothesis import strategies as st

from qlight.attacks import AttackSpec
from qlight.attacks.arguments import check_arguments, plain
from qlight.errors import InputError
from tests.attacks.helpers import Typed

HELPERS = "tests.attacks.helpers"


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_fraction_is_the_quotient_of_its_two_numbers(numerator: int, denominator: int) -> None:
    assert check_arguments("BIM", torchattacks.BIM, {"alpha": f"{numerator}/{denominator}"}) == {"alpha": numerator / denominator}


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_of_a_number_is_that_number(number: float) -> None:
    # YAML 1.1 reads 3e-4, without a point, as text
    assert check_arguments("BIM", torchattacks.BIM, {"alpha": repr(number)}) == {"alpha": number}


@pytest.mark.parametrize(
    ("attack", "name", "value", "expected"),
    [
        ("FGSM", "eps", 1, 1.0),
        ("FGSM", "eps", " 8 / 255 ", 8 / 255),
        ("FGSM", "eps", "0.5/255", 0.5 / 255),
        ("BIM", "steps", "100", 100),
        ("BIM", "steps", 1e2, 100),
        ("CW", "c", 0.5, 0.5),  # documented as float, though its default is 1
        ("CW", "c", 2, 2),
        ("Jitter", "scale", 2.5, 2.5),  # not documented; an integer default does not refuse a fraction
        ("PGD", "random_start", "false", False),
        ("EOTPGD", "random_start", True, True),
        ("Square", "norm", "L2", "L2"),
        ("AutoAttack", "version", "rand", "rand"),  # documented as bool, but its default is a string
        ("AutoAttack", "seed", None, None),
        ("AutoAttack", "seed", 3, 3),
        ("Pixle", "x_dimensions", [1, "2"], (1, 2)),
        (f"{HELPERS}.Typed", "limit", None, None),
        (f"{HELPERS}.Typed", "limit", "7", 7),
        (f"{HELPERS}.Typed", "mode", "8/255", "8/255"),
    ],
)
def test_values_become_the_kind_that_the_attack_takes(attack: str, name: str, value: object, expected: object) -> None:
    needed = {"eps": 0.1} if attack.endswith("Typed") else {}
    found = AttackSpec.create(None, attack, {**needed, name: value}).init_args[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("attack", "name", "value", "words"),
    [
        ("FGSM", "eps", "8/0", "a number or a fraction"),
        ("FGSM", "eps", "1/2/3", "a number or a fraction"),
        ("FGSM", "eps", "much", "a number or a fraction"),
        ("FGSM", "eps", True, "a number or a fraction"),
        ("FGSM", "eps", math.nan, "a number or a fraction"),
        ("FGSM", "eps", "inf", "a number or a fraction"),
        ("FGSM", "eps", None, "a number or a fraction"),
        ("FGSM", "eps", [0.1], "a number or a fraction"),
        ("BIM", "steps", 1.5, "an integer"),
        ("BIM", "steps", "8/255", "an integer"),
        ("PGD", "random_start", 1, "true or false"),
        ("PGD", "random_start", "maybe", "true or false"),
        ("Square", "norm", 2, "a string"),
        ("Pixle", "x_dimensions", 3, "a list"),
        ("Pixle", "x_dimensions", ["a", 2], "a list"),
        (f"{HELPERS}.Typed", "limit", 1.5, "an integer or null"),
    ],
)
def test_a_value_of_another_kind_names_attack_and_argument(attack: str, name: str, value: object, words: str) -> None:
    with pytest.raises(InputError) as error:
        AttackSpec.create("mine", attack, {"eps": 0.1, name: value} if attack.endswith("Typed") else {name: value})
    message = str(error.value)
    assert f"`{name}` of attack `mine` to be {words}" in message
    assert repr(value) in message
    assert "\n" not in message


@pytest.mark.parametrize("attack", ["FGSM", "torchattacks.Square", "SPSA", "PGDRestarts"])
@pytest.mark.parametrize("value", [0, 0.0, "0", -0.03, "-8/255"])
def test_an_eps_that_allows_nothing_is_refused(attack: str, value: object) -> None:
    with pytest.raises(InputError, match="Expected `eps` of attack `mine` to be above 0") as error:
        AttackSpec.create("mine", attack, {"eps": value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("attack", ["FGSM", "torchattacks.Square", "SPSA", "PGDRestarts"])
def test_pixels_up_to_255_are_not_taken_for_an_eps(attack: str) -> None:
    with pytest.raises(InputError, match=r"Expected `eps` of attack `mine` in pixel units of \[0, 1\], but got 8, .*write 8/255"):
        AttackSpec.create("mine", attack, {"eps": 8})


def test_a_ball_in_l2_may_be_wider_than_1() -> None:
    assert AttackSpec.create("mine", "PGDL2", {"eps": 1.5}).parameters["eps"] == 1.5
    assert AttackSpec.create("mine", "Square", {"norm": "L2", "eps": 1.5}).parameters["eps"] == 1.5


def test_an_unknown_argument_gives_the_nearest_and_all() -> None:
    with pytest.raises(InputError, match=r"`stepz`; did you mean steps.*takes: eps, alpha, steps\."):
        AttackSpec.create(None, "BIM", {"stepz": 3})
    with pytest.raises(InputError, match=r"`zzz`; it takes: eps\."):
        AttackSpec.create(None, "FGSM", {"zzz": 3})


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(InputError, match=r"attack `Typed` to give `eps`.*missing"):
        AttackSpec.create(None, f"{HELPERS}.Typed", {})


def test_the_model_is_not_an_argument() -> None:
    with pytest.raises(InputError, match=r"attack `FGSM` without `model`"):
        AttackSpec.create(None, "FGSM", {"model": "resnet"})


def test_a_class_with_free_keywords_takes_any() -> None:
    assert AttackSpec.create(None, f"{HELPERS}.Anything", {"colour": "red"}).init_args == {"colour": "red"}


def test_parameters_hold_defaults_and_are_json() -> None:
    spec = AttackSpec.create(None, "BIM", {"eps": "8/255"})
    assert spec.parameters == {"eps": 8 / 255, "alpha": 2 / 255, "steps": 10}
    assert AttackSpec.create(None, "Pixle").parameters["x_dimensions"] == [2, 10]
    for name in torchattacks.__all__:
        if name not in ("MultiAttack", "LGV"):
            json.dumps(AttackSpec.create(None, name).parameters, allow_nan=False)


def test_every_default_of_torchattacks_passes_its_own_check_unchanged() -> None:
    for name in torchattacks.__all__:
        if name in ("MultiAttack", "LGV"):  # these take more than a model
            continue
        attack_class = getattr(torchattacks, name)
        parameters = AttackSpec.create(None, f"torchattacks.{name}").parameters
        spec = AttackSpec.create(None, f"torchattacks.{name}", parameters)
        assert spec.parameters == parameters, name
        assert all(type(spec.parameters[key]) is type(value) for key, value in parameters.items()), name
        assert spec.attack_class is attack_class


def test_a_short_name_means_qlights_own_attack_where_both_have_one() -> None:
    assert AttackSpec.create(None, "spsa").class_path == "qlight.attacks.SPSA"
    assert AttackSpec.create(None, "zoo").class_path == "qlight.attacks.ZOO"
    assert AttackSpec.create(None, "torchattacks.SPSA").class_path == "torchattacks.SPSA"


def test_plain_values_survive_strict_json() -> None:
    value = {"a": (1, 2.5), "b": math.nan, "c": {1, 2}, 4: Typed, "d": None, "e": object}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "a": [1, 2.5],
        "b": "nan",
        "c": [1, 2],
        "4": f"{HELPERS}.Typed",
        "d": None,
        "e": "builtins.object",
    }
