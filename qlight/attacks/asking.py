"""How an attack asks its model: in pieces that fit into memory, with or without gradients, and what it makes of the answers."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchattacks.attack import Attack

from qlight.attacks import checks
from qlight.attacks.counter_random import random_words
from qlight.errors import InputError

_TARGET = 3  # stream of random numbers


class AskingAttack(Attack):
    """The part of a `PerImageAttack` that asks the model; it does not know how images take turns.

    Args:
        name: of the attack.
        model: images N x C x H x W in [0, 1] -> logits N x classes.
        seed: of the random targets.
        max_rows: the largest number of images in one forward pass.
    """

    def __init__(self, name: str, model: nn.Module, *, seed: int, max_rows: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # torchattacks asks for a device where a model has no parameters; images have one
            super().__init__(name, model)
        self.seed = seed
        self.max_rows = self._rows = max_rows
        self._index: Tensor | None = None  # of the images of a call
        self._range: tuple[str, int, int] | None = None  # what their labels are called, and their range; None once it is checked
        self._unseen = self._warned = False  # whether no logits of a call were looked at yet; whether it warned of memory
        self._targets_asked = 0  # queries that each image took for the choice of its target
        self._not_numbers: Tensor | None = None  # how many outputs were not, counted where the images are

    def begin(self, index: Tensor, labels: tuple[str, int, int]) -> None:
        """Begin a call: for images of these indices, with labels of this name and range."""
        self._index, self._range = index, labels
        self._unseen, self._warned, self._targets_asked, self._not_numbers = True, False, 0, None

    def logits(self, images: Tensor) -> Tensor:
        """Logits of `images`, at most `max_rows` at a time, fewer where memory does not allow so many."""
        return self.in_pieces(self.outputs, images)[0]

    def outputs(self, images: Tensor) -> tuple[Tensor]:
        """Logits of `images` in one forward pass; the first of a call are looked at more closely."""
        logits = checks.checked_logits(self.get_logits(images), len(images))
        if self._range is not None:  # the number of classes is known only now
            labels, self._range = self._range, None
            checks.check_range(*labels, logits.shape[1])
        if self._unseen:
            self._unseen = False
            checks.check_values(logits)
        return (logits,)

    def with_slopes(self, images: Tensor, label: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of `images`, n x classes, and the gradient of each image's loss in that image, n x C x H x W, with no other gradient.

        Args:
            images: n x C x H x W.
            label: int64, n.
            loss: logits (n x classes, float32 at least) and labels -> losses (n).

        Raises:
            InputError: there is no gradient.
        """
        logits, slopes = self.in_pieces(lambda rows, labels: self._slopes_of_piece(rows, labels, loss), images, label)
        return logits, slopes

    def _slopes_of_piece(self, images: Tensor, label: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            (logits,) = self.outputs(images)
            if torch.is_inference_mode_enabled():
                raise InputError("Expected gradients, but inference mode is on; leave it, for example with Trainer(inference_mode=False).")
            slopes = None
            if logits.requires_grad:
                logits = logits.to(working(logits))  # a difference of float16 logits would be rounded
                (slopes,) = torch.autograd.grad(loss(logits, label).sum(), images, allow_unused=True)
            if slopes is None:
                raise InputError("Expected `model` to be differentiable, but its logits carry no gradient; use SPSA or ZOO on it.")
        return logits.detach(), slopes

    def in_pieces(self, function: Callable[..., tuple[Tensor, ...]], *rows: Tensor) -> tuple[Tensor, ...]:
        """What `function` returns for all rows, called with at most `max_rows` of them; half as many as soon as memory runs out.

        The pieces are of equal size: kernels of dense layers round a single left-over image differently than a batch.
        """
        parts: list[tuple[Tensor, ...]] = []
        first, count = 0, len(rows[0])
        refused = 0  # the last number of images that memory had no room for
        while first < count or not parts:
            left = count - first
            size = -(-left // max(1, -(-left // self._rows)))
            piece = [tensor[first : first + size] for tensor in rows]
            try:
                parts.append(function(*piece))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or len(piece[0]) < 2:
                    raise
            else:
                first += len(piece[0]) or 1
                if refused:
                    self._rows = len(piece[0])  # there was room for so many, perhaps not for more
                self._warn_of_memory(refused)
                refused = 0
                continue
            refused, self._rows = len(piece[0]), max(1, len(piece[0]) // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return parts[0] if len(parts) == 1 else tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _warn_of_memory(self, refused: int) -> None:
        """Say once a call that memory ran out, when it is known how many images it has room for."""
        if refused and not self._warned:
            self._warned = True
            warnings.warn(
                f"Memory ran out with {refused} images at once; {self.attack} goes on with {self._rows}: set `max_rows`.", stacklevel=2
            )

    def margin(self, logits: Tensor, label: Tensor) -> Tensor:
        """The paper's equation (7) without kappa: logit_y - max_{j != y} logit_j, n; negated where the label is the target."""
        own = logits.gather(1, label[:, None])[:, 0]
        others = logits.scatter(1, label[:, None], -torch.inf).amax(1)
        return others - own if self.targeted else own - others

    def reached(self, logits: Tensor, label: Tensor) -> Tensor:
        """Whether the predicted class is what the attack wants: bool, n. Logits that are not numbers predict nothing, so it is not."""
        not_numbers = logits.isnan().any(1)
        seen = not_numbers.sum()
        self._not_numbers = seen if self._not_numbers is None else self._not_numbers + seen
        hit = logits.argmax(1) == label
        return (hit if self.targeted else ~hit) & ~not_numbers

    def tell_of_not_numbers(self) -> None:
        """Warn once, after a call, of outputs that were not numbers: the host does not wait for the device in between."""
        count = 0 if self._not_numbers is None else int(self._not_numbers)
        if count:
            warnings.warn(
                f"The model returned NaN for {count} of the images that {self.attack} looked at; none of them counts as adversarial: "
                "use a wider float type.",
                stacklevel=2,
            )

    def get_random_target_label(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """A target for each image that is not its label; it depends on the seed and on the image's index alone, not on the batch."""
        logits, labels = self._asked(inputs, labels)
        index = checks.checked_index(None, len(inputs), logits.device) if self._index is None else self._index
        words = random_words(self.seed, index, torch.zeros_like(index), 1, _TARGET)[:, 0]
        other = ((words >> 1) & (2**62 - 1)) % (logits.shape[1] - 1)
        return other + (other >= labels).long()

    def get_least_likely_label(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """The class of the `kth_min`-th smallest logit among those that are not the label; of equal ones the smaller number first."""
        logits, labels = self._asked(inputs, labels)
        if self._kth_min >= logits.shape[1]:
            raise InputError(
                f"Expected `kth_min` to be at most {logits.shape[1] - 1}, as there are {logits.shape[1]} classes, but got {self._kth_min}; "
                "lower it."
            )
        return logits.scatter(1, labels[:, None], torch.inf).argsort(dim=1, stable=True)[:, self._kth_min - 1]

    @torch.no_grad()
    def _asked(self, inputs: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The logits of clean images, one query each, and their labels: the predicted classes where None."""
        logits = self.logits(inputs)
        self._targets_asked = 1
        return logits, logits.argmax(1) if labels is None else labels


def working(images: Tensor) -> torch.dtype:
    """The type that an attack's variables of `images` have: the images' own, float32 at least."""
    return torch.promote_types(images.dtype, torch.float32)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; on a CPU torch has no class of its own for it.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")), out_of_memory(ValueError())
    (True, False)
    """
    known = (MemoryError, torch.cuda.OutOfMemoryError)
    return isinstance(error, known) or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
