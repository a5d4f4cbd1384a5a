"""HTML as strings in which only what was meant as HTML is HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = {"img", "meta", "br"}


class Markup(str):
    """Text that is HTML already and is not escaped again."""


def element(name: str, /, *children: str, **attributes: str | int | None) -> Markup:
    """An HTML element; children that are not `Markup` are escaped, attributes always.

    Attributes that are Python words end in an underscore, dashes are underscores; those that are None are left out.

    >>> element("p", "1 < 2 ", element("b", "so"), class_="x")
    '<p class="x">1 &lt; 2 <b>so</b></p>'
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items() if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{named}>")
    return Markup(f"<{name}{named}>{join(children)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Markup:
    """Parts one after the other, escaped where they are not `Markup`."""
    return Markup(between.join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


def paragraphs(*texts: str) -> Markup:
    """A paragraph each."""
    return join(element("p", text) for text in texts)
