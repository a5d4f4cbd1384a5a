"""Attacks: what a suite names, and qlight's own `torchattacks.Attack` subclasses.

Importing this package stays cheap: torchattacks (2.5 s) is imported only when an attack's name is resolved.
"""

from qlight.attacks.spec import AttackSpec
from qlight.attacks.suite import AttackSuite

__all__ = ["AttackSpec", "AttackSuite"]
