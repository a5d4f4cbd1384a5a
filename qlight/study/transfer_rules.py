"""When the claims of the paper's section 5.2, transferability, are so: as `qlight.study.rules`, in the order of `CLAIMS`."""

from __future__ import annotations

from collections.abc import Iterator

from qlight.study.claim import FLOAT, FULL, WEIGHTS, Numbers
from qlight.study.estimate import Condition, Estimate, mean

NAMES = (FLOAT, *FULL, *WEIGHTS)
#: attacks whose examples transfer; the paper prints ZOO's too, and says nothing of them
TRANSFERRED = ("FGSM", "BIM", "CW", "SPSA")


def _pairs(*, binary: bool) -> tuple[tuple[str, str], ...]:
    """Different source and target; ``binary``: with w1a1 as one of them, else without it."""
    return tuple((s, t) for s in NAMES for t in NAMES if s != t and ("w1a1" in (s, t)) == binary)


_WITHOUT, _WITH = _pairs(binary=False), _pairs(binary=True)
_ALL = (*_WITHOUT, *_WITH)
_FROM = tuple((source, target) for source, target in _ALL if source == "w1a1")


def _transfer(of: Numbers, attack: str, pairs: tuple[tuple[str, str], ...], metric: str = "acc") -> Estimate:
    return mean([of(attack, source, target, metric) for source, target in pairs])


def weak_transfer(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "SPSA"):
        direct = mean([of(attack, source) for source, _ in _ALL])
        yield Condition(f"{attack}: mean over pairs, transferred - on the source", _transfer(of, attack, _ALL) - direct, least=0.15)


def cw_transfers(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM"):
        yield Condition(f"without w1a1: {attack} - CW", _transfer(of, attack, _WITHOUT) - _transfer(of, "CW", _WITHOUT), least=0.0)


def cw_costs(of: Numbers) -> Iterator[Condition]:
    for metric in ("l2", "linf"):
        direct = mean([of("CW", source, metric=metric) for source, _ in _WITHOUT])
        gain = _transfer(of, "CW", _WITHOUT, metric) - direct
        yield Condition(f"{metric} of CW without w1a1: transferred - on the source", gain, least=0.0)


def cw_and_binary(of: Numbers) -> Iterator[Condition]:
    gain = _transfer(of, "CW", _WITH) - _transfer(of, "CW", _WITHOUT)
    yield Condition("CW: pairs with w1a1 - pairs without", gain, least=0.15)


def cw_from_binary(of: Numbers) -> Iterator[Condition]:
    gain = _transfer(of, "CW", _FROM, "l2") - _transfer(of, "CW", _WITHOUT, "l2")
    yield Condition("l2 of CW: from w1a1 - pairs without w1a1", gain, least=0.0)


def bim_transfers(of: Numbers) -> Iterator[Condition]:
    yield Condition("without w1a1: FGSM - BIM", _transfer(of, "FGSM", _WITHOUT) - _transfer(of, "BIM", _WITHOUT), least=0.0)


def activations_level(of: Numbers) -> Iterator[Condition]:
    for name in FULL:
        gain = of("FGSM", FLOAT, name, "unchanged") - of("FGSM", FLOAT, metric="unchanged")
        yield Condition(f"unchanged activations, examples from float: on {name} - on float", gain, least=0.0)
    for name in FULL:
        gain = _from_others(of, name, "unchanged") - of("FGSM", name, metric="unchanged")
        yield Condition(f"unchanged activations on {name}, examples from others - from itself", gain, least=0.0)


def weights_level(of: Numbers) -> Iterator[Condition]:
    for name in WEIGHTS:
        yield Condition(f"unchanged sums on {name}, examples from others", _from_others(of, name, "unchanged_sums"), least=0.05)


def _from_others(of: Numbers, target: str, metric: str) -> Estimate:
    return _transfer(of, "FGSM", tuple((source, target) for source in NAMES if source != target), metric)


def cosines(of: Numbers) -> Iterator[Condition]:
    for source, target in _ALL:
        if source < target:
            yield Condition(f"cosine, {source} and {target}", of("CE", source, target, "cosine"), least=-0.5, most=0.5)


def cosines_of_binary(of: Numbers) -> Iterator[Condition]:
    own = {name: mean([of("CE", name, other, "cosine") for other in NAMES if other != name]) for name in NAMES}
    for name in NAMES:
        if name != "w1a1":
            yield Condition(f"mean cosine with the others, {name} - w1a1", own[name] - own["w1a1"], least=0.0)


def transfer_and_binary(of: Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "SPSA"):  # CW: see `cw_and_binary`
        gain = _transfer(of, attack, _WITH) - _transfer(of, attack, _WITHOUT)
        yield Condition(f"{attack}: pairs with w1a1 - pairs without", gain, least=0.0)


def transfer_from_binary(of: Numbers) -> Iterator[Condition]:
    for attack in TRANSFERRED:
        gain = _transfer(of, attack, _FROM) - _transfer(of, attack, _WITHOUT)
        yield Condition(f"{attack}: from w1a1 - pairs without w1a1", gain, least=0.1)
