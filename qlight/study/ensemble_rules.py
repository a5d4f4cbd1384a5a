"""When the claims of the paper's sections 6 and 7, ensembles, are so: as `qlight.study.rules`, in the order of `CLAIMS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from qlight.study.claim import ENSEMBLE, FLOAT, FULL, WEIGHTS, Numbers
from qlight.study.estimate import UNKNOWN, Condition, Estimate, mean
from qlight.study.transfer_rules import TRANSFERRED


def agree_on_clean(of: Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("none", name, "others", "correctly") - of("FGSM", name, "others", "successful")
        yield Condition(f"agreement, right on {name} - fooled {name}", rate, least=0.2)


def agree_on_clean_most(of: Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("none", name, "others", "correctly") - of("FGSM", name, "others", "unsuccessful")
        yield Condition(f"agreement, right on {name} - did not fool {name}", rate, least=0.0)


def agree_on_unsuccessful(of: Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("FGSM", name, "others", "unsuccessful") - of("FGSM", name, "others", "successful")
        yield Condition(f"agreement, did not fool {name} - fooled {name}", rate, least=0.2)


def ensemble_prefers_clean(of: Numbers) -> Iterator[Condition]:
    clean = of("none", "ensemble", metric="PR")
    for attack, source in _examples():
        rate = clean - of(attack, source, "ensemble", "PR")
        yield Condition(f"prediction rate, clean - {attack} from {source}", rate, least=0.0)


def ensemble_predicts_unsuccessful(of: Numbers) -> Iterator[Condition]:
    for attack, source in _examples():
        half = mean([of(attack, source, "ensemble", "PR"), Estimate.exact(0.0)])
        errors = Estimate.exact(1.0) - _defended(of, attack, source)
        yield Condition(f"{attack} from {source}: half of the prediction rate - errors", half - errors, least=0.0)


def ensemble_on_clean(of: Numbers) -> Iterator[Condition]:
    yield Condition("prediction rate", of("none", "ensemble", metric="PR"), least=0.8)
    yield Condition("accuracy where predicted - float", of("none", "ensemble") - of("none", FLOAT), least=0.0)


def ensemble_and_float(of: Numbers) -> Iterator[Condition]:
    for attack in ("BIM", "CW", "SPSA") if of.dataset == "SVHN" else ("CW",):
        least = 0.8 if of.dataset == "SVHN" else 0.5
        yield Condition(f"{attack} from float: defence accuracy", _defended(of, attack, FLOAT), least=least)


def ensemble_and_binary(of: Numbers) -> Iterator[Condition]:
    for attack in TRANSFERRED:
        yield Condition(f"{attack} from w1a1: defence accuracy", _defended(of, attack, "w1a1"), least=0.8)


def ensemble_best_from_binary(of: Numbers) -> Iterator[Condition]:
    for attack, source in _examples():
        if source != "w1a1":
            gain = _defended(of, attack, "w1a1") - _defended(of, attack, source)
            yield Condition(f"{attack}: defence accuracy, from w1a1 - from {source}", gain, least=0.0)


def no_gain_from_binary(of: Numbers) -> Iterator[Condition]:
    for attack in TRANSFERRED:
        gain = _defended(of, attack, "w1a1") - mean(_members(of, attack, "w1a1"))
        yield Condition(f"{attack} from w1a1: defence accuracy - mean of the others", gain, most=0.15)


def ensemble_beats_every_member(of: Numbers) -> Iterator[Condition]:
    for attack, source in _examples():
        if source != "w1a1":
            gain = _defended(of, attack, source) - highest(_members(of, attack, source))
            yield Condition(f"{attack} from {source}: defence accuracy - highest of the others", gain, least=0.0)


def ensemble_beats_members(of: Numbers) -> Iterator[Condition]:
    gains = {
        attack: [_defended(of, attack, source) - mean(_members(of, attack, source)) for source in FULL[1:]]
        for attack in ("CW", "FGSM", "BIM", "SPSA")
    }
    for source, gain in zip(FULL[1:], gains["CW"], strict=True):
        yield Condition(f"CW from {source}: defence accuracy - mean of the others", gain, least=0.1)
    for attack in ("FGSM", "BIM", "SPSA"):
        yield Condition(f"the same, mean over w2a2, w3a3, w4a4: CW - {attack}", mean(gains["CW"]) - mean(gains[attack]), least=0.0)


def poor_protection(of: Numbers) -> Iterator[Condition]:
    for name in (*FULL, *WEIGHTS):
        yield Condition(f"lowest accuracy on {name}", lowest([of(attack, name) for attack in TRANSFERRED]), most=0.15)


def adaptive(of: Numbers) -> Iterator[Condition]:
    yield Condition("defence accuracy against the adaptive attack", of("adaptive", "ensemble", metric="d_acc"), most=0.3)


def _examples() -> Iterator[tuple[str, str]]:
    """The attack and the source of each set of examples that the ensemble was given."""
    return ((attack, source) for attack in TRANSFERRED for source in ENSEMBLE)


def _defended(of: Numbers, attack: str, source: str) -> Estimate:
    return of(attack, source, "ensemble", "d_acc")


def _members(of: Numbers, attack: str, source: str) -> list[Estimate]:
    """Accuracies of the members that the examples were not crafted on, each alone."""
    return [of(attack, source, target) for target in ENSEMBLE if target != source]


def highest(estimates: Sequence[Estimate]) -> Estimate:
    """The highest of estimates, however they depend on each other; unknown where one of them is.

    >>> highest([Estimate(0.4, 0.3, 0.5), Estimate(0.3, 0.1, 0.6)])
    Estimate(value=0.4, low=0.3, high=0.6)
    """
    return _extreme(max, estimates)


def lowest(estimates: Sequence[Estimate]) -> Estimate:
    """The lowest, likewise."""
    return _extreme(min, estimates)


def _extreme(choose: Callable[[Iterable[float]], float], estimates: Sequence[Estimate]) -> Estimate:
    if not all(each.known for each in estimates):
        return UNKNOWN
    return Estimate(
        choose(each.value for each in estimates), choose(each.low for each in estimates), choose(each.high for each in estimates)
    )
