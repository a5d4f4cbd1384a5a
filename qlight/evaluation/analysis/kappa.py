"""The search for the kappa of a Carlini-Wagner attack whose examples transfer best (section 5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qlight.attacks import AttackSuite
from qlight.attacks.arguments import all_arguments
from qlight.attacks.spec import AttackSpec
from qlight.errors import InputError

#: "We tested kappa = 5, 10, 15, 20, 25" (section 5.2)
KAPPAS = (5.0, 10.0, 15.0, 20.0, 25.0)
#: classes whose `kappa` is searched; ZOO's is not: the paper does so for CWl2 only
_SEARCHED = ("CarliniWagnerL2", "CW")


def check_kappas(kappas: Iterable[Any]) -> tuple[float, ...]:
    """The candidates in ascending order, each once.

    Raises:
        InputError: one is no finite number from 0.
    """
    found = []
    for kappa in kappas:
        if isinstance(kappa, bool) or not isinstance(kappa, int | float) or not 0 <= kappa < float("inf"):
            raise InputError(f"Expected `kappas` to be finite numbers from 0, but got {kappa!r}; the paper's are 5, 10, 15, 20, 25.")
        found.append(float(kappa))
    return tuple(sorted(set(found)))


def own_kappa(spec: AttackSpec) -> float | None:
    """The kappa that an attack of the suite has, if it is one whose kappa is searched."""
    if spec.attack_class.__name__ not in _SEARCHED:
        return None
    return float(all_arguments(spec.attack_class, spec.init_args)["kappa"])


def variants(spec: AttackSpec, kappas: Sequence[float]) -> dict[float | None, AttackSpec]:
    """The attack as it is, by its kappa (None where none is searched), and with each other kappa, as `<label> kappa <kappa>`.

    >>> [spec.name for spec in variants(AttackSpec.create("CWl2", "CarliniWagnerL2"), (5.0, 10.0)).values()]
    ['CWl2', 'CWl2 kappa 5', 'CWl2 kappa 10']
    """
    own = own_kappa(spec)
    found: dict[float | None, AttackSpec] = {own: spec}
    if own is not None:
        for kappa in kappas:
            if kappa != own:
                init_args = {**spec.init_args, "kappa": kappa}
                found[kappa] = AttackSpec.create(f"{spec.name} kappa {kappa:g}", spec.class_path, init_args)
    return found


def expanded(suite: AttackSuite, kappas: Sequence[float]) -> AttackSuite:
    """The suite with every variant of every attack.

    Raises:
        InputError: labels collide.
    """
    return AttackSuite(variant for spec in suite for variant in variants(spec, kappas).values())


def candidates(spec: AttackSpec, kappas: Sequence[float]) -> tuple[float | None, ...]:
    """Which kappas compete for the report on other networks than the source: those searched, else the attack's own."""
    own = own_kappa(spec)
    return tuple(kappas) if own is not None and kappas else (own,)


def searched(suite: AttackSuite, kappas: Sequence[float]) -> AttackSuite:
    """The variants that compete: what is to be crafted on a source that is not judged itself."""
    return AttackSuite(variants(spec, kappas)[kappa] for spec in suite for kappa in candidates(spec, kappas))


def best(scores: Mapping[float | None, float]) -> float | None:
    """The kappa of the smallest score; of equal ones the smallest kappa, whose examples are nearest.

    >>> best({5.0: 0.4, 10.0: 0.3, 15.0: 0.3})
    10.0
    """
    return min(scores, key=lambda kappa: (scores[kappa], -1.0 if kappa is None else kappa))
