"""The claims of the paper's sections 4 to 7, each as inequalities between measured numbers, so that a verdict is computed, not written.

The paper's words have no limits ("far more robust", "almost as efficient"). Ours are the ones here, chosen before any full study was run,
so that the paper's own tables meet them where they meet its words; `tests/study/test_claims.py` says where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from qlight.study.estimate import Condition, Estimate, mean, verdict

FLOAT = "float"
FULL = ("w1a1", "w2a2", "w3a3", "w4a4")
WEIGHTS = ("w1a32", "w2a32", "w3a32", "w4a32")
ENSEMBLE = (FLOAT, *FULL)
TRANSFERRED = ("FGSM", "BIM", "CW", "SPSA")


class Key(NamedTuple):
    """What was measured; as `qlight.study.paper.Cell`, of one data set and without a table.

    Besides the paper's metrics: "cosine" (mean cosine similarity of input gradients, attack "CE"), "logit_variance" (mean variance of
    logits), and for the attack "adaptive" on the target "ensemble" "d_acc".
    """

    attack: str
    source: str
    target: str
    metric: str


Measured = Mapping[Key, Estimate]


class MissingError(KeyError):
    """A claim needs a number that was not measured."""


class _Numbers:
    """Measured numbers by what they are called in a claim."""

    def __init__(self, dataset: str, measured: Measured) -> None:
        self.dataset, self._measured = dataset, measured

    def __call__(self, attack: str, source: str, target: str | None = None, metric: str = "acc") -> Estimate:
        key = Key(attack, source, target or source, metric)
        if key not in self._measured:
            raise MissingError(key)
        return self._measured[key]


Rule = Callable[[_Numbers], Iterator[Condition]]


@dataclass(frozen=True)
class Claim:
    """What the paper says, and when it is so.

    Attributes:
        name: short, for links.
        section: of the paper.
        text: the claim in a sentence.
        limit: the inequality in words.
        rule: its conditions, of measured numbers.
    """

    name: str
    section: str
    text: str
    limit: str
    rule: Rule

    def judge(self, dataset: str, measured: Measured) -> Judged | None:
        """The verdict and what it rests on; None where not all numbers that it needs were measured.

        Args:
            dataset: "CIFAR10" or "SVHN"; some claims differ.
        """
        try:
            conditions = tuple(self.rule(_Numbers(dataset, measured)))
        except MissingError:
            return None
        return Judged(self, verdict(conditions), conditions)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and conditions."""

    claim: Claim
    verdict: str
    conditions: tuple[Condition, ...]


def _accuracy_kept(of: _Numbers) -> Iterator[Condition]:
    for name in (*FULL[1:], *WEIGHTS):
        yield Condition(f"test accuracy, float - {name}", of("none", FLOAT) - of("none", name), most=0.05)


def _accuracy_lost(of: _Numbers) -> Iterator[Condition]:
    yield Condition("test accuracy, float - w1a1", of("none", FLOAT) - of("none", "w1a1"), least=0.03)


def _weights_alone(of: _Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "CW", "SPSA", "ZOO"):
        for name in WEIGHTS:
            yield Condition(f"{attack}: {name} - float", of(attack, name) - of(attack, FLOAT), least=-0.15, most=0.15)


