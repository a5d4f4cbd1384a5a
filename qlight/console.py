"""Where tables are printed."""

from __future__ import annotations

from typing import Any


def wide(console: Any = None) -> Any:
    """A `rich.console.Console` for tables: at least 120 columns wherever it is no terminal, as a log has no edge to fold at.

    Args:
        console: the one to print on; default: standard output.
    """
    from rich.console import Console

    console = console or Console()
    return console if console.is_terminal else Console(file=console.file, width=max(console.width, 120))
