"""One batch through one attack: under a seed, with the model left exactly as it was, and with the result checked."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qlight.attacks.per_image import Finished, PerImageAttack, out_of_memory
from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError
from qlight.evaluation.counting import Counts, counted
from qlight.evaluation.seeds import seeded


@dataclass
class Spent:
    """What crafting one batch took: seconds, images asked about (queries), computed (forwards), and differentiated (gradients)."""

    seconds: float = 0.0
    queries: int = 0
    forwards: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Crafted:
    """Images of a batch that an attack is done with; tensors of length n.

    Attributes:
        row: int64: where they stand in the batch.
        adversarial: n x C x H x W.
        success: bool: whether the attack says that it found an example; None where it does not say.
        queries, forwards, gradients: int64: images asked about, computed and differentiated.
        counted_singly: whether these counts are each image's own; where not, they are its share of the batch's.
        iterations: int64, -1 where the attack does not say.
        c: float64, NaN where there is none.
        seconds: float64: its share of the time.
    """

    row: Tensor
    adversarial: Tensor
    success: Tensor | None
    queries: Tensor
    forwards: Tensor
    gradients: Tensor
    counted_singly: bool
    iterations: Tensor
    c: Tensor
    seconds: Tensor


def require_gradients(inference_mode: bool) -> None:
    """Refuse inference mode, which `enable_grad` cannot undo.

    Raises:
        InputError: it is on.
    """
    if inference_mode:
        raise InputError(
            "Expected `inference_mode` of the Trainer to be False, but it is True, where no attack can take a gradient; "
            "make it Trainer(inference_mode=False)."
        )


def craft(
    attack: Any,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    name: str,
    seed: int,
    index: Tensor | None = None,
    on_crafted: Callable[[Crafted], None] | None = None,
) -> tuple[Tensor, Spent]:
    """The adversarial examples of one batch.

    Gradients are enabled, and the random state of torch, NumPy and Python is seeded inside and untouched outside. Every module's training
    flag, every parameter's `requires_grad` and `grad`, and every buffer are afterwards what they were: torchattacks calls ``.train()`` on
    all modules.
    The parameters are frozen meanwhile: an attack differentiates with respect to pixels. Nothing is clamped: a wrong result is an error.
    Where memory runs out in an attack of torchattacks, the batch is halved, with a warning; qlight's own attacks do that inside.

    Args:
        attack: a `torchattacks.Attack` on `model`.
        model: images -> logits.
        images: N x C x H x W, in [0, 1].
        labels: int64, N.
        name: the attack's label, for errors.
        seed: of this batch; see `derived_seed`.
        index: int64, N: which image of the test set each one is.
        on_crafted: called with images as soon as the attack is done with them: qlight's own attacks finish them one by one, others the
            whole batch at its end.

    Returns:
        images of the same shape, device and dtype, detached; what it took.

    Raises:
        InputError: inference mode is on, or the attack refused its arguments, or it returned anything but finite images of this shape in
            [0, 1]. Another error of the attack's passes through with its label as a note.
    """
    require_gradients(torch.is_inference_mode_enabled())
    if hasattr(attack, "set_device"):
        attack.set_device(images.device)  # torchattacks asks the first parameter, which not every model has
    if isinstance(attack, PerImageAttack):
        return _craft_singly(attack, model, images, labels, name, seed, index, on_crafted)
    return _craft_batch(attack, model, images, labels, name, seed, torch.arange(len(images)), on_crafted)


def _craft_singly(
    attack: PerImageAttack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    name: str,
    seed: int,
    index: Tensor | None,
    on_crafted: Callable[[Crafted], None] | None,
) -> tuple[Tensor, Spent]:
    """With an attack that tells images apart; its random numbers are keyed by its own seed and the images' indices."""

    def tell(finished: Finished) -> None:
        if on_crafted is not None:
            report = finished.report
            adversarial = _checked(finished.examples, images[finished.row], name)
            on_crafted(
                Crafted(
                    row=finished.row,
                    adversarial=adversarial,
                    success=report.success,
                    queries=report.queries,
                    forwards=report.forwards,
                    gradients=report.gradients,
                    counted_singly=True,
                    iterations=report.iterations,
                    c=report.c,
                    seconds=report.seconds,
                )
            )

    attack.on_finished = tell
    try:
        with unchanged(model), seeded(seed), torch.enable_grad():
            adversarial = _call(attack, images, labels, name, **({} if index is None else {"index": index}))
    finally:
        attack.on_finished = None
    report = attack.report
    assert report is not None
    counts = (int(report.queries.sum()), int(report.forwards.sum()), int(report.gradients.sum()))
    return _checked(adversarial, images, name), Spent(float(report.seconds.sum()), *counts)


