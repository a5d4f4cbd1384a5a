"""The base of qlight's own attacks: every image has its own course, whatever batch it came in.

An attack keeps a pool of images in work. A step advances all of them at once; an image that is finished leaves, and a waiting one takes its
place. Random numbers depend on (seed, image, step) alone. So the result for an image does not depend on its batch or on its neighbours: on
a model whose arithmetic is exact it is the same, on a float model the same up to the rounding of the model's kernels at another batch size.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchattacks.attack import Attack

from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError

State = dict[str, Tensor]


@dataclass(frozen=True)
class Report:
    """What the last call of an attack did, image by image; all of length N, in the order of the images.

    Attributes:
        success: whether an adversarial example was found; where not, the attack returned the clean image.
        queries: images that the attack asked the model about.
        iterations: steps taken.
        forwards: images that the model computed for it: fewer than the queries where an attack knows an answer without computing it.
        c: the weight of the loss against the distance that gave the example, float64; NaN where there is none.
    """

    success: Tensor
    queries: Tensor
    iterations: Tensor
    forwards: Tensor
    c: Tensor


@dataclass(frozen=True)
class Finished:
    """Images whose attack is over, as they leave: what `Report` holds for them, and the examples.

    Attributes:
        row: int64, n: where the images stood in the call's inputs.
        examples: n x C x H x W: adversarial, or the clean image where there was no success.
        report: of these images.
    """

    row: Tensor
    examples: Tensor
    report: Report


class PerImageAttack(Attack):
    """A `torchattacks.Attack` in which images are independent. A subclass implements `start`, `step` and `best`.

    Args:
        name: of the attack.
        model: images N x C x H x W in [0, 1] -> logits N x classes, any floating-point dtype.
        seed: of the random numbers; None is 0.
        max_rows: the largest number of images in one forward pass.
        query_budget: queries an image may take; None: no limit. The attack ends with the best example so far.

    After a call, `report` says what happened.
    """

    def __init__(self, name: str, model: nn.Module, *, seed: int | None, max_rows: int, query_budget: int | None) -> None:
        super().__init__(name, model)
        if max_rows < 1:
            raise InputError(f"Expected `max_rows` to be at least 1, but got {max_rows}; 128 suits a CPU.")
        if query_budget is not None and query_budget < 1:
            raise InputError(f"Expected `query_budget` to be at least 1 or None, but got {query_budget}.")
        self.supported_mode = ["default", "targeted"]
        self.seed = 0 if seed is None else seed
        self.max_rows = self._rows = max_rows
        self.query_budget = query_budget
        self.report: Report | None = None
        self._label_range: tuple[int, int] | None = None

    #: queries that `best` takes for one image
    final_queries: int = 0
    #: whether images have entered since the last step
    entered: bool = False
    #: called with images as soon as they are finished, in whatever order that happens
    on_finished: Callable[[Finished], None] | None = None

    @property
    @abstractmethod
    def rows_per_image(self) -> int:
        """How many images a step forwards for one image in work."""

    @property
    def pool(self) -> int:
        """How many images are in work at once."""
        return max(1, self.max_rows // self.rows_per_image)

    def may_finish(self, age: int) -> bool:
        """Whether `step` can say that an image is finished at its `age`-th iteration, from 1.

        Where this is False the host does not wait for the device. An attack that always runs its full course says so here.
        """
        return True

    def constant(self, state: State) -> Tensor:
        """The c that gave each image's best example: float64, n; NaN in an attack without such a constant."""
        return torch.full(state["row"].shape, torch.nan, dtype=torch.float64, device=state["row"].device)

    @abstractmethod
    def start(self, state: State) -> None:
        """Add to the state of new images (which has `image`, `label`, `index`, `queries`, `iteration`) what the attack keeps."""

    @abstractmethod
    def step(self, state: State) -> Tensor:
        """Advance all images by one iteration, counting `queries`; True for each image that is finished: bool, n."""

    @abstractmethod
    def best(self, state: State) -> tuple[Tensor, Tensor]:
        """The best examples so far and whether they are adversarial: n x C x H x W, bool n; counts the queries that it takes."""

    def __call__(self, inputs: Tensor, labels: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        """Adversarial examples N x C x H x W of `inputs`; the model is afterwards exactly as it was.

        Args:
            inputs: N x C x H x W in [0, 1].
            labels: int64, N: the true classes, or the targets in targeted(label) mode.
            index: int64, N, optional: which image each one is, for its random numbers; default 0 to N - 1.
        """
        with unchanged(self.model):
            return super().__call__(inputs, labels, *args, **kwargs)

    def forward(self, inputs: Tensor, labels: Tensor | None = None, *args: Any, index: Tensor | None = None, **kwargs: Any) -> Tensor:
        images, goals = self._checked(inputs, labels)
        index = torch.arange(len(images), device=images.device) if index is None else index.to(images.device)
        if index.shape != goals.shape:
            raise InputError(f"Expected `index` to hold a number for each of {len(goals)} images, but got shape {tuple(index.shape)}.")
        least = self.rows_per_image + self.final_queries
        if self.query_budget is not None and self.query_budget < least:
            raise InputError(f"Expected `query_budget` to allow one step of {least} queries, but got {self.query_budget}; raise it.")
        result = images.clone()
        report = Report(
            success=torch.zeros(len(images), dtype=torch.bool, device=images.device),
            queries=torch.zeros_like(index),
            iterations=torch.zeros_like(index),
            forwards=torch.zeros_like(index),
            c=torch.full(index.shape, torch.nan, dtype=torch.float64, device=images.device),
        )
        waiting, state = 0, self._new(images[:0], goals[:0], index[:0], 0)
        ages: list[int] = []  # the iterations of the images in work, which the host can know without asking the device
        while waiting < len(images) or ages:
            room = slice(waiting, waiting + self.pool - len(ages))
            self.entered = room.start < min(room.stop, len(images))
            if self.entered:
                new = self._new(images[room], goals[room], index[room], room.start)
                state = {name: torch.cat([state[name], new[name]]) for name in new} if ages else new
                ages += [0] * len(new["row"])
                waiting = room.start + len(new["row"])
            finished = self.step(state)
            state["iteration"] += 1
            ages = [age + 1 for age in ages]
            if self.query_budget is not None:
                finished |= state["queries"] + self.rows_per_image + self.final_queries > self.query_budget
            if not any(map(self._may_leave, ages)):
                continue
            gone = finished.tolist()  # the one place where the host waits for the device
            if any(gone):
                self._leave({name: tensor[finished] for name, tensor in state.items()}, images, result, report)
                state = {name: tensor[~finished] for name, tensor in state.items()}
                ages = [age for age, left in zip(ages, gone, strict=True) if not left]
        self.report = report
        return result

    def _leave(self, done: State, images: Tensor, result: Tensor, report: Report) -> None:
        """Write down what the finished images `done` came to, and tell `on_finished`."""
        examples, found = self.best(done)
        row = done["row"]
        examples = torch.where(column(found, examples), examples, images[row])
        result[row] = examples
        c = torch.where(found, self.constant(done), torch.nan)
        own = Report(found, done["queries"], done["iteration"], done.get("forwards", done["queries"]), c)
        for name, values in vars(own).items():
            getattr(report, name)[row] = values
        if self.on_finished is not None:
            self.on_finished(Finished(row, examples, own))

    def _may_leave(self, age: int) -> bool:
        """Whether an image can be finished, by itself or by the budget, after `age` iterations."""
        if self.query_budget is not None and (age + 1) * self.rows_per_image + self.final_queries >= self.query_budget:
            return True
        return self.may_finish(age)

    def _new(self, images: Tensor, goals: Tensor, index: Tensor, first: int) -> State:
        zeros = torch.zeros_like(index)
        rows = torch.arange(first, first + len(images), device=images.device)
        state = {"image": images, "label": goals, "index": index, "row": rows, "queries": zeros, "iteration": zeros.clone()}
        self.start(state)
        return state

    def logits(self, images: Tensor) -> Tensor:
        """Logits of `images`, at most `max_rows` at a time, fewer where memory does not allow so many."""
        return self.in_pieces(self.outputs, images)[0]

    def outputs(self, images: Tensor) -> tuple[Tensor]:
        """Logits of `images` in one forward pass; the first of a call are checked against the labels."""
        logits = self.get_logits(images)
        if self._label_range is not None:  # once a call: the number of classes is known only now
            (low, high), self._label_range = self._label_range, None
            if low < 0 or high >= logits.shape[1]:
                raise InputError(f"Expected `labels` from 0 to {logits.shape[1] - 1}, but got {low} to {high}; relabel these images.")
        return (logits,)

    def in_pieces(self, function: Callable[..., tuple[Tensor, ...]], *rows: Tensor) -> tuple[Tensor, ...]:
        """What `function` returns for all rows, called with at most `max_rows` of them; half as many as soon as memory runs out."""
        parts: list[tuple[Tensor, ...]] = []
        first, count = 0, len(rows[0])
        while first < count or not parts:
            piece = [tensor[first : first + self._rows] for tensor in rows]
            try:
                parts.append(function(*piece))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or len(piece[0]) < 2:
                    raise
            else:
                first += len(piece[0]) or 1
                continue
            self._rows = max(1, len(piece[0]) // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(
                f"Memory ran out with {len(piece[0])} images at once; {self.attack} goes on with {self._rows}: set `max_rows`.",
                stacklevel=2,
            )
        return parts[0] if len(parts) == 1 else tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def margin(self, logits: Tensor, label: Tensor) -> Tensor:
        """The paper's equation (7) without kappa: logit_y - max_{j != y} logit_j, n; negated where the label is the target."""
        own = logits.gather(1, label[:, None])[:, 0]
        others = logits.scatter(1, label[:, None], -torch.inf).amax(1)
        return others - own if self.targeted else own - others

    def reached(self, logits: Tensor, label: Tensor) -> Tensor:
        """Whether the predicted class is what the attack wants: bool, n."""
        hit = logits.argmax(1) == label
        return hit if self.targeted else ~hit

    def _checked(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
            got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise InputError(f"Expected `inputs` to be floating-point images N x C x H x W, but got {got}; divide pixels by 255.")
        if not bool(((images >= 0) & (images <= 1)).all()):
            raise InputError("Expected `inputs` in [0, 1], but got a value outside or NaN; divide pixels by 255 and do not normalize.")
        if labels is None or labels.is_floating_point() or labels.shape != (len(images),):
            got = "none" if labels is None else f"{labels.dtype} of shape {tuple(labels.shape)}"
            raise InputError(f"Expected `labels` to be {len(images)} class indices, but got {got}; pass the labels of the images.")
        labels = labels.to(images.device, torch.int64)
        goals = self.get_target_label(images, labels) if self.targeted else labels
        self._label_range = (int(goals.min()), int(goals.max())) if len(goals) else None
        return images.detach(), goals


def column(values: Tensor, like: Tensor) -> Tensor:
    """``values`` (n) shaped to broadcast against ``like`` (n x ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; on a CPU torch has no class of its own for it.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")), out_of_memory(ValueError())
    (True, False)
    """
    known = (MemoryError, torch.cuda.OutOfMemoryError)
    return isinstance(error, known) or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
