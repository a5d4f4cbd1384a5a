"""What an attack queries. Names are loaded when they are first asked for, so that the packed engine needs numpy only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.targets.packed import PackedEngine

_HOMES = {"PackedEngine": "packed"}
__all__ = ["PackedEngine"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
