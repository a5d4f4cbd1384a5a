"""Success against eps and against iterations: both curves must rise, and the first must reach the top."""

from __future__ import annotations

from qlight.evaluation.diagnostics.record import ATHALYE, CARLINI, PINTOR, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.subject import Subject

_DROP_REASON = 0.05
"""A larger ball contains the smaller, and more steps the fewer, so no drop is expected; BIM is not exact, and may lose one image of 20."""

#: All: in the whole of pixel space there are images of every class, so an attack that finds none does not follow the loss.
UNBOUNDED = Question(
    "unbounded_success", "gradients", "success of BIM with eps = 1, which reaches every image", "share", 1, ">=",
    f"{ATHALYE}; {CARLINI}; {PINTOR} (unconstrained attack failure)",
)  # fmt: skip
EPS_DROP = Question("success_against_eps", "gradients", "largest loss of success as eps grows", "share", _DROP_REASON, "<=", CARLINI)
ITERATION_DROP = Question(
    "success_against_iterations", "gradients", "largest loss of success as iterations are added", "share", _DROP_REASON, "<=",
    f"{CARLINI}; {PINTOR} (silent success)",
)  # fmt: skip
#: More than nothing: unless the first iteration fools every image, there is something left to win.
ITERATION_RISE = Question(
    "iterations_help", "gradients", "share of the images not fooled by the fewest iterations that the most fool", "share", 0.05, ">=",
    f"{CARLINI}; {PINTOR} (incomplete optimization)",
)  # fmt: skip

QUESTIONS = (UNBOUNDED, EPS_DROP, ITERATION_DROP, ITERATION_RISE)

Curve = list[tuple[float, float]]


def against_eps(subject: Subject) -> tuple[Curve, list[Diagnostic]]:
    """BIM at growing eps: (eps, success) pairs, and what they say."""
    steps = subject.sizes.steps
    radii = [radius for factor in subject.sizes.eps_factors if (radius := factor * subject.eps) < 1] + [1.0]
    curve: Curve = []
    for radius in radii:
        outcome = subject.attack(f"BIM, eps={radius:.4g}", "torchattacks.BIM", eps=radius, alpha=2.5 * radius / steps, steps=steps)
        curve.append((radius, outcome.success))
    top = curve[-1][1]
    said = f"BIM with eps=1, which may draw any image, fools {percent(top)} of the images"
    unbounded = UNBOUNDED.answer(top, f"{said}.", f"{said}: it does not follow the loss.")
    return curve, [
        unbounded,
        _drop(EPS_DROP, curve, "eps", "a larger ball contains the smaller, so its attack is lost in flat or wrong gradients"),
    ]


def against_iterations(subject: Subject) -> tuple[Curve, list[Diagnostic]]:
    """BIM with steps of eps / 10 and growing numbers of them: (iterations, success) pairs, and what they say."""
    curve: Curve = []
    for steps in subject.sizes.iterations:
        outcome = subject.attack(f"BIM, {steps} x eps/10", "torchattacks.BIM", eps=subject.eps, alpha=subject.eps / 10, steps=steps)
        curve.append((steps, outcome.success))
    (few, start), (many, end) = curve[0], curve[-1]
    drop = _drop(ITERATION_DROP, curve, "iterations", "further steps lose what earlier ones had found")
    if len(curve) < 2:
        return curve, [drop, ITERATION_RISE.skip("the sizes name only one number of iterations")]
    if start == 1:
        return curve, [drop, ITERATION_RISE.skip(f"{few:g} iterations of eps/10 fool 100 % of the images already")]
    gained = (end - start) / (1 - start)
    said = f"From {few:g} to {many:g} iterations BIM goes from {percent(start)} to {percent(end)}, {percent(gained)} of what was left"
    return curve, [drop, ITERATION_RISE.answer(gained, f"{said}.", f"{said}: more steps find nothing, so the attack is stuck.")]


def _drop(question: Question, curve: Curve, axis: str, reason: str) -> Diagnostic:
    """The largest difference between the best success so far and the success at a point."""
    best, worst, where = 0.0, 0.0, curve[0][0]
    for at, success in curve:
        best = max(best, success)
        if best - success > worst:
            worst, where = best - success, at
    ends = f"from {percent(curve[0][1])} at {axis} {curve[0][0]:.3g} to {percent(curve[-1][1])} at {curve[-1][0]:.3g}"
    return question.answer(
        worst,
        f"Success goes {ends} and falls by at most {percent(worst)} on the way.",
        f"Success goes {ends} and falls by {percent(worst)} at {axis} {where:.3g}: {reason}.",
    )
