"""Attacks: what a suite names, and qlight's own `torchattacks.Attack` subclasses.

Importing this package stays cheap: torchattacks (2.5 s) is imported only when an attack is named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qlight.attacks.spec import AttackSpec
from qlight.attacks.suite import AttackSuite

if TYPE_CHECKING:
    from qlight.attacks.abstaining import AdaptivePGD, AdaptiveSPSA
    from qlight.attacks.carlini_wagner import CarliniWagnerL2
    from qlight.attacks.pgd import PGDRestarts
    from qlight.attacks.spsa import SPSA
    from qlight.attacks.zoo import ZOO

_HOME = {
    "AdaptivePGD": "abstaining",
    "AdaptiveSPSA": "abstaining",
    "CarliniWagnerL2": "carlini_wagner",
    "PGDRestarts": "pgd",
    "SPSA": "spsa",
    "ZOO": "zoo",
}

__all__ = ["SPSA", "ZOO", "AdaptivePGD", "AdaptiveSPSA", "AttackSpec", "AttackSuite", "CarliniWagnerL2", "PGDRestarts"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
