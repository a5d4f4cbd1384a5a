"""When the claims of the paper's sections 4 and 5.1 are so: each as inequalities between measured numbers, in the order of `CLAIMS`.

Those of section 5.2 are in `qlight.study.transfer_rules`, those of sections 6 and 7 in `qlight.study.ensemble_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from qlight.study.claim import ATTACKS, FLOAT, FULL, WEIGHTS, Numbers
from qlight.study.estimate import Condition, Estimate, ratio


def accuracy_kept(of: Numbers) -> Iterator[Condition]:
    for name in (*FULL[1:], *WEIGHTS):
        yield Condition(f"test accuracy, float - {name}", of("none", FLOAT) - of("none", name), most=0.05)


def accuracy_lost(of: Numbers) -> Iterator[Condition]:
    yield Condition("test accuracy, float - w1a1", of("none", FLOAT) - of("none", "w1a1"), least=0.03)


def weights_alone(of: Numbers) -> Iterator[Condition]:
    for attack in ATTACKS:
        metric = "acc_right" if attack == "ZOO" else "acc"
        for name in WEIGHTS:
            difference = of(attack, name, metric=metric) - of(attack, FLOAT, metric=metric)
            yield Condition(f"{attack}: {name} - float", difference, least=-0.15, most=0.15)


def binary_masks(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM"):
        yield Condition(f"{attack}: w1a1 - float", of(attack, "w1a1") - of(attack, FLOAT), least=0.3)


def binary_falls_to_cw(of: Numbers) -> Iterator[Condition]:
    yield Condition("CW: w1a1 - float", of("CW", "w1a1") - of("CW", FLOAT), most=0.15)


def binary_and_spsa(of: Numbers) -> Iterator[Condition]:
    yield Condition("SPSA: w1a1 - float", of("SPSA", "w1a1") - of("SPSA", FLOAT), least=0.05)


def more_bits(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "CW"):
        for name in FULL[1:]:
            what, difference = f"{attack}: {name} - float", of(attack, name) - of(attack, FLOAT)
            if (attack, of.dataset) == ("FGSM", "SVHN"):
                yield Condition(what, difference, least=0.05)
            else:
                yield Condition(what, difference, most=0.15)


def zoo_fails(of: Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"ZOO: {name} - CW: {name}", _zoo(of, name) - of("CW", name), least=0.3)


def zoo_is_nearer(of: Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"l2 on {name}, CW - ZOO", _turned(of, "CW", name) - _turned(of, "ZOO", name), least=0.0)


def zoo_nearer_than_on_float(of: Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"l2 of ZOO, on float - on {name}", _turned(of, "ZOO", FLOAT) - _turned(of, "ZOO", name), least=0.0)


def zoo_on_float(of: Numbers) -> Iterator[Condition]:
    yield Condition("float: ZOO - CW", _zoo(of, FLOAT) - of("CW", FLOAT), least=-0.1, most=0.1)
    yield Condition("l2 on float, ZOO - CW", _turned(of, "ZOO", FLOAT) - _turned(of, "CW", FLOAT), least=0.0)


def _zoo(of: Numbers, name: str) -> Estimate:
    """ZOO's accuracy as the paper must have it, see `Key`; that of other attacks is over all images."""
    return of("ZOO", name, metric="acc_right")


def _turned(of: Numbers, attack: str, name: str) -> Estimate:
    return of(attack, name, metric="l2_turned")


def differences_vanish(of: Numbers) -> Iterator[Condition]:
    base = of("none", FLOAT, metric="zero_differences")
    for name in (*FULL, *WEIGHTS):
        what, own = f"differences that are zero, {name} - float", of("none", name, metric="zero_differences")
        yield Condition(what, own - base, least=0.3) if name in FULL else Condition(what, own - base, most=0.05)


def differences_explode(of: Numbers) -> Iterator[Condition]:
    base = of("none", FLOAT, metric="difference_99")
    for name in (*FULL, *WEIGHTS):
        what, own = f"99th percentile of difference quotients, {name} / float", of("none", name, metric="difference_99")
        yield Condition(what, ratio(own, base), least=1.5) if name in FULL else Condition(what, ratio(own, base), most=1.5)


def spsa_beats_bim(of: Numbers) -> Iterator[Condition]:
    yield Condition("w1a1: BIM - SPSA", of("BIM", "w1a1") - of("SPSA", "w1a1"), least=0.1)


def logit_variance(of: Numbers) -> Iterator[Condition]:
    base = of("none", FLOAT, metric="logit_variance")
    for name in WEIGHTS:
        own = of("none", name, metric="logit_variance")
        yield Condition(f"variance of logits, {name} / float", ratio(own, base), least=0.67, most=1.5)