def _craft_batch(
    attack: Any,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    name: str,
    seed: int,
    row: Tensor,
    on_crafted: Callable[[Crafted], None] | None,
) -> tuple[Tensor, Spent]:
    """With an attack that takes a batch as a whole; `row` is where `images` stand in the evaluation's batch."""
    count = Counts(len(images))
    try:
        with unchanged(model), seeded(seed), counted(model, count), torch.enable_grad():
            _finish(images.device)
            start = time.perf_counter()
            adversarial = _call(attack, images, labels, name)
            _finish(images.device)
            seconds = time.perf_counter() - start
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error) or len(images) < 2:
            raise
        half = len(images) // 2
    else:
        adversarial = _checked(adversarial, images, name)
        if on_crafted is not None:
            queries, times = _shares(count.queries, len(images)), torch.full((len(images),), seconds / max(1, len(images)))
            on_crafted(
                Crafted(
                    row=row,
                    adversarial=adversarial,
                    success=None,
                    queries=queries,
                    forwards=queries,
                    gradients=_shares(count.gradients, len(images)),
                    counted_singly=count.singly,
                    iterations=torch.full_like(queries, -1),
                    c=torch.full_like(times, torch.nan),
                    seconds=times.double(),
                )
            )
        return adversarial, Spent(seconds, count.queries, count.queries, count.gradients)
    warnings.warn(f"Memory ran out in attack `{name}` with {len(images)} images at once; it goes on with {half}.", stacklevel=2)
    if images.is_cuda:
        torch.cuda.empty_cache()
    parts = [
        _craft_batch(attack, model, images[part], labels[part], name, seed, row[part], on_crafted)
        for part in (slice(0, half), slice(half, None))
    ]
    sums = [sum(getattr(spent, field) for _, spent in parts) for field in ("seconds", "queries", "forwards", "gradients")]
    return torch.cat([adversarial for adversarial, _ in parts]), Spent(*sums)


def _call(attack: Any, images: Tensor, labels: Tensor, name: str, **own: Any) -> Any:
    """What the attack returns; an error that names it where it refuses."""
    try:
        return attack(images.clone(), labels.clone(), **own)  # clones: an attack may work in place
    except (TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Expected attack `{name}` to accept these images and its arguments, but it raised {error!r}; check them."
        ) from error
    except Exception as error:
        error.add_note(f"This happened in attack `{name}`.")
        raise


def _shares(total: int, count: int) -> Tensor:
    """`total` in `count` whole parts that add up to it: int64."""
    return torch.tensor([total // count + (number < total % count) for number in range(count)], dtype=torch.int64)


def _checked(adversarial: Any, images: Tensor, name: str) -> Tensor:
    """`adversarial` on the device and in the dtype of `images`, or an error that names the attack."""

    def wrong(got: str) -> InputError:
        return InputError(
            f"Expected attack `{name}` to return finite images of shape {tuple(images.shape)} in [0, 1], but got {got}; "
            "correct the attack or its arguments."
        )

    if not isinstance(adversarial, Tensor):
        raise wrong(f"a {type(adversarial).__name__}")
    if adversarial.shape != images.shape:
        raise wrong(f"shape {tuple(adversarial.shape)}")
    if not adversarial.is_floating_point():
        raise wrong(f"{adversarial.dtype}")
    adversarial = adversarial.detach().to(images)
    if not bool(torch.isfinite(adversarial).all()):
        raise wrong(f"{int((~torch.isfinite(adversarial)).sum())} values that are not finite")
    low, high = adversarial.min().item(), adversarial.max().item()
    if low < 0 or high > 1:
        raise wrong(f"values from {low:g} to {high:g}")
    return adversarial


def _finish(device: torch.device) -> None:
    """Wait for the device, so that a time is the attack's."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
