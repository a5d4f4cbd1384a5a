"""The page: what was studied and how it ended on the first screen, then the sections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qlight.study.report.markup import Markup, element
from qlight.study.report.material import Material, Section
from qlight.study.report.verdicts import SIGNS, badge, verdicts, word

_STYLE = Path(__file__).with_name("style.css")


def page(of: Material, sections: Sequence[Section]) -> str:
    """The whole HTML document."""
    title = f"Study {of.name}: quantized networks under attack"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    links = (element("li", element("a", section.title, href=f"#{section.name}")) for section in sections)
    body = element(
        "body",
        element("a", "Skip to the results", href="#results", class_="skip"),
        element("header", element("h1", title), *_summary(of)),
        element("nav", element("ul", *links), aria_label="Sections"),
        element("main", *map(_section, sections), id="results", tabindex=-1),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.name}-heading")
    return element("section", heading, section.body, id=section.name, aria_labelledby=f"{section.name}-heading")


def _summary(of: Material) -> list[Markup]:
    """The first screen: what, how many verdicts of each kind, and what to keep in mind."""
    counts = Counter(map(word, verdicts(of)))
    # all four, also where one is 0
    tiles = [element("li", element("a", element("strong", str(counts[each])), badge(each), href="#claims")) for each in SIGNS]
    lines = [
        element("p", _studied(of), class_="lead"),
        element("p", f"Of {counts.total()} claims of the paper (Bernhard, Moellic and Dutertre 2019):"),
        element("ul", *tiles, class_="tiles"),
    ]
    mind = warnings(of)
    if of.missing:
        mind.insert(0, f"This study is not finished: {_count(len(of.missing), 'task')} did not run; they are named at the end.")
    if mind:
        lines.append(element("p", element("strong", "Mind: "), " ".join(mind), class_="mind"))
    return lines


def _studied(of: Material) -> str:
    networks = of.results.networks
    attacks = list(dict.fromkeys(each.attack for each in of.results.attacked))
    targets = list(dict.fromkeys(each.target for each in of.results.attacked))
    sizes = sorted({each.images for each in of.results.attacked})
    said = f"{_count(len(networks), 'network')} ({', '.join(networks)})" if networks else "No networks"
    if attacks:
        n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        said += (
            f", {_count(len(attacks), 'attack')} ({', '.join(attacks)}) on {n} images each, run as trained and as deployed"
            if len(targets) > 1
            else f", {_count(len(attacks), 'attack')} ({', '.join(attacks)}) on {n} images each"
        )
    return f"{said}; beside the paper's numbers of {of.dataset}."


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def warnings(of: Material) -> list[str]:
    """Why the numbers beside the paper's are not of what the paper measured."""
    found = []
    if of.data_name.casefold() != of.dataset.casefold():
        found.append(f"The data are {of.data_name}, not {of.dataset}.")
    widths = dict.fromkeys(each.row["model"]["init_args"].get("width", 1.0) for each in of.results.attacked if each.target == "torch")
    for width in widths:
        if width != 1:
            found.append(f"Networks have {width:g} of the paper's width.")
    few = [each for each in of.results.attacked if each.images < 30]
    if few:
        found.append(f"Some attacks ran on {min(each.images for each in few)} images: look at the intervals.")
    return found
