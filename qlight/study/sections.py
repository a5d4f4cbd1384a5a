"""What each section of a study may hold, checked before anything is planned: a slip ends in a sentence, not after hours.

A check takes where a value stands, such as ``transfer.kappas``, and the value; it raises `InputError` where the value cannot be.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qlight.errors import InputError, nearest

Check = Callable[[str, Any], None]


def check_sections(given: Mapping[str, Any]) -> None:
    """Check every section of a study by its name; None where an optional one is left out.

    Raises:
        InputError: a key is unknown or missing, or a value is of another kind.
    """
    for name, value in given.items():
        if value is not None or name not in _LEFT_OUT:
            _SECTIONS[name](name, value)


def choose(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        InputError: with the nearest name.
    """
    known = sorted(known)
    for name in given:
        if name not in known:
            close = nearest(str(name), known, 1)
            raise InputError(
                f"Expected `{where}` to hold {', '.join(known)}, but got {name!r}" + (f"; did you mean {close}?" if close else ".")
            )


def _refused(where: str, expected: str, value: Any) -> InputError:
    looks_like_a_number = "number" in expected and isinstance(value, str) and any(sign.isdigit() for sign in value)
    hint = "write numbers without quotes, 1.0e-2 for 1e-2, which is text in YAML" if looks_like_a_number else "correct it"
    return InputError(f"Expected `{where}` to be {expected}, but got {reprlib.repr(value)}; {hint}.")


def _text(where: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise _refused(where, "text", value)


def _count(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _refused(where, "a whole number from 1", value)


def _seed(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise _refused(where, "a whole number from 0, below 2**32", value)


def _number(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise _refused(where, "a finite number from 0", value)


def _positive(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise _refused(where, "a finite number above 0", value)


def _fraction(where: str, value: Any) -> None:
    """A number as arguments of attacks are written, such as 8/255; that one in text is a number is for the attack to say."""
    if not isinstance(value, str):
        _positive(where, value)
    elif not value.strip():
        raise _refused(where, "a number or a fraction such as 8/255", value)


def _images(where: str, value: Any) -> None:
    if isinstance(value, Mapping):
        _named(_count)(where, value)
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _refused(where, "a number of images, or numbers by network with `default`", value)


def _plain(where: str, value: Any) -> None:
    """What JSON can hold, as the hashes of tasks are of that."""
    if isinstance(value, Mapping):
        _named(_plain, least=0)(where, value)
    elif isinstance(value, list | tuple):
        for item in value:
            _plain(where, item)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        raise _refused(where, "finite numbers, text, true, false, null, and lists and mappings of these", value)


def _named(check: Check, least: int = 1) -> Check:
    """A mapping from names of the user's to what ``check`` takes."""

    def checked(where: str, value: Any) -> None:
        if not isinstance(value, Mapping) or len(value) < least:
            raise _refused(where, "a mapping" + (" with an entry or more" if least else ""), value)
        for name, item in value.items():
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"Expected names in `{where}` to be text, but got {name!r}; put it in quotes.")
            check(f"{where}.{name}", item)

    return checked


def _listed(check: Check, least: int = 1) -> Check:
    """A list of different values that ``check`` takes."""

    def checked(where: str, value: Any) -> None:
        if not isinstance(value, list | tuple) or len(value) < least:
            raise _refused(where, f"a list of {least} or more" if least else "a list", value)
        for item in value:
            check(where, item)
            if list(value).count(item) > 1:
                raise InputError(f"Expected `{where}` to hold different values, but {item!r} comes twice; remove one.")

    return checked


def _keys(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """A mapping with these keys and no others."""
    known = {**required, **(optional or {})}

    def checked(where: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise _refused(where, f"a mapping with {', '.join(known)}", value)
        choose(where, value, known)
        for name in required:
            if name not in value:
                raise InputError(f"Expected `{where}.{name}`, but `{where}` has none; add it.")
        for name, item in value.items():
            known[name](f"{where}.{name}", item)

    return checked


def _arguments(**known: Check) -> Check:
    """Arguments of a class, which knows them best; ``known``: those that the costs of a plan are computed from."""

    def checked(where: str, value: Any) -> None:
        _named(_plain, least=0)(where, value)
        for name in known.keys() & value.keys():
            known[name](f"{where}.{name}", value[name])

    return checked


_ATTACK = {"class_path": _text}
_GIVEN = {"init_args": _arguments()}
_MODEL, _TRAINER, _DATA = _arguments(width=_positive), _arguments(max_epochs=_count), _arguments(train_size=_count)
_NETWORKS = {"networks": _listed(_text)}
#: sections that a study may do without
_LEFT_OUT = ("transfer", "ensemble", "eps", "gradients", "spread", "shift", "diagnose", "rtlsim")
#: by the names of `qlight.study.configuration.Configuration`, which says what they mean
_SECTIONS: dict[str, Check] = {
    "name": _text,
    "dataset": _text,
    "data": _keys({"class_path": _text}, {"init_args": _DATA}),
    "networks": _named(_text),
    "training": _keys(
        {},
        {
            "data": _DATA,
            "model": _MODEL,
            "trainer": _TRAINER,
            "networks": _named(_keys({}, {"model": _MODEL, "trainer": _TRAINER}), least=0),
        },
    ),
    "targets": _listed(_text),
    "presets": _named(_named(_keys({**_ATTACK, "images": _images}, _GIVEN), least=0), least=0),
    "transfer": _keys({"attacks": _named(_images)}, {"kappas": _listed(_number, least=0)}),
    "ensemble": _keys(
        {"members": _listed(_text, least=2), "m": _count, "attacks": _named(_count)},
        {"kappas": _listed(_number, least=0), "adaptive": _keys({"attacks": _named(_keys(_ATTACK, _GIVEN)), "images": _count})},
    ),
    "eps": _keys({"attacks": _listed(_text), "values": _listed(_fraction), "images": _count}),
    "gradients": _keys({"images": _count}),
    "spread": _keys({"images": _count, "difference_images": _count}),
    "shift": _keys({"attacks": _named(_keys(_ATTACK, _GIVEN)), "images": _count}, _NETWORKS),
    "diagnose": _keys({"images": _count}, _NETWORKS),
    "rtlsim": _keys({"images": _count}, _NETWORKS),
    "seed": _seed,
}
