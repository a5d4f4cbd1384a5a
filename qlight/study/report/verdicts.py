"""Every claim of the paper with its verdict, what it rests on, and the command that measures it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from qlight.study.claims import CLAIMS, Claim, Judged, Key
from qlight.study.estimate import NOT_REPRODUCED, REPRODUCED, UNDECIDED, Condition, Estimate
from qlight.study.report.markup import Markup, element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import Column, Table, measured, number
from qlight.study.results import ADAPTIVE_TASK

NOT_MEASURED = "not measured"
#: signs besides colours
SIGNS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", UNDECIDED: "?", NOT_MEASURED: "–"}


class _Asked(Mapping[Key, Estimate]):
    """Numbers that notes which are asked for."""

    def __init__(self, numbers: Mapping[Key, Estimate]) -> None:
        self.numbers = numbers
        self.keys_asked: dict[Key, None] = {}

    def __getitem__(self, key: Key) -> Estimate:
        self.keys_asked[key] = None
        return self.numbers[key]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, Key):
            self.keys_asked[key] = None
        return key in self.numbers

    def __iter__(self) -> Iterator[Key]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Verdict:
    """A claim and what the study says of it.

    Attributes:
        claim: of the paper.
        judged: None where a number that it needs was not measured.
        asked: numbers that its rule asked for, the last of which is missing where ``judged`` is None.
    """

    claim: Claim
    judged: Judged | None
    asked: tuple[Key, ...]

    @cached_property
    def word(self) -> str:
        """One of the keys of `SIGNS`."""
        return NOT_MEASURED if self.judged is None else self.judged.verdict

    @property
    def command(self) -> str:
        """What measures it again."""
        return f"python -m qlight study run CONFIG --only {','.join(sorted({_task(key) for key in self.asked}))}"


def verdicts(of: Material) -> list[Verdict]:
    """Of all claims, in the paper's order."""
    found = []
    for claim in CLAIMS:
        numbers = _Asked(of.measured)
        judged = claim.judge(of.dataset, numbers)
        found.append(Verdict(claim, judged, tuple(numbers.keys_asked)))
    return found


def _task(key: Key) -> str:
    """With what the name of the task begins that measures a number."""
    if key.metric == "logit_variance":
        return "spread"
    if key.metric == "cosine":
        return "gradients"
    if key.attack == "adaptive":
        return ADAPTIVE_TASK
    if key.target in ("ensemble", "others"):
        return "ensemble" if key.attack == "none" else f"ensemble/{key.attack}"
    if key.attack == "none":
        return "network"
    return f"attack/torch/paper/{key.attack}" if key.source == key.target else f"transfer/{key.attack}"


def section(of: Material) -> Section:
    """The claims, each with a details element, and two tables of them."""
    found = verdicts(of)
    text = (
        "The paper's words have no limits; these are the ones of qlight.study.claims, chosen before any full study was run. A claim is "
        "reproduced where the 95 % interval of each of its numbers is within its limit, not reproduced where one interval is wholly "
        "outside, else undecided at this number of images. CONFIG is the YAML file of the study; what is there is not computed again."
    )
    body = join([paragraphs(text), element("div", *map(_claim, found), class_="claims")])
    return Section("claims", "Claims", body, (_summary(found), _conditions(found)))


def _claim(of: Verdict) -> Markup:
    claim = of.claim
    parts = [
        element("h3", badge(of.word), " ", claim.text),
        element("p", f"Section {claim.section}. Limit: {claim.limit}.", class_="note"),
    ]
    if of.judged is None:
        parts.append(element("p", f"Needs {_words(of.asked[-1])}."))
    else:
        met = sum(condition.verdict == REPRODUCED for condition in of.judged.conditions)
        table = _conditions([of], f"claim-{claim.name}-conditions")
        summary = element("summary", f"{met} of {len(of.judged.conditions)} conditions reproduced: numbers")
        parts.append(element("details", summary, table.to_html()))
    parts.append(element("p", element("code", of.command), class_="command"))
    return element("article", *parts, id=f"claim-{claim.name}")


def badge(word: str) -> Markup:
    """A verdict as a sign and a word on a colour."""
    return element("span", f"{SIGNS[word]} {word}", class_=f"badge {word.split(' at ')[0].replace(' ', '-')}")


def _words(key: Key) -> str:
    where = key.source if key.source == key.target else f"{key.source} to {key.target}"
    return f"{key.metric} of {where} under {key.attack}" if key.attack != "none" else f"{key.metric} of {where}"


def _summary(found: list[Verdict]) -> Table:
    columns = (
        *(Column(title, "head") for title in ("claim", "section")),
        *(Column(title, "text") for title in ("says", "limit")),
        Column("verdict", "words"),
        Column("conditions"),
        Column("command", "text"),
    )
    rows = []
    for each in found:
        conditions = each.judged.conditions if each.judged else ()
        met = f"{sum(condition.verdict == REPRODUCED for condition in conditions)} of {len(conditions)}" if conditions else "-"
        rows.append((each.claim.name, each.claim.section, each.claim.text, each.claim.limit, each.word, met, each.command))
    return Table("claims-verdicts", "Claims of the paper and their verdicts", columns, tuple(rows))


def _conditions(found: list[Verdict], name: str = "claims-conditions") -> Table:
    alone = name != "claims-conditions"
    columns = (
        *([] if alone else [Column("claim", "head")]),
        Column("what", "head"),
        *map(Column, ("value", "95 %", "limit")),
        Column("verdict", "words"),
    )
    rows = []
    for each in found:
        for condition in each.judged.conditions if each.judged else ():
            names = (condition.what,) if alone else (each.claim.name, condition.what)
            rows.append((*names, *measured(condition.estimate), _limit(condition), f"{SIGNS[condition.verdict]} {condition.verdict}"))
    title = f"What the verdict rests on: {found[0].claim.name}" if alone else "Numbers that the verdicts rest on"
    return Table(name, title, columns, tuple(rows))


def _limit(of: Condition) -> str:
    """The inequality in signs.

    >>> _limit(Condition("x", Estimate.exact(0.0), least=-0.15, most=0.15))
    '-0.15 to 0.15'
    """
    if math.isinf(of.least):
        return f"at most {number(of.most, 2)}"
    return f"at least {number(of.least, 2)}" if math.isinf(of.most) else f"{number(of.least, 2)} to {number(of.most, 2)}"
