"""What a diagnostic asks, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "not applicable"]
Comparison = Literal["<=", ">="]
#: What a failure puts in doubt: every result; those of attacks that follow gradients; those of attacks that take differences.
Group = Literal["set-up", "gradients", "differences"]

CARLINI = "Carlini et al. 2019, On evaluating adversarial robustness"
ATHALYE = "Athalye et al. 2018, Obfuscated gradients give a false sense of security"
CROCE = "Croce and Hein 2020, AutoAttack (its flags)"
PINTOR = "Pintor et al. 2022, Indicators of attack failure"
GUPTA = "Gupta and Ajanthan 2020, Improved gradient-based adversarial attacks for quantized networks"
ZIMMERMANN = "Zimmermann et al. 2022, Increasing confidence in adversarial robustness evaluations"
PAPER = "Bernhard et al. 2019, section 5.1.2"


@dataclass(frozen=True)
class Diagnostic:
    """One diagnostic and its outcome.

    Attributes:
        name: identifier, words joined by underscores.
        group: what a failure puts in doubt.
        measured: what was measured, in words.
        figure: the value; None where the diagnostic does not apply, or where no finite number says it.
        unit: of figure and threshold; "share" is 0 to 1.
        threshold, comparison: a figure passes where figure `comparison` threshold.
        source: who asks for this diagnostic.
        status: pass, fail or not applicable.
        verdict: a sentence with the figure in it, or with the reason why the diagnostic does not apply.
        details: further values, as JSON can hold them.
    """

    name: str
    group: Group
    measured: str
    figure: float | None
    unit: str
    threshold: float
    comparison: Comparison
    source: str
    status: Status
    verdict: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """A diagnostic before its measurement; attributes as in `Diagnostic`."""

    name: str
    group: Group
    measured: str
    unit: str
    threshold: float
    comparison: Comparison
    source: str

    def passes(self, figure: float) -> bool:
        """Whether `figure` is on the right side of the threshold; one that is not a number is not.

        >>> Question("zeros", "differences", "", "share", 0.1, "<=", PAPER).passes(0.97)
        False
        """
        return figure <= self.threshold if self.comparison == "<=" else figure >= self.threshold

    def answer(self, figure: float, good: str, bad: str, **details: Any) -> Diagnostic:
        """The outcome: `good` or `bad` is the verdict. An infinite `figure` fails and is stored as None."""
        passed = math.isfinite(figure) and self.passes(figure)
        return self._record(figure if math.isfinite(figure) else None, "pass" if passed else "fail", good if passed else bad, details)

    def skip(self, reason: str) -> Diagnostic:
        """The outcome where the diagnostic does not apply."""
        return self._record(None, "not applicable", f"Not applicable: {reason}.", {})

    def _record(self, figure: float | None, status: Status, verdict: str, details: dict[str, Any]) -> Diagnostic:
        return Diagnostic(
            self.name,
            self.group,
            self.measured,
            figure,
            self.unit,
            self.threshold,
            self.comparison,
            self.source,
            status,
            verdict,
            details,
        )


def percent(share: float) -> str:
    """A share as people read it; a decimal only where it says something.

    >>> percent(0.974), percent(0.004), percent(0.0), percent(1.0)
    ('97 %', '0.4 %', '0 %', '100 %')
    """
    hundredths = 100 * share
    if 0 < hundredths < 1 or 99 < hundredths < 100:
        return f"{hundredths:.1f} %"
    return f"{hundredths:.0f} %"
