"""Gradient-masking diagnostics of one network: what the literature asks of an evaluation before its figures are believed.

Names are imported when they are first used, so that ``--help`` does not wait for them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.evaluation.diagnostics.record import Diagnostic
    from qlight.evaluation.diagnostics.report import Diagnosis
    from qlight.evaluation.diagnostics.run import diagnose, progress_bar
    from qlight.evaluation.diagnostics.sizes import Sizes

_HOME = {"Diagnosis": "report", "Diagnostic": "record", "Sizes": "sizes", "diagnose": "run", "progress_bar": "run"}

__all__ = ["Diagnosis", "Diagnostic", "Sizes", "diagnose", "progress_bar"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
