"""The one exception for bad input: a sentence that names the argument, what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from a user. The command line prints its message on one line and exits with status 2."""


class HardwareError(RuntimeError):
    """Hardware, or its simulation, does not do what it must. The command line prints its message on one line and exits with status 1."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The names of `known` that look most like `name`, for the end of an error message.

    >>> nearest("FGMS", ["FGSM", "BIM", "PGD"])
    'FGSM'
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.4)
    return ", ".join(by_lower[match] for match in close)
