"""The claims of the paper's sections 6 and 7, in their order; `qlight.study.claims` has all."""

from __future__ import annotations

from qlight.study import ensemble_rules as rules
from qlight.study.claim import LATER, Claim

ENSEMBLE_CLAIMS = (
    Claim(
        "agree-on-clean",
        "6.1",
        "Networks agree more on clean samples than on successful adversarial examples.",
        "by 0.2 or more",
        rules.agree_on_clean,
    ),
    Claim(
        "agree-on-clean-most",
        "6.1",
        "Networks agree more on clean samples than on unsuccessful adversarial examples, too.",
        "a higher rate",
        rules.agree_on_clean_most,
        LATER,
    ),
    Claim(
        "agree-on-unsuccessful",
        "6.1",
        "They agree much more on unsuccessful adversarial examples.",
        "by 0.2 or more than on successful ones",
        rules.agree_on_unsuccessful,
    ),
    Claim(
        "ensemble-prefers-clean",
        "6.1",
        "The ensemble predicts clean images rather than adversarial examples.",
        "a higher prediction rate",
        rules.ensemble_prefers_clean,
        LATER,
    ),
    Claim(
        "ensemble-predicts-unsuccessful",
        "6.1",
        "Where it predicts adversarial examples, these are predominantly unsuccessful.",
        "errors of at most half of the prediction rate",
        rules.ensemble_predicts_unsuccessful,
        f"{LATER} The paper derives it from the agreements; its own numbers meet it in 2 of 20 cases for CIFAR10 and in 6 for SVHN.",
    ),
    Claim(
        "ensemble-on-clean",
        "6.1",
        "Prediction is performed for most clean images, with a high accuracy.",
        "a prediction rate of 0.8 or more, and where predicted an accuracy of at least float's",
        rules.ensemble_on_clean,
    ),
    Claim(
        "ensemble-and-float",
        "6.2",
        "Most CW examples from the float network are filtered out or do not succeed; on SVHN, even more of BIM's, CW's and SPSA's.",
        "a defence accuracy of 0.5 or more; on SVHN 0.8",
        rules.ensemble_and_float,
        "The limit of SVHN was written down after the first numbers of configs/study/small.yaml, of CIFAR10, were known.",
    ),
    Claim(
        "ensemble-and-binary",
        "6.2",
        "Defence accuracy is above 0.8 where examples come from the fully binarized network.",
        "0.8 or more, every attack",
        rules.ensemble_and_binary,
    ),
    Claim(
        "ensemble-best-from-binary",
        "6.2",
        "Defence accuracy is highest where examples come from the fully binarized network.",
        "from w1a1 at least that from each other source, every attack",
        rules.ensemble_best_from_binary,
        LATER,
    ),
    Claim(
        "no-gain-from-binary",
        "6.2",
        "But on these, the ensemble has no significant gain over single networks.",
        "at most 0.15 above the mean of the other networks",
        rules.no_gain_from_binary,
        LATER,
    ),
    Claim(
        "ensemble-beats-every-member",
        "6.2",
        "On all others, the ensemble is more robust than every single network.",
        "defence accuracy at least the highest accuracy of the other networks",
        rules.ensemble_beats_every_member,
        f"{LATER} Of the paper's own 16 numbers for CIFAR10, 13 do not meet it, or 3 if w1a1 is not among these networks.",
    ),
    Claim(
        "ensemble-beats-members",
        "6.2",
        "The more relevant gain is reached with CW (2, 3 and 4 bits).",
        "0.1 or more above the mean of the other networks, and no smaller than with other attacks",
        rules.ensemble_beats_members,
        "The comparison with other attacks was written down after the first numbers of configs/study/small.yaml were known.",
    ),
    Claim(
        "poor-protection",
        "7",
        "Quantization in itself offers very poor protection.",
        "a lowest accuracy over FGSM, BIM, CW and SPSA of at most 0.15",
        rules.poor_protection,
        LATER,
    ),
    Claim(
        "adaptive",
        "7",
        "The defence is useless against an attacker who knows it.",
        "a defence accuracy of 0.3 or less",
        rules.adaptive,
    ),
)
