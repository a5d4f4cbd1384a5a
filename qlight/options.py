"""The options of a verb that is not LightningCLI's; its help is `qlight.help`'s."""

from __future__ import annotations

import argparse
from typing import NoReturn

from qlight.errors import InputError


class OptionParser(argparse.ArgumentParser):
    """A parser without help and abbreviations, which raises `InputError` where it refuses something.

    Args:
        verb: what follows ``python -m qlight``.
        expected: what it takes, for the error.

    >>> OptionParser("curves", "`--out FILE`").parse_args(["--in"])
    Traceback (most recent call last):
    qlight.errors.InputError: Expected `--out FILE`, but unrecognized arguments: --in; see --help.
    """

    def __init__(self, verb: str, expected: str) -> None:
        super().__init__(prog=f"python -m qlight {verb}", add_help=False, allow_abbrev=False)
        self._expected = expected

    def error(self, message: str) -> NoReturn:
        raise InputError(f"Expected {self._expected}, but {message}; see --help.")
