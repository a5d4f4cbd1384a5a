"""What an attack queries: engines and boards as torch modules. Names are loaded when first asked for: engines need no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.engines.csim import CSimEngine
    from qlight.engines.packed import PackedEngine
    from qlight.engines.rtlsim import RtlSimEngine
    from qlight.engines.simulated import SimulationError
    from qlight.targets.board import BoardTarget
    from qlight.targets.cache import QueryCache
    from qlight.targets.csim_target import CSimTarget
    from qlight.targets.eight_bit import PackedTarget, PixelTarget
    from qlight.targets.ensemble import EnsembleTarget
    from qlight.targets.naming import parse_target
    from qlight.targets.opening import open_target
    from qlight.targets.rtlsim_certify import CertificationError, Sample, certify
    from qlight.targets.rtlsim_target import RtlSimTarget
    from qlight.targets.target import BudgetError, Target, TorchTarget

_HOMES = {
    "BoardTarget": "qlight.targets.board",
    "BudgetError": "qlight.targets.target",
    "CSimEngine": "qlight.engines.csim",
    "CSimTarget": "qlight.targets.csim_target",
    "CertificationError": "qlight.targets.rtlsim_certify",
    "EnsembleTarget": "qlight.targets.ensemble",
    "PackedEngine": "qlight.engines.packed",
    "PackedTarget": "qlight.targets.eight_bit",
    "PixelTarget": "qlight.targets.eight_bit",
    "QueryCache": "qlight.targets.cache",
    "RtlSimEngine": "qlight.engines.rtlsim",
    "RtlSimTarget": "qlight.targets.rtlsim_target",
    "Sample": "qlight.targets.rtlsim_certify",
    "SimulationError": "qlight.engines.simulated",
    "Target": "qlight.targets.target",
    "TorchTarget": "qlight.targets.target",
    "certify": "qlight.targets.rtlsim_certify",
    "open_target": "qlight.targets.opening",
    "parse_target": "qlight.targets.naming",
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
    return getattr(importlib.import_module(_HOMES[name]), name)
