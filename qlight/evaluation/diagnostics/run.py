"""Diagnose a network: does it mask its gradients, and can what attacks say of it be believed?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError
from qlight.evaluation.crafting import require_gradients
from qlight.evaluation.diagnostics import active, attacks, differences, gradients, returned, setup, sweeps
from qlight.evaluation.diagnostics.record import Diagnostic
from qlight.evaluation.diagnostics.report import Diagnosis
from qlight.evaluation.diagnostics.sizes import Sizes
from qlight.evaluation.diagnostics.subject import Subject, evaluation_view, subject_of
from qlight.evaluation.inputs import check_images
from qlight.evaluation.results import versions
from qlight.evaluation.seeds import derived_seed, seeded

Progress = Callable[[int, int, str], None]

_BY_GRADIENT = (*gradients.QUESTIONS, *attacks.QUESTIONS, *sweeps.QUESTIONS, active.PLANTED)
_ON_CORRECT = (*_BY_GRADIENT, attacks.NOISE, returned.EIGHT_BIT, *differences.QUESTIONS, returned.INSIDE)


def diagnose(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    index: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    sources: Mapping[str, nn.Module] | None = None,
    eps: float = 0.03,
    seed: int = 0,
    sizes: Sizes | None = None,
    label: str = "",
    on_progress: Progress | None = None,
) -> Diagnosis:
    """Gradient-masking diagnostics of one network.

    The set-up (training mode, determinism, logits, batches) is checked on the network as given; all else in evaluation mode, on its
    `evaluation_view()` if it has that method, and on the images that it classifies rightly. A model without a gradient, such as a
    deployed integer network, gets the diagnostics that need none. The model is afterwards exactly as it was, and so are the generators of
    random numbers. The same network, images, seed and sizes give the same diagnosis.

    Args:
        model: images N x C x H x W in [0, 1] -> logits N x classes.
        images: N x C x H x W, floating point, in [0, 1], on the model's device; 32 are enough to see masking.
        labels: int64, N: true classes.
        index: int64, N: which image of its set each one is, for its random numbers; default 0 to N - 1.
        class_names: names of the classes, for the record of each image.
        sources: name -> other networks for the same images and classes, to transfer examples from.
        eps: radius of the l-infinity attacks, in pixel units.
        seed: of all random numbers.
        sizes: how much is measured; default `Sizes()`.
        label: what the network is called in the results.
        on_progress: called with (stages done, stages, what is measured next).

    Raises:
        InputError: bad input, inference mode, or a model that does not return finite logits.
    """
    sizes = sizes or Sizes()
    index = _checked(images, labels, index, class_names, sources, eps)
    require_gradients(torch.is_inference_mode_enabled())
    report = on_progress or (lambda done, total, what: None)
    images, labels = images.detach(), labels.to(images.device, torch.int64)
    found: dict[str, Diagnostic] = {}
    curves: dict[str, Any] = {}

    def note(answers: Diagnostic | list[Diagnostic]) -> None:
        for answer in answers if isinstance(answers, list) else [answers]:
            found[answer.name] = answer

    with contextlib.ExitStack() as stack:
        stack.enter_context(unchanged(model))
        stack.enter_context(torch.enable_grad())
        # the sources' stages take views and gradients, so that they are put back too
        views = {name: stack.enter_context(_source(source)) for name, source in (sources or {}).items()}
        with unchanged(model):  # in training mode a model moves its running statistics while it is looked at
            as_given = Subject(model, model, images, labels, images, labels, index, eps, seed, sizes, False, {})
            report(0, 1, "set-up")
            for number, check in enumerate((setup.eval_mode, setup.deterministic, setup.logits, setup.batch_size)):
                with seeded(derived_seed(seed, "set-up", number)):
                    note(check(as_given))
        with seeded(derived_seed(seed, "subject", 1)):
            subject = subject_of(model, images, labels, index, eps, seed, sizes)
            predicted = subject.logits(images).argmax(1)
        stages = _stages(subject, views, note, curves)
        for number, (what, stage) in enumerate(stages):
            report(1 + number, 1 + len(stages), what)
            with seeded(derived_seed(seed, what, 0)):
                stage()
        report(1 + len(stages), 1 + len(stages), "done")
        missing, reason = _BY_GRADIENT, "the model has no gradient"
        if not len(subject.images):
            missing, reason = _ON_CORRECT, f"the network classifies none of the {len(images)} images rightly"
        for question in missing:
            found.setdefault(question.name, question.skip(reason))
    order = {"set-up": 0, "gradients": 1, "differences": 2}
    return Diagnosis(
        label=label,
        model=f"{type(model).__module__}.{type(model).__qualname__}",
        images=len(images),
        correct=len(subject.images),
        eps=float(eps),
        seed=seed,
        sizes=asdict(sizes),
        diagnostics=tuple(sorted(found.values(), key=lambda diagnostic: order[diagnostic.group])),
        sweep=tuple(curves.get("sweep", ())),
        eps_curve=tuple(curves.get("eps", ())),
        iteration_curve=tuple(curves.get("iterations", ())),
        attacks=tuple({"name": o.name, "eps": o.eps, "parameters": o.parameters, "success": o.success} for o in subject.outcomes.values()),
        per_image=_per_image(subject, predicted, index, class_names),
        versions=versions(),
    )


def _stages(
    subject: Subject, sources: Mapping[str, nn.Module], note: Callable[[Diagnostic | list[Diagnostic]], None], curves: dict[str, Any]
) -> list[tuple[str, Callable[[], None]]]:
    """What is measured on the rightly classified images, in order: a name and a function for each stage."""

    def against_eps() -> None:
        curves["eps"], answers = sweeps.against_eps(subject)
        note(answers)

    def against_iterations() -> None:
        curves["iterations"], answers = sweeps.against_iterations(subject)
        note(answers)

    def sweep() -> None:
        curves["sweep"] = differences.sweep(subject)
        note(differences.judge(subject, curves["sweep"]))

    def compared() -> None:
        note(attacks.beyond_white_box(subject))
        note(attacks.fgsm_against_bim(subject))

    if not len(subject.images):
        return []
    free: list[tuple[str, Callable[[], None]]] = [("SPSA and Square", lambda: attacks.gradient_free(subject))]
    last: list[tuple[str, Callable[[], None]]] = [
        ("noise", lambda: note(attacks.noise(subject))),
        ("8-bit examples, box and ball", lambda: note([returned.eight_bit(subject), returned.inside(subject)])),
        ("finite differences", sweep),
    ]
    if not subject.differentiable:
        return free + last
    return [
        ("gradients", lambda: note(gradients.zero_gradients(subject))),
        ("FGSM, BIM and PGD", lambda: attacks.white_box(subject)),
        *free,
        ("attacks compared", compared),
        ("Carlini-Wagner", lambda: note(attacks.carlini_wagner(subject))),
        ("success against eps", against_eps),
        ("success against iterations", against_iterations),
        ("other losses", lambda: note(attacks.reattack(subject))),
        ("transfer", lambda: note(attacks.transfer(subject, sources))),
        ("planted examples", lambda: note(active.planted(subject))),
        *last,
    ]


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A rich progress bar on standard error, as `on_progress` of `diagnose`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("set-up", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


@contextlib.contextmanager
def _source(source: nn.Module) -> Iterator[nn.Module]:
    """The evaluation view of another network, which is afterwards as it was."""
    with unchanged(source):
        yield evaluation_view(source).eval()


def _per_image(subject: Subject, predicted: Tensor, index: Tensor, class_names: Sequence[str] | None) -> tuple[dict[str, Any], ...]:
    at_eps = [outcome for outcome in subject.outcomes.values() if outcome.eps == subject.eps and not outcome.name.startswith("BIM, ")]
    fooled = {int(number): [o.name for o in at_eps if bool(o.fooled[row])] for row, number in enumerate(subject.index)}
    records = []
    for number, truth, seen in zip(index.tolist(), subject.all_labels.tolist(), predicted.tolist(), strict=True):
        record: dict[str, Any] = {"index": number, "label": truth, "predicted": seen}
        if class_names is not None:
            record |= {"class": class_names[truth], "predicted_class": class_names[seen] if seen < len(class_names) else str(seen)}
        records.append({**record, "fooled_by": fooled.get(number) if truth == seen else None})
    return tuple(records)


def _checked(
    images: Any, labels: Any, index: Any, class_names: Sequence[str] | None, sources: Mapping[str, nn.Module] | None, eps: Any
) -> Tensor:
    """The index, after everything that was given has been looked at."""
    check_images(images, labels)
    if index is None:
        index = torch.arange(len(images), device=images.device)
    if not isinstance(index, Tensor) or index.is_floating_point() or index.shape != labels.shape or len(index.unique()) != len(index):
        raise InputError(f"Expected `index` to hold a different whole number for each of {len(images)} images, but got {index!r}.")
    if class_names is not None and int(labels.max()) >= len(class_names):
        raise InputError(f"Expected `class_names` for {int(labels.max()) + 1} classes, but got {len(class_names)}; name them all.")
    for name, source in (sources or {}).items():
        if not isinstance(source, nn.Module):
            raise InputError(f"Expected `sources` to hold networks, but `{name}` is a {type(source).__name__}; pass a torch module.")
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 < eps < 1:
        raise InputError(f"Expected `eps` to be above 0 and below 1, but got {eps!r}; the paper's is 0.03.")
    return index.to(images.device, torch.int64)
