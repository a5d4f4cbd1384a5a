"""One batch through one attack: under a seed, with the model left exactly as it was, and with the result checked."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError


@dataclass
class Spent:
    """What crafting one batch took: seconds, images forwarded (queries), images whose gradient was taken (gradients)."""

    seconds: float = 0.0
    queries: int = 0
    gradients: int = 0


def derived_seed(seed: int, name: str, first_index: int) -> int:
    """A seed (0 to 2^63 - 1) for one batch of one attack: the same for the same three values, unrelated for others.

    >>> derived_seed(0, "FGSM", 0) == derived_seed(0, "FGSM", 0) != derived_seed(0, "FGSM", 8)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{name}\0{first_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


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
    attack: Any, model: nn.Module, images: Tensor, labels: Tensor, *, name: str, seed: int, index: Tensor | None = None
) -> tuple[Tensor, Spent]:
    """The adversarial examples of one batch.

    Gradients are enabled, and the random state of torch, NumPy and Python is seeded inside and untouched outside. Every module's training
    flag, every parameter's `requires_grad` and `grad`, and every buffer are afterwards what they were: torchattacks calls ``.train()`` on
    all modules.
    The parameters are frozen meanwhile: an attack differentiates with respect to pixels. Nothing is clamped: a wrong result is an error.

    Args:
        attack: a `torchattacks.Attack` on `model`.
        model: images -> logits.
        images: N x C x H x W, in [0, 1].
        labels: int64, N.
        name: the attack's label, for errors.
        seed: of this batch; see `derived_seed`.
        index: int64, N: which image of the test set each one is.

    Returns:
        images of the same shape, device and dtype, detached; what it took.

    Raises:
        InputError: inference mode is on, or the attack refused its arguments, or it returned anything but finite images of this shape in
            [0, 1]. Another error of the attack's passes through with its label as a note.
    """
    require_gradients(torch.is_inference_mode_enabled())
    device = images.device
    spent = Spent()
    if hasattr(attack, "set_device"):
        attack.set_device(device)  # torchattacks asks the first parameter, which not every model has
    with unchanged(model), _seeded(seed), _counted(model, spent), torch.enable_grad():
        _finish(device)
        start = time.perf_counter()
        try:
            # qlight's own attacks key an image's random numbers by its index, torchattacks' know none
            own = {} if index is None or not hasattr(attack, "rows_per_image") else {"index": index}
            adversarial = attack(images.clone(), labels.clone(), **own)  # clones: an attack may work in place
        except (TypeError, ValueError, NotImplementedError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"Expected attack `{name}` to accept these images and its arguments, but it raised {error!r}; check them."
            ) from error
        except Exception as error:
            error.add_note(f"This happened in attack `{name}`.")
            raise
        _finish(device)
        spent.seconds = time.perf_counter() - start
    return _checked(adversarial, images, name), spent


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


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed every generator that an attack may draw from (OnePixel and Pixle use NumPy's), and put their states back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - attacks use the global generator
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@contextlib.contextmanager
def _counted(model: nn.Module, spent: Spent) -> Iterator[None]:
    """Count the images that go forward through `model`, and those whose gradient comes back through its output."""

    def on_gradient(grad: Tensor) -> None:
        spent.gradients += len(grad)

    def on_forward(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim > 0:
            spent.queries += len(output)
            if output.requires_grad:
                output.register_hook(on_gradient)

    handle = model.register_forward_hook(on_forward)
    try:
        yield
    finally:
        handle.remove()


def _finish(device: torch.device) -> None:
    """Wait for the device, so that a time is the attack's."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
