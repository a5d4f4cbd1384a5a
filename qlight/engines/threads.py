"""How many threads an engine has."""

from __future__ import annotations

import os

from qlight.errors import InputError


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """An engine's argument ``threads``; all processors for None.

    Raises:
        InputError: it is no positive number.
    """
    if threads is None:
        return processors()
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise InputError(f"Expected `threads` to be a whole number from 1, or None for all processors, but got {threads!r}.")
    return threads
