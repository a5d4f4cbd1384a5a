"""The verdicts as a page of the documentation: ours against the paper's, and the command that recomputes each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qlight.study.claim import Judged
from qlight.study.estimate import REPRODUCED, Condition
from qlight.study.report.material import Material
from qlight.study.report.page import warnings
from qlight.study.report.verdicts import SIGNS, command, limit, met, of_the_paper, values, verdicts, word, word_of_the_paper

NOT_RUN, PARTLY_RUN = "not run", "partly run"


def claims_page(of: Material, configuration: str, tasks: int, page: Path) -> str:
    """Markdown; numbers that were not measured are "not run".

    Args:
        of: what was measured.
        configuration: path of the study's file, as commands have it.
        tasks: how many the study has.
        page: path of the page, as commands have it.
    """
    found = verdicts(of)
    done = f"All {tasks} tasks of the study have run." if not of.missing else f"**{tasks - len(of.missing)} of {tasks} tasks have run.**"
    lines = [
        "# The paper's claims, ours against the paper's",
        "",
        "<!-- written by `study report`, below; change the study or the rules in qlight/study, not this page -->",
        "",
        "Each claim of the paper's sections 4 to 7 as inequalities between measured numbers (`rules.py`, `transfer_rules.py` and "
        "`ensemble_rules.py` in `qlight/study`), chosen before any full study was run, but for those that say so. It is *reproduced* where "
        "the 95 % interval of each of its numbers is within the limit, *not reproduced* where one interval is wholly outside, else "
        "*undecided at this n*. The last column is the verdict of the same rule on the numbers that the paper printed, taken as exact. "
        f"Study `{configuration}`, beside the paper's {of.dataset}. {' '.join([done, *warnings(of)])}",
        "",
        *commands(configuration, f"--verdicts {page}"),
        "",
        counted(found),
        "",
        "| claim | section | ours | conditions met | the paper's numbers |",
        "|---|---|---|---|---|",
        *(_row(each, of.dataset) for each in found),
    ]
    for each in found:
        lines += ["", *_claim(each, of.dataset, configuration)]
    return "\n".join(lines) + "\n"


def commands(configuration: str, options: str) -> Sequence[str]:
    """A fence with the commands that write a page of a study, from the results that lie beside its file too, and that run the rest."""
    results = Path(configuration).with_suffix(".results.xz")
    taken = (
        "# takes over what was measured, and makes the networks again",
        f"python -m qlight study import {configuration} --archive {results}",
        f"python -m qlight study run {configuration} --only network,graph",
    )
    return (
        "```sh",
        *(taken if results.exists() else ()),
        "# writes this page from what has run",
        f"python -m qlight study report {configuration} {options}",
        "# runs what has not",
        f"python -m qlight study run {configuration}",
        "```",
    )


def counted(found: Sequence[Judged]) -> str:
    """How many claims have which verdict, as a sentence."""
    counts = Counter(map(_said, found))
    return f"Of {len(found)} claims: " + ", ".join(f"{count} {said}" for said, count in sorted(counts.items())) + "."


def _row(of: Judged, dataset: str) -> str:
    text = f"[{of.claim.text}](#{of.claim.name})"
    paper = word_of_the_paper(of, dataset)
    return f"| {text} | {of.claim.section} | {SIGNS[word(of)]} {_said(of)} | {met(of)} | {paper} |"


def _claim(of: Judged, dataset: str, configuration: str) -> Sequence[str]:
    paper = of_the_paper(of, dataset).conditions
    return (
        f"## {of.claim.text} {{: #{of.claim.name} }}",
        "",
        f"Section {of.claim.section}; limit: {of.claim.limit}. "
        f"Ours: **{_said(of)}**; the paper's numbers: {word_of_the_paper(of, dataset)}. {of.claim.note}".rstrip(),
        "",
        "```sh",
        command(of, configuration),
        "```",
        "",
        "| what | ours | 95 % | limit | verdict | the paper's |",
        "|---|---:|---:|---:|---|---:|",
        *(_condition(ours, theirs) for ours, theirs in zip(of.conditions, paper, strict=True)),
    )


def _condition(ours: Condition, theirs: Condition) -> str:
    value, interval = values(ours)
    printed = values(theirs, 2)[0]
    if not ours.known:
        return f"| {ours.what} | {NOT_RUN} | | {limit(ours)} | | {printed} |"
    sign = "" if theirs.verdict == REPRODUCED or not theirs.known else " (outside)"
    return f"| {ours.what} | {value} | {interval} | {limit(ours)} | {SIGNS[ours.verdict]} {ours.verdict} | {printed}{sign} |"


def _said(of: Judged) -> str:
    if of.verdict is not None:
        return of.verdict
    return PARTLY_RUN if any(condition.known for condition in of.conditions) else NOT_RUN
