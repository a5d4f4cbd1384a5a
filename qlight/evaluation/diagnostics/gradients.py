"""Gradients: are there any to follow?"""

from __future__ import annotations

from qlight.evaluation.diagnostics.record import CARLINI, CROCE, PINTOR, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.subject import Loss, Subject, cross_entropy, margin, share

_SOURCE = f"{CARLINI}; {CROCE}; {PINTOR} (unavailable gradients)"
#: None: AutoAttack flags a single such image, since a gradient attack cannot move it at all.
ZERO_CROSS_ENTROPY = Question(
    "zero_gradient_cross_entropy", "gradients", "images whose cross-entropy gradient is zero in every pixel, or not finite",
    "share", 0, "<=", _SOURCE,
)  # fmt: skip
#: As above. The margin of logits does not saturate, so where only the cross-entropy's gradients vanish the softmax is to blame.
ZERO_MARGIN = Question(
    "zero_gradient_margin",
    "gradients",
    "images whose margin-loss gradient is zero in every pixel, or not finite",
    "share",
    0,
    "<=",
    _SOURCE,
)

QUESTIONS = (ZERO_CROSS_ENTROPY, ZERO_MARGIN)


def zero_gradients(subject: Subject) -> list[Diagnostic]:
    """Shares of images without a usable gradient."""
    return [
        _zero(subject, ZERO_CROSS_ENTROPY, cross_entropy, "cross-entropy", "FGSM, BIM and PGD"),
        _zero(subject, ZERO_MARGIN, margin, "margin-loss", "CW and other margin attacks"),
    ]


def _zero(subject: Subject, question: Question, loss: Loss, name: str, attacks: str) -> Diagnostic:
    gradient = subject.gradient(loss)
    lost = ~gradient.isfinite().all(1)
    dead = (gradient == 0).all(1)
    figure = share(lost | dead)
    of = f"{percent(figure)} of {len(gradient)} images have a {name} gradient that is zero everywhere or not finite"
    return question.answer(
        figure,
        f"{of}.",
        f"{of}: {attacks} cannot move them, which is no robustness.",
        zero_entries=share(gradient == 0),
        not_finite_images=share(lost),
        images=len(gradient),
    )
