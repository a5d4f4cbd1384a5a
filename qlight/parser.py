"""The command line's parser: its errors are one sentence that names the option, what was expected, what came, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from qlight.errors import InputError, nearest

DATA_MODULES = ("SyntheticDigits", "CIFAR10", "SVHN", "Arrays")
_TYPE = re.compile(r"<class '(?:[\w.]*\.)?(\w+)'>")
_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null", "Path": "a path"}


class Parser(LightningArgumentParser):
    """LightningCLI's parser; bad input raises `InputError` with one sentence instead of printing many lines."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        options = [option for action in self._actions for option in action.option_strings]
        raise InputError(sentence(message, options)) from ex


def sentence(message: str, options: Iterable[str] = ()) -> str:
    """jsonargparse's message in one sentence; our own where the message holds one.

    >>> sentence('Parser key "model.width":\\n  Expected a <class \\'float\\'>. Got value: abc')
    "Expected `--model.width` to be a number, but got 'abc'; see --help-all."
    """
    flat = " ".join(message.split())
    if own := re.search(r"(Expected (?!an? )[^`<]{0,40}`.*?)(?: - Expected a <class| Given value type:|$)", flat):
        return own.group(1)
    if unknown := re.search(r"unrecognized arguments: (\S+)", flat):
        name = unknown.group(1).split("=")[0]
        close = nearest(name, options, count=1)
        return f"Expected an option of this verb, but got {name}; " + (f"did you mean {close}?" if close else "see --help-all.")
    if missing := re.search(r"arguments are required: (\S+)", flat):
        name = "--" + missing.group(1).rstrip(",").split(".", 1)[-1]
        example = f" {DATA_MODULES[0]}" if name == "--data" else ""
        return f"Expected `{name}`, but it is missing; add it, for example {name}{example}, or see --help."
    key = re.search(r'Parser key "([^"]+)"', flat)
    value = re.search(r"(?:Given value|Got value): (.*)$", flat)
    if key and key.group(1) == "data" and value:
        name = value.group(1)
        close = nearest(name, DATA_MODULES)
        hint = f"did you mean {close}?" if close else "or give the dotted path of a LightningDataModule."
        return f"Expected `--data` to be one of {', '.join(DATA_MODULES)}, but got {name!r}; {hint}"
    kinds = list(dict.fromkeys(_WORDS.get(kind, str(kind)) for kind in _TYPE.findall(flat.split("Given value type")[0])))
    if key and value and kinds:
        return f"Expected `--{key.group(1)}` to be {' or '.join(kinds)}, but got {value.group(1)!r}; see --help-all."
    return re.sub(r'^Parser key "([^"]+)": ', r"Expected a usable `--\1`, but: ", flat)
