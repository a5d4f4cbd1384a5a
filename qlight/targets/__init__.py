"""What an attack queries. Names are loaded when they are first asked for, so that the packed engine needs numpy only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.targets.cache import QueryCache
    from qlight.targets.eight_bit import PackedTarget, PixelTarget
    from qlight.targets.naming import parse_target
    from qlight.targets.packed import PackedEngine
    from qlight.targets.rtlsim import RtlSimEngine, SimulationError
    from qlight.targets.rtlsim_certify import CertificationError, Sample, certify
    from qlight.targets.rtlsim_target import RtlSimTarget
    from qlight.targets.target import BudgetError, Target, TorchTarget

_HOMES = {
    "BudgetError": "target",
    "CertificationError": "rtlsim_certify",
    "PackedEngine": "packed",
    "PackedTarget": "eight_bit",
    "PixelTarget": "eight_bit",
    "QueryCache": "cache",
    "RtlSimEngine": "rtlsim",
    "RtlSimTarget": "rtlsim_target",
    "Sample": "rtlsim_certify",
    "SimulationError": "rtlsim",
    "Target": "target",
    "TorchTarget": "target",
    "certify": "rtlsim_certify",
    "parse_target": "naming",
}
__all__ = [
    "BudgetError",
    "CertificationError",
    "PackedEngine",
    "PackedTarget",
    "PixelTarget",
    "QueryCache",
    "RtlSimEngine",
    "RtlSimTarget",
    "Sample",
    "SimulationError",
    "Target",
    "TorchTarget",
    "certify",
    "parse_target",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
