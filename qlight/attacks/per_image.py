"""The base of qlight's own attacks: every image has its own course, whatever batch it came in.

An attack keeps a pool of images in work. A step advances all of them at once; an image that is finished leaves, and a waiting one takes its
place. Random numbers depend on (seed, image, step) alone. So the result for an image does not depend on its batch or on its neighbours: on
a model whose arithmetic is exact it is the same, on a float model the same up to the rounding of the model's kernels at another batch size.
"""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qlight.attacks import checks
from qlight.attacks.asking import AskingAttack, out_of_memory, working
from qlight.attacks.report import Finished, Report
from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError

__all__ = ["Finished", "PerImageAttack", "Report", "State", "column", "out_of_memory", "working"]

State = dict[str, Tensor]

_ROUNDING = 1e-4  # how far images may be outside [0, 1] after torchattacks undid a normalization; in pixel units


class PerImageAttack(AskingAttack):
    """A `torchattacks.Attack` in which images are independent. A subclass implements `start`, `step` and `best`.

    Args:
        name: of the attack.
        model: images N x C x H x W in [0, 1] -> logits N x classes, any floating-point dtype.
        seed: of the random numbers; None is 0.
        max_rows: the largest number of images in one forward pass.
        query_budget: queries an image may take; None: no limit. The attack ends with the best example so far.

    After a call, `report` says what happened. As in torchattacks the result is on the model's device, and `set_mode_targeted_random` and
    `set_mode_targeted_least_likely` choose targets; both ask the model about each image once, which counts as a query.
    """

    def __init__(self, name: str, model: nn.Module, *, seed: int | None, max_rows: int, query_budget: int | None) -> None:
        if not checks.is_whole(max_rows) or max_rows < 1:
            raise InputError(f"Expected `max_rows` of {name} to be a whole number, at least 1, but got {max_rows!r}; 128 suits a CPU.")
        if query_budget is not None and (not checks.is_whole(query_budget) or query_budget < 1):
            raise InputError(
                f"Expected `query_budget` of {name} to be a whole number, at least 1, or None, but got {query_budget!r}; raise it."
            )
        if seed is not None and (not checks.is_whole(seed) or not -(2**63) <= seed < 2**63):
            raise InputError(f"Expected `seed` of {name} to be a whole number of 64 bits or None, but got {seed!r}; try 0.")
        super().__init__(name, model, seed=0 if seed is None else seed, max_rows=max_rows)
        self.supported_mode = ["default", "targeted"]
        self.query_budget = query_budget
        self.report: Report | None = None
        #: how many iterations each image in work has behind it, in the order of the state: what the host knows without asking the device
        self.ages: list[int] = []

    #: whether the attack differentiates its model, which decides where it can run; None: it does not say
    needs_gradients: bool | None = None
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
        applied = self._normalization_applied
        try:
            with unchanged(self.model):
                return super().__call__(inputs, labels, *args, **kwargs)
        finally:
            self._normalization_applied = applied  # torchattacks leaves it switched off after an error
            self._index = None

    def forward(self, inputs: Tensor, labels: Tensor | None = None, *args: Any, index: Tensor | None = None, **kwargs: Any) -> Tensor:
        images, goals, index = self._checked(inputs, labels, index)
        least = self._targets_asked + self.rows_per_image + self.final_queries
        if self.query_budget is not None and self.query_budget < least:
            raise InputError(f"Expected `query_budget` to allow one step of {least} queries, but got {self.query_budget}; raise it.")
        result = images.clone()
        report = Report(
            success=torch.zeros(len(images), dtype=torch.bool, device=images.device),
            queries=torch.zeros_like(index),
            iterations=torch.zeros_like(index),
            forwards=torch.zeros_like(index),
            gradients=torch.zeros_like(index),
            c=torch.full(index.shape, torch.nan, dtype=torch.float64, device=images.device),
            seconds=torch.zeros(index.shape, dtype=torch.float64, device=images.device),
        )
        waiting, state = 0, self._new(images[:0], goals[:0], index[:0], 0)
        ages = self.ages
        ages.clear()
        spent: list[float] = []  # their seconds
        start = time.perf_counter()
        while waiting < len(images) or ages:
            entering = min(self.pool - len(ages), len(images) - waiting)
            if (affordable := self._affordable()) is not None:
                entering = min(entering, affordable - len(ages))
                if entering < 0 or not (ages or entering):
                    break
            room = slice(waiting, waiting + entering)
            self.entered = entering > 0
            if self.entered:
                new = self._new(images[room], goals[room], index[room], room.start)
                state = {name: torch.cat([state[name], new[name]]) for name in new} if ages else new
                ages += [0] * len(new["row"])
                spent += [0.0] * len(new["row"])
                waiting = room.start + len(new["row"])
            finished = self.step(state)
            state["iteration"] += 1
            ages[:] = [age + 1 for age in ages]
            start, share = time.perf_counter(), (time.perf_counter() - start) / len(ages)
            spent = [seconds + share for seconds in spent]
            if self.query_budget is not None:
                finished |= state["queries"] + self.rows_per_image + self.final_queries > self.query_budget
            if not any(map(self._may_leave, ages)):
                continue
            gone = finished.tolist()  # the one place where the host waits for the device
            if any(gone):
                done = {name: tensor[finished] for name, tensor in state.items()}
                done["seconds"] = torch.tensor([s for s, left in zip(spent, gone, strict=True) if left], dtype=torch.float64)
                self._leave(done, images, result, report)
                state = {name: tensor[~finished] for name, tensor in state.items()}
                ages[:] = [age for age, left in zip(ages, gone, strict=True) if not left]
                spent = [seconds for seconds, left in zip(spent, gone, strict=True) if not left]
        if ages:
            self._leave({**state, "seconds": torch.tensor(spent, dtype=torch.float64)}, images, result, report)
        if ages or waiting < len(images):
            warnings.warn(
                f"The model's `budget` of queries ended {self.attack}: {len(ages)} images got their best example so far, and "
                f"{len(images) - waiting} were not begun; raise it.",
                stacklevel=2,
            )
        self.tell_of_not_numbers()
        self.report = report
        return result

    def _affordable(self) -> int | None:
        """How many images can be in work for one more step, and be judged, within the queries that the model still allows; None: all."""
        left: int | None = getattr(self.model, "queries_left", None)
        # one more: `start` may take a query
        return None if left is None else left // (1 + self.rows_per_image + self.final_queries)

    def _leave(self, done: State, images: Tensor, result: Tensor, report: Report) -> None:
        """Write down what the finished images `done` came to, and tell `on_finished`."""
        examples, found = self.best(done)
        row = done["row"]
        examples = torch.where(column(found, examples), examples, images[row])
        result[row] = examples
        c = torch.where(found, self.constant(done), torch.nan)
        forwards, gradients = done.get("forwards", done["queries"]), done.get("gradients", torch.zeros_like(done["queries"]))
        own = Report(found, done["queries"], done["iteration"], forwards, gradients, c, done["seconds"].to(c.device))
        for name, values in vars(own).items():
            getattr(report, name)[row] = values
        if self.on_finished is not None:
            self.on_finished(Finished(row, examples, own))

    def _may_leave(self, age: int) -> bool:
        """Whether an image can be finished, by itself or by the budget, after `age` iterations."""
        # `>=`, because `start` may have taken a query
        taken = self._targets_asked + (age + 1) * self.rows_per_image + self.final_queries
        if self.query_budget is not None and taken >= self.query_budget:
            return True
        return self.may_finish(age)

    def _new(self, images: Tensor, goals: Tensor, index: Tensor, first: int) -> State:
        zeros = torch.zeros_like(index)
        rows = torch.arange(first, first + len(images), device=images.device)
        queries = zeros + self._targets_asked
        state = {"image": images, "label": goals, "index": index, "row": rows, "queries": queries, "iteration": zeros}
        self.start(state)
        return state

    def _checked(self, images: Tensor, labels: Tensor | None, index: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Images, goals and indices on the model's device; a call begins here."""
        images = checks.checked_images(images, _ROUNDING if self.normalization_used is not None else 0.0)
        labels = checks.checked_classes(labels, len(images), images.device)
        home = next(self.model.parameters(), images).device
        images, labels, index = images.to(home), labels.to(home), checks.checked_index(index, len(images), home)
        if not len(images):
            self.begin(index, ("labels", 0, 0))
            return images, labels, index
        self.begin(index, ("labels", int(labels.min()), int(labels.max())))
        if not self.targeted:
            return images, labels, index
        goals = checks.checked_classes(self.get_target_label(images, labels), len(images), home, "target labels")
        name = "labels" if self.attack_mode == "targeted(label)" else "target labels"
        self._range = (name, int(goals.min()), int(goals.max()))
        return images, goals, index


def column(values: Tensor, like: Tensor) -> Tensor:
    """``values`` (n) shaped to broadcast against ``like`` (n x ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))
