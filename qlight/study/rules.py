"""When the claims of the paper's sections 4 to 7 are so: each as inequalities between measured numbers, in the order of `CLAIMS`."""

from __future__ import annotations

from collections.abc import Iterator

from qlight.study.claim import ENSEMBLE, FLOAT, FULL, WEIGHTS, Numbers
from qlight.study.estimate import Condition, Estimate, mean, ratio

TRANSFERRED = ("FGSM", "BIM", "CW", "SPSA")


def accuracy_kept(of: Numbers) -> Iterator[Condition]:
    for name in (*FULL[1:], *WEIGHTS):
        yield Condition(f"test accuracy, float - {name}", of("none", FLOAT) - of("none", name), most=0.05)


def accuracy_lost(of: Numbers) -> Iterator[Condition]:
    yield Condition("test accuracy, float - w1a1", of("none", FLOAT) - of("none", "w1a1"), least=0.03)


def weights_alone(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "CW", "SPSA", "ZOO"):
        for name in WEIGHTS:
            yield Condition(f"{attack}: {name} - float", of(attack, name) - of(attack, FLOAT), least=-0.15, most=0.15)


def binary_masks(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM"):
        yield Condition(f"{attack}: w1a1 - float", of(attack, "w1a1") - of(attack, FLOAT), least=0.3)


def binary_falls_to_cw(of: Numbers) -> Iterator[Condition]:
    yield Condition("CW: w1a1 - float", of("CW", "w1a1") - of("CW", FLOAT), most=0.15)


def binary_and_spsa(of: Numbers) -> Iterator[Condition]:
    yield Condition("SPSA: w1a1 - float", of("SPSA", "w1a1") - of("SPSA", FLOAT), least=0.05)


def more_bits(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "CW"):
        if (attack, of.dataset) != ("FGSM", "SVHN"):
            for name in FULL[1:]:
                yield Condition(f"{attack}: {name} - float", of(attack, name) - of(attack, FLOAT), most=0.15)


def zoo_fails(of: Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"ZOO: {name} - CW: {name}", of("ZOO", name) - of("CW", name), least=0.3)


def zoo_is_nearer(of: Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"l2 on {name}, CW - ZOO", of("CW", name, metric="l2") - of("ZOO", name, metric="l2"), least=0.0)


def zoo_on_float(of: Numbers) -> Iterator[Condition]:
    yield Condition("float: ZOO - CW", of("ZOO", FLOAT) - of("CW", FLOAT), least=-0.1, most=0.1)
    yield Condition("l2 on float, ZOO - CW", of("ZOO", FLOAT, metric="l2") - of("CW", FLOAT, metric="l2"), least=0.0)


def spsa_beats_bim(of: Numbers) -> Iterator[Condition]:
    yield Condition("w1a1: BIM - SPSA", of("BIM", "w1a1") - of("SPSA", "w1a1"), least=0.1)


def logit_variance(of: Numbers) -> Iterator[Condition]:
    base = of("none", FLOAT, metric="logit_variance")
    for name in WEIGHTS:
        own = of("none", name, metric="logit_variance")
        yield Condition(f"variance of logits, {name} / float", ratio(own, base), least=0.67, most=1.5)


def _pairs(*, binary: bool) -> Iterator[tuple[str, str]]:
    """Different source and target; ``binary``: with w1a1 as one of them, else without it."""
    names = (FLOAT, *FULL, *WEIGHTS)
    return ((s, t) for s in names for t in names if s != t and ("w1a1" in (s, t)) == binary)


def _all_pairs() -> tuple[tuple[str, str], ...]:
    return (*_pairs(binary=False), *_pairs(binary=True))


def _transfer(of: Numbers, attack: str, pairs: tuple[tuple[str, str], ...]) -> Estimate:
    return mean([of(attack, source, target) for source, target in pairs])


def weak_transfer(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "SPSA"):
        direct = mean([of(attack, source) for source, _ in _all_pairs()])
        yield Condition(f"{attack}: mean over pairs, transferred - on the source", _transfer(of, attack, _all_pairs()) - direct, least=0.15)


def cw_transfers(of: Numbers) -> Iterator[Condition]:
    pairs = tuple(_pairs(binary=False))
    for attack in ("FGSM", "BIM"):
        yield Condition(f"without w1a1: {attack} - CW", _transfer(of, attack, pairs) - _transfer(of, "CW", pairs), least=0.0)


def cw_and_binary(of: Numbers) -> Iterator[Condition]:
    gain = _transfer(of, "CW", tuple(_pairs(binary=True))) - _transfer(of, "CW", tuple(_pairs(binary=False)))
    yield Condition("CW: pairs with w1a1 - pairs without", gain, least=0.15)


def bim_transfers(of: Numbers) -> Iterator[Condition]:
    pairs = tuple(_pairs(binary=False))
    yield Condition("without w1a1: FGSM - BIM", _transfer(of, "FGSM", pairs) - _transfer(of, "BIM", pairs), least=0.0)


def cosines(of: Numbers) -> Iterator[Condition]:
    for source, target in _all_pairs():
        if source < target:
            yield Condition(f"cosine, {source} and {target}", of("CE", source, target, "cosine"), least=-0.5, most=0.5)


def cosines_of_binary(of: Numbers) -> Iterator[Condition]:
    names = (FLOAT, *FULL, *WEIGHTS)
    own = {name: mean([of("CE", name, other, "cosine") for other in names if other != name]) for name in names}
    for name in names:
        if name != "w1a1":
            yield Condition(f"mean cosine with the others, {name} - w1a1", own[name] - own["w1a1"], least=0.0)


def agree_on_clean(of: Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("none", name, "others", "correctly") - of("FGSM", name, "others", "successful")
        yield Condition(f"agreement, right on {name} - fooled {name}", rate, least=0.2)


def agree_on_unsuccessful(of: Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("FGSM", name, "others", "unsuccessful") - of("FGSM", name, "others", "successful")
        yield Condition(f"agreement, did not fool {name} - fooled {name}", rate, least=0.2)


def ensemble_on_clean(of: Numbers) -> Iterator[Condition]:
    yield Condition("prediction rate", of("none", "ensemble", metric="PR"), least=0.8)
    best = of("none", FLOAT)
    yield Condition("accuracy where predicted - float", of("none", "ensemble") - best, least=0.0)


def ensemble_and_binary(of: Numbers) -> Iterator[Condition]:
    for attack in TRANSFERRED:
        yield Condition(f"{attack} from w1a1: defence accuracy", of(attack, "w1a1", "ensemble", "d_acc"), least=0.8)


def ensemble_and_float(of: Numbers) -> Iterator[Condition]:
    yield Condition("CW from float: defence accuracy", of("CW", FLOAT, "ensemble", "d_acc"), least=0.5)


def ensemble_beats_members(of: Numbers) -> Iterator[Condition]:
    for source in FULL[1:]:
        others = mean([of("CW", source, target) for target in ENSEMBLE if target != source])
        yield Condition(
            f"CW from {source}: defence accuracy - mean of the others", of("CW", source, "ensemble", "d_acc") - others, least=0.1
        )


def adaptive(of: Numbers) -> Iterator[Condition]:
    yield Condition("defence accuracy against the adaptive attack", of("adaptive", "ensemble", metric="d_acc"), most=0.3)
