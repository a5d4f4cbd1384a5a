"""The error of a broken rule. SPEC.md beside this file has the text of every rule; the titles here are for messages and tests."""

from __future__ import annotations

from typing import Any, NoReturn

from qlight.errors import InputError

#: rule number -> its subject in a few words; SPEC.md holds the text.
RULES = {
    "F1": "files and size limits",
    "F2": "strict JSON",
    "F3": "format and version",
    "F4": "keys",
    "F5": "arrays file",
    "F6": "content hash",
    "G1": "field types",
    "G2": "names",
    "G3": "order of tensors",
    "G4": "chain",
    "G5": "limits",
    "G6": "input",
    "G7": "output",
    "G8": "logit scale and bias",
    "G9": "metadata",
    "T1": "encodings and bits",
    "T2": "shape",
    "T3": "integer type",
    "N1": "operand kind",
    "N2": "rank",
    "N3": "weight array",
    "N4": "weight codes",
    "N5": "convolution geometry",
    "N6": "padding code",
    "N7": "pool geometry",
    "N8": "threshold arrays",
    "N9": "threshold order",
    "N10": "threshold range",
    "N11": "scales",
}
LONGEST_SHOWN = 60


class GraphError(InputError):
    """An integer graph, or the files of one, breaks a rule of SPEC.md.

    Attributes:
        rule: its number, e.g. ``"N4"``.
        where: what breaks it, e.g. ``"node `conv1`"``.
        problem: what was expected and what came.

    >>> print(GraphError("N4", "node `conv1`", "Expected weight codes from 0 to 3, but got 4"))
    Expected weight codes from 0 to 3, but got 4; node `conv1` breaks rule N4 (weight codes) of qlight/intgraph/SPEC.md.
    """

    def __init__(self, rule: str, where: str, problem: str) -> None:
        super().__init__(rule, where, problem)
        self.rule, self.where, self.problem = rule, where, problem

    def __str__(self) -> str:
        return f"{self.problem}; {self.where} breaks rule {self.rule} ({RULES[self.rule]}) of qlight/intgraph/SPEC.md."


def shown(value: Any) -> str:
    """``repr(value)``, cut: an untrusted file must not choose how long, or with which control characters, a message is.

    >>> len(shown("a" * 100))
    60
    """
    text = ascii(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def broken(rule: str, where: str, expected: str, got: Any) -> NoReturn:
    """Raise the error of a broken rule; ``got`` is what came, or `Words` about it.

    Raises:
        GraphError: always.
    """
    raise GraphError(rule, where, f"Expected {expected}, but got {got.plain if isinstance(got, Words) else shown(got)}")


class Words:
    """Our own words about what came, for `broken`, which shows anything else through ``repr``."""

    def __init__(self, plain: str) -> None:
        self.plain = plain
