"""The arguments of an attack: what kind each one takes, and how a value from YAML or the command line becomes that kind.

torchattacks annotates nothing, so a parameter's kind is read from its annotation, else from the class docstring
(``c (float): ...``), else from its default. Where docstring and default contradict each other the default wins.
"""

from __future__ import annotations

import inspect
import math
import re
import typing
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from qlight.errors import InputError, nearest

_DOCUMENTED = re.compile(r"^\s*(\w+)\s*\((\w+)[^)]*\)\s*:", re.MULTILINE)
_KINDS: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
_WORDS: dict[type, str] = {int: "an integer", float: "a number or a fraction such as 8/255", bool: "true or false", str: "a string"}


def attack_parameters(attack_class: type) -> dict[str, inspect.Parameter]:
    """The parameters of an attack class without ``self`` and ``model``, in the order of its signature.

    Raises:
        InputError: the class does not take the model as its first argument, so that a suite cannot build it.
    """
    parameters = list(inspect.signature(attack_class).parameters.values())
    if not parameters or parameters[0].name != "model":
        raise InputError(
            f"Expected attack `{attack_class.__name__}` to take `model` as its first argument, but it takes "
            f"{parameters[0].name if parameters else 'nothing'}; build it in Python instead of naming it in a suite."
        )
    return {parameter.name: parameter for parameter in parameters[1:]}


