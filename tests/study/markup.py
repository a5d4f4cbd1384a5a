"""What must be true of an HTML page of a report."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

VOID = {"meta", "img", "br"}


class Parsed(HTMLParser):
    """Elements with their attributes and text; raises where they are not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        self.text.append((tuple(self.open), data))


def check_page(path: Path) -> Parsed:
    """Balanced, ids unique, links and labels lead somewhere, nothing from elsewhere, and what assistive technology needs."""
    text = path.read_text()
    parsed = Parsed(text)
    ids = Counter(attributes["id"] for _, attributes in parsed.elements if "id" in attributes)
    assert ids
    assert max(ids.values()) == 1, ids.most_common(3)
    assert not any(" " in each for each in ids)
    kinds = {tag for tag, _ in parsed.elements}
    assert not kinds & {"script", "link", "iframe", "object"}
    assert "@import" not in text
    assert "url(" not in text
    for tag, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes)
        if "href" in attributes:
            assert attributes["href"][0] == "#"
            assert attributes["href"][1:] in ids
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
        assert attributes.get("aria-labelledby", next(iter(ids))) in ids
        if tag == "th":
            assert attributes["scope"] in ("col", "row", "colgroup")
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("class") == "scroll":
            assert (attributes["role"], attributes["tabindex"]) == ("region", "0")
            assert attributes["aria-labelledby"]
    headings = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    return parsed
