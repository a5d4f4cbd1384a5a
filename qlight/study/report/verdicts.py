"""Every claim of the paper with its verdict, what it rests on, and the command that measures it again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qlight.study.claim import Judged, Key, printed_numbers
from qlight.study.claims import CLAIMS
from qlight.study.estimate import NOT_REPRODUCED, REPRODUCED, UNDECIDED, Condition, verdict
from qlight.study.report.markup import Markup, element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import INTERVAL, NONE, Column, Table, measured, number
from qlight.study.results import ADAPTIVE_TASK

NOT_MEASURED = "not measured"
#: signs besides colours
SIGNS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", UNDECIDED: "?", NOT_MEASURED: "–"}
#: tasks that measure what the paper prints no number of, by metric
_ANALYSES = {"cosine": "gradients", "unchanged": "shift", "unchanged_sums": "shift"}
_ANALYSES |= dict.fromkeys(("logit_variance", "zero_differences", "difference_99"), "spread")
#: missing numbers that are named
_NAMED = 3


def verdicts(of: Material) -> list[Judged]:
    """Of all claims, in the paper's order."""
    return [claim.judge(of.dataset, of.measured) for claim in CLAIMS]


def word(of: Judged) -> str:
    """One of the keys of `SIGNS`."""
    return of.verdict or NOT_MEASURED


def command(of: Judged, configuration: str = "CONFIG") -> str:
    """What measures a claim again."""
    return f"python -m qlight study run {configuration} --only {','.join(sorted({_task(key) for key in of.asked}))}"


def _task(key: Key) -> str:
    """With what the name of the task begins that measures a number."""
    if key.metric in _ANALYSES:
        return _ANALYSES[key.metric]
    if key.attack == "adaptive":
        return ADAPTIVE_TASK
    if key.target in ("ensemble", "others"):
        return f"ensemble/{'FGSM' if key.attack == 'none' else key.attack}"  # each measures the clean test set too
    if key.attack == "none":
        return "network"
    return f"attack/torch/paper/{key.attack}" if key.source == key.target else f"transfer/{key.attack}"


def section(of: Material) -> Section:
    """The claims, each with a details element, and two tables of them."""
    found = verdicts(of)
    text = (
        "The paper's words have no limits; these are the ones of qlight.study.claims, chosen before any full study was run, but for "
        "those that say so. A claim is reproduced where the 95 % interval of each of its numbers is within its limit, not reproduced where "
        "one interval is wholly outside, else undecided at this number of images. The paper: the same of its printed numbers. CONFIG is "
        "the YAML file of the study; what is there is not computed again."
    )
    body = join([paragraphs(text), element("div", *(_claim(each, of.dataset) for each in found), class_="claims")])
    return Section("claims", "Claims", body, (_summary(found), _conditions(found, of.dataset)))


def _claim(of: Judged, dataset: str) -> Markup:
    claim = of.claim
    parts = [
        element("h3", badge(word(of)), " ", claim.text),
        element("p", f"Section {claim.section}. Limit: {claim.limit}. {claim.note}".rstrip(), class_="note"),
    ]
    if of.missing:
        parts.append(element("p", f"Not measured: {missing(of)}."))
    if any(condition.known for condition in of.conditions):
        table = _conditions([of], dataset, f"claim-{claim.name}-conditions")
        unknown = sum(not condition.known for condition in of.conditions)
        said = f"{met(of)} conditions reproduced{f', {unknown} not measured' if unknown else ''}: numbers"
        parts.append(element("details", element("summary", said), table.to_html()))
    parts.append(element("p", element("code", command(of)), class_="command"))
    return element("article", *parts, id=f"claim-{claim.name}")


def badge(verdict: str) -> Markup:
    """A verdict as a sign and a word on a colour."""
    return element("span", f"{SIGNS[verdict]} {verdict}", class_=f"badge {verdict.split(' at ')[0].replace(' ', '-')}")


def met(of: Judged) -> str:
    """How many of a claim's conditions are reproduced."""
    return f"{sum(condition.known and condition.verdict == REPRODUCED for condition in of.conditions)} of {len(of.conditions)}"


def missing(of: Judged) -> str:
    """The numbers that a claim lacks, in words; of many the first."""
    words = [_words(key) for key in of.missing[:_NAMED]]
    return "; ".join(words) + (f"; and {len(of.missing) - _NAMED} more" if len(of.missing) > _NAMED else "")


def _words(key: Key) -> str:
    where = key.source if key.source == key.target else f"{key.source} to {key.target}"
    return f"{key.metric} of {where} under {key.attack}" if key.attack != "none" else f"{key.metric} of {where}"


def _summary(found: Sequence[Judged]) -> Table:
    columns = (
        *(Column(title, "head") for title in ("claim", "section")),
        *(Column(title, "text") for title in ("says", "limit")),
        Column("verdict", "words"),
        Column("conditions"),
        Column("command", "text"),
    )
    rows = tuple(
        (each.claim.name, each.claim.section, each.claim.text, each.claim.limit, word(each), met(each), command(each)) for each in found
    )
    return Table("claims-verdicts", "Claims of the paper and their verdicts", columns, rows)


def _conditions(found: Sequence[Judged], dataset: str, name: str = "claims-conditions") -> Table:
    alone = name != "claims-conditions"
    columns = (
        *([] if alone else [Column("claim", "head")]),
        Column("what", "head"),
        *map(Column, ("value", INTERVAL, "limit")),
        Column("verdict", "words"),
        Column("paper", "paper"),
    )
    rows = []
    for each in found:
        for condition, paper in zip(each.conditions, of_the_paper(each, dataset).conditions, strict=True):
            names = (condition.what,) if alone else (each.claim.name, condition.what)
            said = condition.verdict if condition.known else NOT_MEASURED
            rows.append((*names, *values(condition), limit(condition), f"{SIGNS[said]} {said}", values(paper, 2)[0]))
    title = f"What the verdict rests on: {found[0].claim.name}" if alone else "Numbers that the verdicts rest on"
    return Table(name, title, columns, tuple(rows))


def of_the_paper(of: Judged, dataset: str) -> Judged:
    """The same claim judged by the paper's own numbers."""
    return of.claim.judge(dataset, printed_numbers(dataset))


def word_of_the_paper(of: Judged, dataset: str) -> str:
    """What the paper's numbers say: those that it prints of the claim."""
    found = of_the_paper(of, dataset)
    return "not printed" if found.missing else verdict(found.conditions)


def values(of: Condition, digits: int = 3) -> tuple[str, str]:
    """Two cells: its number and the interval."""
    return measured(of.estimate, digits) if of.known else (NONE, NONE)


def limit(of: Condition) -> str:
    """The inequality in signs.

    >>> from qlight.study.estimate import Estimate
    >>> limit(Condition("x", Estimate.exact(0.0), least=-0.15, most=0.15))
    '-0.15 to 0.15'
    """
    if math.isinf(of.least):
        return f"at most {number(of.most, 2)}"
    return f"at least {number(of.least, 2)}" if math.isinf(of.most) else f"{number(of.least, 2)} to {number(of.most, 2)}"
