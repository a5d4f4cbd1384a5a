"""The set-up: does the network answer the same question the same way, as attacks and their readers assume?"""

from __future__ import annotations

import torch

from qlight.evaluation.diagnostics.record import CARLINI, CROCE, PINTOR, Diagnostic, Question, percent
from qlight.evaluation.diagnostics.subject import Subject, forward, share
from qlight.evaluation.model_checks import culprit_of, probabilities

#: Modules in training mode: none, since dropout and batch statistics change what is attacked.
EVAL_MODE = Question("eval_mode", "set-up", "modules in training mode", "modules", 0, "<=", CARLINI)
#: Exactly equal: on one device the kernels of a forward pass repeat themselves, so any difference is drawn by the network.
DETERMINISTIC = Question(
    "deterministic",
    "set-up",
    "largest difference of logits between two passes over the same images",
    "logits",
    0,
    "<=",
    f"{CROCE}; {PINTOR}",
)
#: A row of logits sums to 1 within 1e-4, with no entry outside [0, 1], by chance about never: one image is enough.
LOGITS = Question("logits", "set-up", "images whose outputs are probabilities: from 0 to 1 with sum 1", "share", 0, "<=", CROCE)
#: A prediction must not depend on the neighbours in the batch: attacks move images between batches.
BATCH_PREDICTIONS = Question(
    "batch_predictions", "set-up", "predictions that differ between batches of 1 and one batch", "share", 0, "<=", CARLINI
)
#: Kernels round differently at another batch size: 1e-6 of the spread in float32, at times 1e-2 where a rounding flips an activation's
#: code in a quantized network. Batch statistics move logits by tenths of their spread.
BATCH_LOGITS = Question(
    "batch_logits", "set-up", "largest difference of logits between batches of 1 and one batch, relative to their spread",
    "ratio", 0.05, "<=", CARLINI,
)  # fmt: skip


def eval_mode(subject: Subject) -> Diagnostic:
    """Modules of the network, as given, that are in training mode."""
    names = [name or "the model itself" for name, module in subject.model.named_modules() if module.training]
    some = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
    return EVAL_MODE.answer(
        len(names),
        "0 modules are in training mode.",
        f"{len(names)} modules are in training mode ({some}): call model.eval() first. The attacks here ran in evaluation mode.",
        modules=names,
    )


def deterministic(subject: Subject) -> Diagnostic:
    """Two passes over the same images, in the mode in which the network was given; must run inside `unchanged`."""
    images = subject.all_images[: subject.sizes.batch_images]
    first, second = (forward(subject.model, images, subject.sizes.max_rows) for _ in range(2))
    difference = (first.double() - second.double()).abs().max().item()
    culprit = "" if difference == 0 else culprit_of(subject.model, images[:4])
    return DETERMINISTIC.answer(
        difference,
        "Two passes over the same images give the same logits: their largest difference is 0.",
        f"Two passes over the same images give logits that differ by up to {difference:.3g}; {culprit}. Results on it are a matter of "
        "luck: make it deterministic, or average over its randomness (EOT).",
        culprit=culprit,
    )


def logits(subject: Subject) -> Diagnostic:
    """Whether the network, as given, returns logits; must run inside `unchanged`."""
    outputs = forward(subject.model, subject.all_images, subject.sizes.max_rows).double()
    found = share(probabilities(outputs))
    low, high = outputs.min().item(), outputs.max().item()
    return LOGITS.answer(
        found,
        f"0 % of the outputs are probabilities; they range from {low:.3g} to {high:.3g}, as logits do.",
        f"{percent(found)} of the outputs are probabilities: an attack takes their softmax once more, which flattens its gradient. "
        "Remove the softmax from the network.",
        smallest=low,
        largest=high,
    )


def batch_size(subject: Subject) -> list[Diagnostic]:
    """Batches of 1 against one batch, in the mode in which the network was given; must run inside `unchanged`."""
    images = subject.all_images[: subject.sizes.batch_images]
    if len(images) < 2:
        return [question.skip("one image makes no batch; pass more images") for question in (BATCH_PREDICTIONS, BATCH_LOGITS)]
    together = forward(subject.model, images, len(images)).double()
    try:
        alone = forward(subject.model, images, 1).double()
    except ValueError as error:  # batch norm in training mode refuses a single value a channel
        said = f"The network refuses a batch of 1 ({error}): each prediction depends on its batch."
        return [question.answer(torch.inf, said, said) for question in (BATCH_PREDICTIONS, BATCH_LOGITS)]
    other = share(together.argmax(1) != alone.argmax(1))
    largest, spread = (together - alone).abs().max().item(), (together.max() - together.min()).item()
    ratio = largest / spread if spread else (0.0 if largest == 0 else torch.inf)
    count = f"for {len(images)} images, between batches of 1 and a batch of {len(images)}"
    return [
        BATCH_PREDICTIONS.answer(
            other,
            f"0 % of the predictions differ {count}.",
            f"{percent(other)} of the predictions differ {count}: what an attack returns depends on the neighbours. Is batch norm in "
            "training mode?",
            images=len(images),
        ),
        BATCH_LOGITS.answer(
            ratio,
            f"Logits differ by at most {largest:.2g}, {ratio:.2g} of their spread, {count}: rounding.",
            f"Logits differ by up to {largest:.2g}, {ratio:.2g} of their spread, {count}: more than rounding. Is batch norm in "
            "training mode?",
            largest=largest,
            spread=spread,
            images=len(images),
        ),
    ]
