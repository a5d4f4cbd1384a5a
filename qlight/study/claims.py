"""The claims of the paper's sections 4 to 7.

The paper's words have no limits ("far more robust", "almost as efficient"). Ours are the ones here, chosen before any full study was run
(but for the one whose note says so), so that the paper's own tables meet them where they meet its words; `tests/study/test_claims.py` says
where they do not.
"""

from __future__ import annotations

from qlight.study import rules
from qlight.study.claim import Claim

CLAIMS = (
    Claim(
        "accuracy-kept",
        "4.2",
        "Quantization does not affect the accuracy significantly, but for fully binarized networks.",
        "at most 0.05 below float",
        rules.accuracy_kept,
    ),
    Claim(
        "accuracy-lost",
        "4.2",
        "Full binarization costs a non-negligible part of the accuracy.",
        "at least 0.03 below float",
        rules.accuracy_lost,
    ),
    Claim(
        "weights-alone", "5.1.1", "Weight-only quantization has no impact on the robustness.", "within 0.15 of float", rules.weights_alone
    ),
    Claim(
        "binary-masks",
        "5.1.1",
        "Fully binarized networks are far more robust to FGSM and BIM than float ones.",
        "by 0.3 or more",
        rules.binary_masks,
    ),
    Claim(
        "binary-falls-to-cw",
        "5.1.1",
        "CW is almost as efficient against fully binarized networks as against float ones.",
        "at most 0.15 above float",
        rules.binary_falls_to_cw,
    ),
    Claim(
        "binary-and-spsa", "5.1.1", "Fully binarized networks are relatively more robust to SPSA.", "by 0.05 or more", rules.binary_and_spsa
    ),
    Claim(
        "more-bits",
        "5.1.1",
        "With more than one bit, gradient attacks are almost as efficient as against float, but for FGSM on SVHN.",
        "at most 0.15 above float",
        rules.more_bits,
    ),
    Claim(
        "zoo-fails",
        "5.1.2",
        "ZOO fails very often on fully quantized networks, where CW succeeds.",
        "0.3 or more above CW",
        rules.zoo_fails,
    ),
    Claim(
        "zoo-is-nearer",
        "5.1.2",
        "There, ZOO's successful examples are nearer than CW's.",
        "a smaller mean l2",
        rules.zoo_is_nearer,
        "Images that were wrong before count as successes at distance 0 (section 4.3, read literally), so they lower the mean of an attack "
        "most that turns few images; the tables of all presets also have the mean over the images that an attack turned.",
    ),
    Claim(
        "zoo-on-float",
        "5.1.2",
        "On the float network, ZOO and CW reach about the same accuracy, ZOO with a larger l2.",
        "within 0.1, and a larger mean l2",
        rules.zoo_on_float,
    ),
    Claim("spsa-beats-bim", "5.1.2", "SPSA does better than BIM against fully binarized networks.", "by 0.1 or more", rules.spsa_beats_bim),
    Claim(
        "logit-variance",
        "5.1.2",
        "Logits of weight-only quantized networks vary almost as those of the float network.",
        "a ratio of 0.67 to 1.5",
        rules.logit_variance,
    ),
    Claim(
        "weak-transfer",
        "5.2.1",
        "FGSM, BIM and SPSA transfer poorly.",
        "accuracy on targets 0.15 or more above that on the source",
        rules.weak_transfer,
    ),
    Claim(
        "cw-transfers",
        "5.2.1",
        "CW with a tuned kappa transfers better.",
        "a lower mean accuracy than FGSM and BIM, w1a1 aside",
        rules.cw_transfers,
    ),
    Claim(
        "cw-and-binary",
        "5.2.1",
        "But not where source or target is fully binarized.",
        "mean accuracy 0.15 or more above pairs without w1a1",
        rules.cw_and_binary,
    ),
    Claim("bim-transfers", "5.2.1", "BIM may transfer better than FGSM.", "a lower mean accuracy, w1a1 aside", rules.bim_transfers),
    Claim("cosines", "5.2.3", "Input gradients of different networks are nearly orthogonal.", "mean cosine within 0.5 of 0", rules.cosines),
    Claim(
        "cosines-of-binary",
        "5.2.3",
        "Most of all with fully binarized networks.",
        "a smaller mean cosine with the others than every other network has",
        rules.cosines_of_binary,
        "This limit is stricter than the one chosen first, a smaller mean over pairs with w1a1 than over those without, which the float "
        "and weight-only networks' likeness to each other meets by itself.",
    ),
    Claim(
        "agree-on-clean",
        "6.1",
        "Networks agree more on clean samples than on adversarial ones.",
        "by 0.2 or more, on examples that fool the source",
        rules.agree_on_clean,
    ),
    Claim(
        "agree-on-unsuccessful",
        "6.1",
        "They agree much more on unsuccessful adversarial examples.",
        "by 0.2 or more than on successful ones",
        rules.agree_on_unsuccessful,
    ),
    Claim(
        "ensemble-on-clean",
        "6.1",
        "The ensemble predicts most clean images, and better than the float network.",
        "a prediction rate of 0.8 or more",
        rules.ensemble_on_clean,
    ),
    Claim(
        "ensemble-and-float",
        "6.2",
        "Most CW examples from the float network are filtered out or do not succeed.",
        "a defence accuracy of 0.5 or more",
        rules.ensemble_and_float,
    ),
    Claim(
        "ensemble-and-binary",
        "6.2",
        "Defence accuracy is above 0.8 where examples come from the fully binarized network.",
        "0.8 or more, every attack",
        rules.ensemble_and_binary,
    ),
    Claim(
        "ensemble-beats-members",
        "6.2",
        "The ensemble is more robust to transferred CW examples than single networks.",
        "0.1 or more above the mean of the other networks",
        rules.ensemble_beats_members,
    ),
    Claim("adaptive", "7", "The defence is useless against an attacker who knows it.", "a defence accuracy of 0.3 or less", rules.adaptive),
)
