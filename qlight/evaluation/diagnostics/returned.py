"""What attacks returned: inside box and ball, and still adversarial as 8-bit images?"""

from __future__ import annotations

import torch

from qlight.evaluation.diagnostics.attacks import GRADIENT_FREE, WHITE_BOX
from qlight.evaluation.diagnostics.record import CARLINI, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.subject import Subject, share

#: 1e-6 are 16 roundings of a float32 pixel; half precision rounds by 5e-4, so look at the dtype before the attack there.
INSIDE = Question(
    "inside_box_and_ball", "set-up", "how far attacks left [0, 1] or the eps-ball, at most", "pixel units", 1e-6, "<=", CARLINI
)
#: A tenth may sit on the boundary; a network that is fooled only between two 8-bit images is fooled by rounding, not by content.
EIGHT_BIT = Question(
    "eight_bit_examples", "gradients", "examples of eps that still fool when rounded to multiples of 1/255", "share", 0.9, ">=", CARLINI
)


def inside(subject: Subject) -> Diagnostic:
    """Box and eps of everything that attacks returned."""
    outcomes = list(subject.outcomes.values())
    lost = [outcome.name for outcome in outcomes if outcome.not_finite]
    if lost:
        count = sum(outcome.not_finite for outcome in outcomes)
        said = f"{count} images came back with values that are not finite (from {', '.join(lost)}): the network's gradients overflow."
        return INSIDE.answer(torch.inf, said, said, not_finite=lost)
    worst = max(outcomes, key=lambda outcome: max(outcome.beyond_box, outcome.beyond_eps))
    beyond = max(worst.beyond_box, worst.beyond_eps)
    return INSIDE.answer(
        beyond,
        f"All {len(outcomes)} attacks kept to [0, 1] and to their eps, within {beyond:.2g}.",
        f"`{worst.name}` left its bounds by {beyond:.2g} pixel units: its success does not count.",
        attack=worst.name,
    )


def eight_bit(subject: Subject) -> Diagnostic:
    """Adversarial examples that an image file can hold: of BIM and PGD, or of SPSA and Square where there is no gradient."""
    names = WHITE_BOX if subject.differentiable else GRADIENT_FREE
    found, kept, shares = 0, 0, {}
    for name in (*names, "CW"):
        if name not in subject.outcomes:
            continue
        outcome = subject.outcomes[name]
        still = subject.fooled((outcome.adversarial * 255).round() / 255)[outcome.fooled]
        shares[name] = share(still) if len(still) else None
        if name != "CW":  # its examples lie on the boundary by design: stated in the details, judged nowhere
            found, kept = found + len(still), kept + int(still.sum())
    if not found:
        return EIGHT_BIT.skip(f"{' and '.join(names)} fool no image at eps={subject.eps:g}")
    said = f"{percent(kept / found)} of {found} examples of {' and '.join(names)} still fool when rounded to 8 bits"
    extra = f"; of CW's, which lie on the boundary, {percent(shares['CW'])}" if shares.get("CW") is not None else ""
    return EIGHT_BIT.answer(
        kept / found, f"{said}{extra}.", f"{said}{extra}: most of the rest no image file can hold, so count rounded ones.", kept=shares
    )
