"""Attacks against each other: what must not beat what when gradients tell the truth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qlight.attacks.counter_random import random_uniform
from qlight.errors import InputError
from qlight.evaluation.diagnostics.record import ATHALYE, CARLINI, CROCE, GUPTA, PAPER, PINTOR, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.scaled import Scaled
from qlight.evaluation.diagnostics.subject import Outcome, Subject, differentiable, share
from qlight.evaluation.seeds import derived_seed

_BEYOND = "images that {} fools and neither BIM nor PGD does, at the same eps"
#: None: AutoAttack flags any image that Square fools beyond its gradient attacks. The paper sees masking in SPSA beating BIM.
SPSA_BEYOND = Question("spsa_beyond_white_box", "gradients", _BEYOND.format("SPSA"), "share", 0, "<=", f"{ATHALYE}; {CARLINI}; {PAPER}")
SQUARE_BEYOND = Question("square_beyond_white_box", "gradients", _BEYOND.format("Square"), "share", 0, "<=", f"{CROCE}; {ATHALYE}")
#: A search through steps contains the single step: at the same eps it may not be behind at all.
FGSM_BEYOND = Question(
    "fgsm_better_than_bim", "gradients", "success of FGSM minus that of BIM at the same eps", "share", 0, "<=", f"{ATHALYE}; {CARLINI}"
)
#: All: with no bound on the distance, every image of another class is an example.
CW_SUCCESS = Question(
    "cw_success",
    "gradients",
    "success of the Carlini-Wagner attack, whose distance is not bounded",
    "share",
    1,
    ">=",
    f"{CARLINI}; {ATHALYE}",
)
#: AutoAttack's second loss adds one to three images in a hundred on adversarially trained networks, where nothing is masked.
REATTACK = Question(
    "other_losses_beyond_cross_entropy", "gradients", "images that BIM with scaled logits or the margin loss fools and BIM does not",
    "share", 0.05, "<=", f"{GUPTA}; {CROCE}",
)  # fmt: skip
#: Of what an attack fools, noise in 16 draws fools a tenth (float), a fifth (w2a2) and a half (w1a1); from four fifths on the attack is
#: hardly a search.
NOISE = Question(
    "random_noise", "gradients", "images that uniform noise of eps fools, relative to those that an attack of eps fools",
    "ratio", 0.8, "<=", CARLINI,
)  # fmt: skip
#: None beyond the direct attack, which knows more.
TRANSFER = Question(
    "transfer_better_than_direct", "gradients", "success of BIM crafted on another network minus that of BIM on this one",
    "share", 0, "<=", f"{ATHALYE}; {CARLINI}; {PINTOR} (transfer failure)",
)  # fmt: skip

WHITE_BOX = ("BIM", "PGD")
GRADIENT_FREE = ("SPSA", "Square")
#: Those that need a gradient.
QUESTIONS = (SPSA_BEYOND, SQUARE_BEYOND, FGSM_BEYOND, CW_SUCCESS, REATTACK, TRANSFER)


def white_box(subject: Subject) -> None:
    """FGSM, BIM and PGD at eps; Carlini-Wagner without a bound."""
    sizes, eps = subject.sizes, subject.eps
    steps = {"steps": sizes.steps, "alpha": 2.5 * eps / sizes.steps}  # Madry et al.: every point of the ball is within reach
    subject.attack("FGSM", "torchattacks.FGSM", eps=eps)
    subject.attack("BIM", "torchattacks.BIM", eps=eps, **steps)
    subject.attack("PGD", "torchattacks.PGD", eps=eps, **steps)


def carlini_wagner(subject: Subject) -> Diagnostic:
    """Success of the l2 attack."""
    sizes = subject.sizes
    search = {"c": 1.0, "steps": sizes.cw_steps, "search_steps": sizes.cw_search_steps, "abort_early": False, "max_rows": sizes.batch_size}
    outcome = subject.attack("CW", "qlight.attacks.CarliniWagnerL2", eps=None, **search)
    fooled = f"The Carlini-Wagner attack, which may go any distance, fools {percent(outcome.success)} of the images"
    return CW_SUCCESS.answer(outcome.success, f"{fooled}.", f"{fooled}: where it does not, its gradients lead nowhere.")


def gradient_free(subject: Subject) -> None:
    """SPSA, stopped at success, and Square at eps."""
    sizes = subject.sizes
    spsa = {"steps": sizes.spsa_steps, "evaluations": sizes.spsa_evaluations, "early_stop": True, "max_rows": sizes.max_rows}
    subject.attack("SPSA", "qlight.attacks.SPSA", eps=subject.eps, **spsa)
    subject.attack("Square", "torchattacks.Square", eps=subject.eps, n_queries=sizes.square_queries)


def beyond_white_box(subject: Subject) -> list[Diagnostic]:
    """What gradient-free attacks fool and white-box attacks do not."""
    reached = fooled_by(subject, WHITE_BOX)
    answers = []
    for question, name in ((SPSA_BEYOND, "SPSA"), (SQUARE_BEYOND, "Square")):
        free = subject.outcomes[name]
        beyond = share(free.fooled & ~reached)
        said = f"{name} fools {percent(beyond)} of the images that neither BIM nor PGD does"
        both = f"{percent(free.success)} in all; BIM and PGD {percent(share(reached))}"
        answers.append(
            question.answer(
                beyond,
                f"{said} ({both}).",
                f"{said} ({both}): the gradients mislead, and BIM and PGD overstate robustness.",
                success=free.success,
            )
        )
    return answers


def fgsm_against_bim(subject: Subject) -> Diagnostic:
    """One step against many."""
    one, many = subject.outcomes["FGSM"], subject.outcomes["BIM"]
    difference = one.success - many.success
    said = f"FGSM fools {percent(one.success)} of the images and BIM {percent(many.success)}"
    return FGSM_BEYOND.answer(
        difference,
        f"{said}: many steps do as well as one or better.",
        f"{said}, {percent(difference)} fewer with more steps: the gradient is good only near the image.",
        only_fgsm=share(one.fooled & ~many.fooled),
    )


def reattack(subject: Subject) -> Diagnostic:
    """BIM on scaled logits and on the margin, against BIM."""
    sizes, eps = subject.sizes, subject.eps
    steps = {"steps": sizes.steps, "alpha": 2.5 * eps / sizes.steps}
    plain = subject.outcomes["BIM"]
    others = [
        subject.attack(f"BIM, logits x {scale:g}", "torchattacks.BIM", eps=eps, on=Scaled(subject.view, scale).eval(), **steps)
        for scale in sizes.scales
    ]
    once = {"loss": "margin", "restarts": 1, "random_start": False, "early_stop": False, "max_rows": sizes.batch_size}
    size = {"steps": sizes.steps, "step_size": steps["alpha"]}
    others.append(subject.attack("BIM, margin loss", "qlight.attacks.PGDRestarts", eps=eps, **once, **size))
    best = max(others, key=lambda outcome: share(outcome.fooled & ~plain.fooled))
    beyond = share(torch.stack([outcome.fooled for outcome in others]).any(0) & ~plain.fooled)
    said = f"BIM with other losses fools {percent(beyond)} of the images beyond the {percent(plain.success)} that plain BIM fools"
    return REATTACK.answer(
        beyond,
        f"{said}: the scale of the logits hides nothing.",
        f"{said}, most with `{best.name}`: the softmax hides gradients, so attack with that loss.",
        success={outcome.name: outcome.success for outcome in others},
    )


def noise(subject: Subject) -> Diagnostic:
    """Uniform noise of eps against the attacks: the white-box ones, or the gradient-free ones where there is no gradient."""
    draws = subject.sizes.noise_draws
    seed = derived_seed(subject.seed, "noise", 0)
    flat = subject.images.flatten(1)
    examples, fooled = subject.images, torch.zeros_like(subject.labels, dtype=torch.bool)
    for draw in range(draws):
        step = torch.full_like(subject.index, draw)
        uniform = random_uniform(seed, subject.index, step, flat.shape[1], flat.dtype)
        noisy = (flat + (2 * uniform - 1) * subject.eps).clamp(0, 1).view_as(subject.images)
        hit = subject.fooled(noisy) & ~fooled
        examples = torch.where(hit[:, None, None, None], noisy, examples)
        fooled = fooled | hit
    outcome = Outcome("noise", subject.eps, {"draws": draws, "eps": subject.eps}, examples, fooled, 0.0, 0.0, 0)
    subject.outcomes["noise"] = outcome
    names = WHITE_BOX if subject.differentiable else GRADIENT_FREE
    attacked = share(fooled_by(subject, names))
    said = f"{draws} draws of uniform noise of {subject.eps:g} fool {percent(outcome.success)} of the images, {' and '.join(names)}"
    if attacked == 0:
        if outcome.success == 0:
            return NOISE.skip(f"neither noise nor {' nor '.join(names)} fools an image at eps={subject.eps:g}")
        said = f"{said} none: they are no search at all."
        return NOISE.answer(torch.inf, said, said, noise=outcome.success, attacks=attacked)
    ratio = outcome.success / attacked
    said = f"{said} {percent(attacked)}, a ratio of {ratio:.2f}"
    return NOISE.answer(
        ratio, f"{said}.", f"{said}: the attacks find little that chance does not.", noise=outcome.success, attacks=attacked
    )


def transfer(subject: Subject, sources: Mapping[str, nn.Module] | None) -> Diagnostic:
    """BIM crafted on other networks, judged on this one."""
    if not sources:
        return TRANSFER.skip(
            "there are no other networks; pass `sources`, a mapping from names to networks for the same images and classes"
        )
    direct = subject.outcomes["BIM"]
    parameters = {"steps": subject.sizes.steps, "alpha": 2.5 * subject.eps / subject.sizes.steps}
    results = {}
    for name, source in sources.items():
        if not differentiable(source, subject.images[:1]):
            raise InputError(f"Expected `sources` to be differentiable, but `{name}` has no gradient; leave it out.")
        results[name] = subject.attack(f"BIM from {name}", "torchattacks.BIM", eps=subject.eps, on=source, **parameters)
    best = max(results, key=lambda name: results[name].success)
    difference = results[best].success - direct.success
    said = f"BIM crafted on `{best}` fools {percent(results[best].success)} of the images, BIM on this network {percent(direct.success)}"
    return TRANSFER.answer(
        difference,
        f"{said}.",
        f"{said}: another network's gradients are better, so this one's mislead.",
        success={name: outcome.success for name, outcome in results.items()},
    )


def fooled_by(subject: Subject, names: tuple[str, ...]) -> Tensor:
    """Whether one of the attacks of these names fools an image: bool, n."""
    return torch.stack([subject.outcomes[name].fooled for name in names]).any(0)
