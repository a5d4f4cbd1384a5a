"""What an attack queries. Names are loaded when they are first asked for, so that the packed engine needs numpy only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.targets.board import BoardTarget
    from qlight.targets.cache import QueryCache
    from qlight.targets.csim import CSimEngine
    from qlight.targets.csim_target import CSimTarget
    from qlight.targets.eight_bit import PackedTarget, PixelTarget
    from qlight.targets.ensemble import EnsembleTarget
    from qlight.targets.naming import parse_target
    from qlight.targets.opening import open_target
    from qlight.targets.packed import PackedEngine
    from qlight.targets.rtlsim import RtlSimEngine
    from qlight.targets.rtlsim_certify import CertificationError, Sample, certify
    from qlight.targets.rtlsim_target import RtlSimTarget
    from qlight.targets.simulated import SimulationError
    from qlight.targets.target import BudgetError, Target, TorchTarget

_HOMES = {
    "BoardTarget": "board",
    "BudgetError": "target",
    "CSimEngine": "csim",
    "CSimTarget": "csim_target",
    "CertificationError": "rtlsim_certify",
    "EnsembleTarget": "ensemble",
    "PackedEngine": "packed",
    "PackedTarget": "eight_bit",
    "PixelTarget": "eight_bit",
    "QueryCache": "cache",
    "RtlSimEngine": "rtlsim",
    "RtlSimTarget": "rtlsim_target",
    "Sample": "rtlsim_certify",
    "SimulationError": "simulated",
    "Target": "target",
    "TorchTarget": "target",
    "certify": "rtlsim_certify",
    "open_target": "opening",
    "parse_target": "naming",
}
__all__ = [
    "BoardTarget",
    "BudgetError",
    "CSimEngine",
    "CSimTarget",
    "CertificationError",
    "EnsembleTarget",
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
    "open_target",
    "parse_target",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