def check_arguments(attack: str, attack_class: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, converted to the kinds that `attack_class` takes; `attack` is the name used in error messages.

    Raises:
        InputError: `model` is given, a name is unknown, a value has the wrong kind, `eps` is not above 0 or (in l-infinity) above 1, or a
            required argument is missing.
    """
    parameters = attack_parameters(attack_class)
    named = {name: p for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    checked: dict[str, Any] = {}
    kinds = _kinds(attack_class, named)
    for name, value in given.items():
        if name == "model":
            raise InputError(
                f"Expected `init_args` of attack `{attack}` without `model`, but got one; the evaluation gives the model: remove it."
            )
        if name in named:
            checked[name] = _convert(attack, name, value, kinds[name], named[name].default)
        elif takes_any:
            checked[str(name)] = value
        else:
            close = nearest(str(name), named)
            known = ", ".join(named) or "none"
            hint = f"did you mean {close}? It" if close else "it"
            raise InputError(f"Expected `init_args` of attack `{attack}` to name its arguments, but got `{name}`; {hint} takes: {known}.")
    missing = [name for name, p in named.items() if p.default is p.empty and name not in checked]
    if missing:
        raise InputError(
            f"Expected `init_args` of attack `{attack}` to give `{missing[0]}`, which has no default, but it is missing; add it."
        )
    if "eps" in checked:
        norm = {**{name: parameter.default for name, parameter in named.items()}, **checked}.get("norm", "Linf")
        _check_eps(attack, attack_class, checked["eps"], given["eps"], str(norm))
    return checked


def _check_eps(attack: str, attack_class: type, eps: Any, written: Any, norm: str) -> None:
    """Refuse an `eps` that leaves images as they are, and an l-infinity ball that holds every image: 8 where 8/255 is meant."""
    if not _is_kind(eps, float):
        return
    if eps <= 0:
        raise InputError(
            f"Expected `eps` of attack `{attack}` to be above 0, in pixel units of [0, 1], but got {written!r}, which leaves every image "
            "as it is; try 8/255."
        )
    if (
        eps > 1
        and norm == "Linf"
        and "L2" not in attack_class.__name__
        and attack_class.__module__.startswith(("torchattacks.", "qlight."))
    ):
        raise InputError(
            f"Expected `eps` of attack `{attack}` in pixel units of [0, 1], but got {written!r}, a ball that holds every image; "
            f"write {eps:g}/255 if pixels from 0 to 255 are meant."
        )


def all_arguments(attack_class: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument with the value that the attack will use: `given`, and the defaults of the signature for the others."""
    parameters = attack_parameters(attack_class)
    values = {name: p.default for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return {**values, **given}


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: tuples become lists, classes their dotted name, non-finite numbers and the rest text.

    >>> plain({"size": (2, 10), "eps": float("inf"), "kind": int})
    {'size': [2, 10], 'eps': 'inf', 'kind': 'builtins.int'}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Path | Fraction):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a NumPy or torch scalar
        return plain(value.item())
    return repr(value)


def _kinds(attack_class: type, parameters: Mapping[str, inspect.Parameter]) -> dict[str, tuple[type, ...]]:
    """The kinds each parameter takes; an empty tuple where nothing is known, so that any value passes."""
    try:
        hints = typing.get_type_hints(attack_class.__init__)
    except Exception:  # an annotation that cannot be evaluated at run time says nothing about the kind
        hints = {}
    documented = {name: _KINDS.get(word) for name, word in _DOCUMENTED.findall(inspect.getdoc(attack_class) or "")}
    kinds: dict[str, tuple[type, ...]] = {}
    for name, parameter in parameters.items():
        default = parameter.default
        if name in hints:
            kinds[name] = _annotated(hints[name])
            continue
        kind = documented.get(name)
        if default is not parameter.empty and default is not None:
            if kind is None or not _is_kind(default, kind):
                # An undocumented integer default (scale=10) does not say that fractions are refused.
                kind = float if type(default) is int else type(default)
            kinds[name] = (kind,)
        else:
            kinds[name] = (kind,) if kind else ()
        if default is None:
            kinds[name] += (type(None),) if kinds[name] else ()
    return kinds


def _annotated(hint: Any) -> tuple[type, ...]:
    """The plain types in an annotation such as ``float | None``; empty where it holds anything else."""
    parts = typing.get_args(hint) if typing.get_origin(hint) is not None else (hint,)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return tuple({type(part) for part in parts})
    if origin in (list, tuple):
        return (origin,)
    known = (*_KINDS.values(), type(None), tuple, list)
    if origin is not None and getattr(origin, "__name__", "") not in ("Union", "UnionType"):
        return ()
    return tuple(parts) if all(part in known for part in parts) else ()


def _is_kind(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _convert(attack: str, name: str, value: Any, kinds: tuple[type, ...], default: Any) -> Any:
    if not kinds or any(kind not in (*_KINDS.values(), type(None), tuple, list) for kind in kinds):
        return value
    if value is None and type(None) in kinds:
        return None
    for kind in (bool, int, float, tuple, list, str):  # str last: it would accept "8/255" before a number is tried
        if kind in kinds:
            converted = _as_kind(value, kind, default)
            if converted is not None:
                return converted
    words = " or ".join(_WORDS.get(kind, "a list" if kind in (tuple, list) else "null") for kind in kinds)
    raise InputError(f"Expected `{name}` of attack `{attack}` to be {words}, but got {value!r}; correct it.")


def _as_kind(value: Any, kind: type, default: Any) -> Any:
    """`value` as `kind`, or None where it is not one."""
    if kind is bool:
        words = {"true": True, "false": False}
        return value if isinstance(value, bool) else words.get(value.lower()) if isinstance(value, str) else None
    if kind in (tuple, list):
        if not isinstance(value, list | tuple):
            return None
        numeric = isinstance(default, list | tuple) and all(_is_kind(item, float) for item in default)
        items = [_number(item) for item in value] if numeric else list(value)
        return None if numeric and None in items else kind(items)
    if kind is str:
        return value if isinstance(value, str) else None
    number = _number(value)
    if number is None:
        return None
    if kind is int:
        return int(number) if number == int(number) else None
    # An integer default in a float's place (num_iter_set=10) may be used as a count: keep integers as they came.
    return float(number) if isinstance(default, float) or not isinstance(number, int) else number


def _number(value: Any) -> int | float | None:
    """A finite number from a number or from text such as ``8/255``, ``3e-4`` or ``10``; None where it is not one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, str):
        # Two floats divided, so that "8/255" is the same float as 8 / 255 and "0.5/255" works as well.
        parts = value.split("/")
        try:
            if len(parts) == 1:
                number: int | float = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
            elif len(parts) == 2:
                number = float(parts[0]) / float(parts[1])
            else:
                return None
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None
