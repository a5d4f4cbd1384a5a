"""How a command line names a target: torch, torch:CKPT, packed:FOLDER, rtlsim:FOLDER, csim:FOLDER, board://HOST:PORT."""

from __future__ import annotations

from typing import NamedTuple

from qlight.errors import InputError, nearest

#: kind -> what stands after the colon
KINDS = {"torch": "CKPT", "packed": "FOLDER", "rtlsim": "FOLDER", "csim": "FOLDER", "board": "//HOST:PORT"}
_SOURCES = {
    "packed": "`python -m qlight export` writes such a folder.",
    "rtlsim": "`python -m qlight export --format rtl` writes such a folder.",
    "csim": "`python -m qlight export --format hls` writes such a folder.",
    "board": "`python -m qlight.board serve` runs there.",
}


class TargetName(NamedTuple):
    """A kind of `KINDS`, and the file, folder or address that it runs; empty where the command line gives it elsewhere (torch alone)."""

    kind: str
    place: str


def parse_target(text: str) -> TargetName:
    """What ``text`` names.

    Raises:
        InputError: no such kind, or nothing after the colon of a kind that needs it.

    >>> parse_target("packed:graphs/w1a1")
    TargetName(kind='packed', place='graphs/w1a1')
    """
    kind, colon, place = text.strip().partition(":")
    if kind not in KINDS:
        close = nearest(kind, KINDS, 1)
        hint = f"did you mean {close}{':' + KINDS[close] if close else ''}?" if close else "choose one of these."
        names = ", ".join(f"{kind}:{place}" for kind, place in KINDS.items())
        raise InputError(f"Expected `target` to be torch or one of {names}, but got {text!r}; {hint}")
    if not place and (colon or kind != "torch"):
        raise InputError(
            f"Expected `target` to name what it runs after the colon, {kind}:{KINDS[kind]}, but got {text!r}; "
            + _SOURCES.get(kind, "leave the colon out to use --ckpt_path.")
        )
    return TargetName(kind, place)