def _binary_masks(of: _Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM"):
        yield Condition(f"{attack}: w1a1 - float", of(attack, "w1a1") - of(attack, FLOAT), least=0.3)


def _binary_falls_to_cw(of: _Numbers) -> Iterator[Condition]:
    yield Condition("CW: w1a1 - float", of("CW", "w1a1") - of("CW", FLOAT), most=0.15)


def _binary_and_spsa(of: _Numbers) -> Iterator[Condition]:
    yield Condition("SPSA: w1a1 - float", of("SPSA", "w1a1") - of("SPSA", FLOAT), least=0.05)


def _more_bits(of: _Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "CW"):
        if (attack, of.dataset) != ("FGSM", "SVHN"):
            for name in FULL[1:]:
                yield Condition(f"{attack}: {name} - float", of(attack, name) - of(attack, FLOAT), most=0.15)


def _zoo_fails(of: _Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"ZOO: {name} - CW: {name}", of("ZOO", name) - of("CW", name), least=0.3)


def _zoo_is_nearer(of: _Numbers) -> Iterator[Condition]:
    for name in FULL:
        yield Condition(f"l2 on {name}, CW - ZOO", of("CW", name, metric="l2") - of("ZOO", name, metric="l2"), least=0.0)


def _zoo_on_float(of: _Numbers) -> Iterator[Condition]:
    yield Condition("float: ZOO - CW", of("ZOO", FLOAT) - of("CW", FLOAT), least=-0.1, most=0.1)
    yield Condition("l2 on float, ZOO - CW", of("ZOO", FLOAT, metric="l2") - of("CW", FLOAT, metric="l2"), least=0.0)


def _spsa_beats_bim(of: _Numbers) -> Iterator[Condition]:
    yield Condition("w1a1: BIM - SPSA", of("BIM", "w1a1") - of("SPSA", "w1a1"), least=0.1)


def _logit_variance(of: _Numbers) -> Iterator[Condition]:
    base = of("none", FLOAT, metric="logit_variance")
    for name in WEIGHTS:
        own = of("none", name, metric="logit_variance")
        ratio = Estimate(own.value / base.value, own.low / base.high, own.high / base.low)
        yield Condition(f"variance of logits, {name} / float", ratio, least=0.67, most=1.5)


def _pairs(*, binary: bool) -> Iterator[tuple[str, str]]:
    """Different source and target; ``binary``: with w1a1 as one of them, else without it."""
    names = (FLOAT, *FULL, *WEIGHTS)
    return ((s, t) for s in names for t in names if s != t and ("w1a1" in (s, t)) == binary)


def _all_pairs() -> tuple[tuple[str, str], ...]:
    return (*_pairs(binary=False), *_pairs(binary=True))


def _transfer(of: _Numbers, attack: str, pairs: tuple[tuple[str, str], ...]) -> Estimate:
    return mean([of(attack, source, target) for source, target in pairs])


def _weak_transfer(of: _Numbers) -> Iterator[Condition]:
    for attack in ("FGSM", "BIM", "SPSA"):
        direct = mean([of(attack, source) for source, _ in _all_pairs()])
        yield Condition(f"{attack}: mean over pairs, transferred - on the source", _transfer(of, attack, _all_pairs()) - direct, least=0.15)


def _cw_transfers(of: _Numbers) -> Iterator[Condition]:
    pairs = tuple(_pairs(binary=False))
    for attack in ("FGSM", "BIM"):
        yield Condition(f"without w1a1: {attack} - CW", _transfer(of, attack, pairs) - _transfer(of, "CW", pairs), least=0.0)


def _cw_and_binary(of: _Numbers) -> Iterator[Condition]:
    gain = _transfer(of, "CW", tuple(_pairs(binary=True))) - _transfer(of, "CW", tuple(_pairs(binary=False)))
    yield Condition("CW: pairs with w1a1 - pairs without", gain, least=0.15)


def _bim_transfers(of: _Numbers) -> Iterator[Condition]:
    pairs = tuple(_pairs(binary=False))
    yield Condition("without w1a1: FGSM - BIM", _transfer(of, "FGSM", pairs) - _transfer(of, "BIM", pairs), least=0.0)


def _cosines(of: _Numbers) -> Iterator[Condition]:
    for source, target in _all_pairs():
        if source < target:
            yield Condition(f"cosine, {source} and {target}", of("CE", source, target, "cosine"), least=-0.5, most=0.5)


def _cosines_of_binary(of: _Numbers) -> Iterator[Condition]:
    with_binary = mean([of("CE", source, target, "cosine") for source, target in _pairs(binary=True)])
    yield Condition(
        "cosine: pairs without w1a1 - pairs with",
        mean([of("CE", source, target, "cosine") for source, target in _pairs(binary=False)]) - with_binary,
        least=0.0,
    )


def _agree_on_clean(of: _Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("none", name, "others", "correctly") - of("FGSM", name, "others", "successful")
        yield Condition(f"agreement, right on {name} - fooled {name}", rate, least=0.2)


def _agree_on_unsuccessful(of: _Numbers) -> Iterator[Condition]:
    for name in ENSEMBLE:
        rate = of("FGSM", name, "others", "unsuccessful") - of("FGSM", name, "others", "successful")
        yield Condition(f"agreement, did not fool {name} - fooled {name}", rate, least=0.2)


def _ensemble_on_clean(of: _Numbers) -> Iterator[Condition]:
    yield Condition("prediction rate", of("none", "ensemble", metric="PR"), least=0.8)
    best = of("none", FLOAT)
    yield Condition("accuracy where predicted - float", of("none", "ensemble") - best, least=0.0)


def _ensemble_and_binary(of: _Numbers) -> Iterator[Condition]:
    for attack in TRANSFERRED:
        yield Condition(f"{attack} from w1a1: defence accuracy", of(attack, "w1a1", "ensemble", "d_acc"), least=0.8)


def _ensemble_and_float(of: _Numbers) -> Iterator[Condition]:
    yield Condition("CW from float: defence accuracy", of("CW", FLOAT, "ensemble", "d_acc"), least=0.5)


def _ensemble_beats_members(of: _Numbers) -> Iterator[Condition]:
    for source in FULL[1:]:
        others = mean([of("CW", source, target) for target in ENSEMBLE if target != source])
        yield Condition(
            f"CW from {source}: defence accuracy - mean of the others", of("CW", source, "ensemble", "d_acc") - others, least=0.1
        )


def _adaptive(of: _Numbers) -> Iterator[Condition]:
    yield Condition("defence accuracy against the adaptive attack", of("adaptive", "ensemble", metric="d_acc"), most=0.3)


CLAIMS = (
    Claim(
        "accuracy-kept",
        "4.2",
        "Quantization does not affect the accuracy significantly, but for fully binarized networks.",
        "at most 0.05 below float",
        _accuracy_kept,
    ),
    Claim(
        "accuracy-lost",
        "4.2",
        "Full binarization costs a non-negligible part of the accuracy.",
        "at least 0.03 below float",
        _accuracy_lost,
    ),
    Claim("weights-alone", "5.1.1", "Weight-only quantization has no impact on the robustness.", "within 0.15 of float", _weights_alone),
    Claim(
        "binary-masks",
        "5.1.1",
        "Fully binarized networks are far more robust to FGSM and BIM than float ones.",
        "by 0.3 or more",
        _binary_masks,
    ),
    Claim(
        "binary-falls-to-cw",
        "5.1.1",
        "CW is almost as efficient against fully binarized networks as against float ones.",
        "at most 0.15 above float",
        _binary_falls_to_cw,
    ),
    Claim("binary-and-spsa", "5.1.1", "Fully binarized networks are relatively more robust to SPSA.", "by 0.05 or more", _binary_and_spsa),
    Claim(
        "more-bits",
        "5.1.1",
        "With more than one bit, gradient attacks are almost as efficient as against float, but for FGSM on SVHN.",
        "at most 0.15 above float",
        _more_bits,
    ),
    Claim("zoo-fails", "5.1.2", "ZOO fails very often on fully quantized networks, where CW succeeds.", "0.3 or more above CW", _zoo_fails),
    Claim("zoo-is-nearer", "5.1.2", "There, ZOO's successful examples are nearer than CW's.", "a smaller mean l2", _zoo_is_nearer),
    Claim(
        "zoo-on-float",
        "5.1.2",
        "On the float network, ZOO and CW reach about the same accuracy, ZOO with a larger l2.",
        "within 0.1, and a larger mean l2",
        _zoo_on_float,
    ),
    Claim("spsa-beats-bim", "5.1.2", "SPSA does better than BIM against fully binarized networks.", "by 0.1 or more", _spsa_beats_bim),
    Claim(
        "logit-variance",
        "5.1.2",
        "Logits of weight-only quantized networks vary almost as those of the float network.",
        "a ratio of 0.67 to 1.5",
        _logit_variance,
    ),
    Claim(
        "weak-transfer",
        "5.2.1",
        "FGSM, BIM and SPSA transfer poorly.",
        "accuracy on targets 0.15 or more above that on the source",
        _weak_transfer,
    ),
    Claim(
        "cw-transfers",
        "5.2.1",
        "CW with a tuned kappa transfers better.",
        "a lower mean accuracy than FGSM and BIM, w1a1 aside",
        _cw_transfers,
    ),
    Claim(
        "cw-and-binary",
        "5.2.1",
        "But not where source or target is fully binarized.",
        "mean accuracy 0.15 or more above pairs without w1a1",
        _cw_and_binary,
    ),
    Claim("bim-transfers", "5.2.1", "BIM may transfer better than FGSM.", "a lower mean accuracy, w1a1 aside", _bim_transfers),
    Claim("cosines", "5.2.3", "Input gradients of different networks are nearly orthogonal.", "mean cosine within 0.5 of 0", _cosines),
    Claim("cosines-of-binary", "5.2.3", "Most of all with fully binarized networks.", "a smaller mean cosine", _cosines_of_binary),
    Claim(
        "agree-on-clean",
        "6.1",
        "Networks agree more on clean samples than on adversarial ones.",
        "by 0.2 or more, on examples that fool the source",
        _agree_on_clean,
    ),
    Claim(
        "agree-on-unsuccessful",
        "6.1",
        "They agree much more on unsuccessful adversarial examples.",
        "by 0.2 or more than on successful ones",
        _agree_on_unsuccessful,
    ),
    Claim(
        "ensemble-on-clean",
        "6.1",
        "The ensemble predicts most clean images, and better than the float network.",
        "a prediction rate of 0.8 or more",
        _ensemble_on_clean,
    ),
    Claim(
        "ensemble-and-float",
        "6.2",
        "Most CW examples from the float network are filtered out or do not succeed.",
        "a defence accuracy of 0.5 or more",
        _ensemble_and_float,
    ),
    Claim(
        "ensemble-and-binary",
        "6.2",
        "Defence accuracy is above 0.8 where examples come from the fully binarized network.",
        "0.8 or more, every attack",
        _ensemble_and_binary,
    ),
    Claim(
        "ensemble-beats-members",
        "6.2",
        "The ensemble is more robust to transferred CW examples than single networks.",
        "0.1 or more above the mean of the other networks",
        _ensemble_beats_members,
    ),
    Claim("adaptive", "7", "The defence is useless against an attacker who knows it.", "a defence accuracy of 0.3 or less", _adaptive),
)
