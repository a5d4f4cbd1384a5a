"""Docstrings as Markdown: examples become code, and brackets of indices are not taken for links."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^ *>>> .*(?:\n(?! *$).*)*", re.MULTILINE)
_SHARED = re.compile(r"^ +\w+(?:, \w+)+(?=: )", re.MULTILINE)
_CODE = re.compile(r"(```.*?```|``.*?``|`[^`\n]*`)", re.DOTALL)


def as_markdown(text: str) -> str:
    """A docstring with its doctests in fences, `][` outside of code escaped, and names that share a line, `a, b: ...`, as one."""
    text = _SHARED.sub(lambda found: found[0].replace(", ", ",\u00a0"), text)
    fenced = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)
    parts = _CODE.split(fenced)
    return "".join(part if position % 2 else part.replace("][", "]\\[") for position, part in enumerate(parts))


class Docstrings(griffe.Extension):
    """Applies `as_markdown` to every docstring that the site shows."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
