"""What an attack queries: a torch module with a cost, from images in [0, 1] to logits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from qlight.errors import InputError


class BudgetError(InputError):
    """A target was asked about more images than its `budget` allows."""


class Counts:
    """How many images a target was asked about and how many it computed. Threads may share one."""

    def __init__(self, budget: int | None = None, queries: int = 0, computed: int = 0) -> None:
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 0):
            raise InputError(f"Expected `budget` to be a whole number of queries, or None for no limit, but got {budget!r}.")
        self.budget, self.queries, self.computed = budget, queries, computed
        self._lock = threading.Lock()

    def ask(self, images: int) -> None:
        """Count queries before they are answered.

        Raises:
            BudgetError: they are more than the budget has left; then none is counted, and none is to be answered.
        """
        with self._lock:
            if self.budget is not None and self.queries + images > self.budget:
                raise BudgetError(
                    f"Expected at most `budget` = {self.budget} queries of this target, but {self.queries} were asked and {images} more "
                    "came; raise `budget`, or ask less (qlight's own attacks end with the best example so far, by `query_budget` too)."
                )
            self.queries += images

    def compute(self, images: int) -> None:
        """Count images that were computed."""
        with self._lock:
            self.computed += images

    def __reduce__(self) -> tuple[Any, ...]:
        return Counts, (self.budget, self.queries, self.computed)


class Target(nn.Module):
    """What an attack queries: images N x C x H x W in [0, 1] -> logits N x classes, on the device of the images.

    A query is one image that comes to `forward`. Those that are answered from a cache are queries as well, and count towards the budget.
    Probes that an attack leaves out because `unaffected` tells their answer never come here: the attack counts them itself (its
    `Report.queries`).

    Copies and pickles (of a process that a strategy spawns) begin with the counts of the original, and go on with their own.

    Args:
        budget: queries that are answered; None: no limit. One that needs more raises `BudgetError`; qlight's own attacks see the end
            coming (`queries_left`) and return the best examples so far.

    Raises:
        InputError: ``budget`` is no whole number from 0.
    """

    #: which kind of target: torch, packed, ...
    kind: str = "target"
    #: whether a gradient can be asked of the logits
    differentiable: bool = False
    #: 256 where images are rounded to 8-bit pixels; None where they are taken as they are
    input_levels: int | None = None
    #: content hash of the integer graph that it runs
    graph_hash: str | None = None

    def __init__(self, budget: int | None = None) -> None:
        super().__init__()
        self.counts = Counts(budget)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of ``images``; counts them. A subclass says how."""
        raise NotImplementedError

    @property
    def queries(self) -> int:
        """Images asked about so far."""
        return self.counts.queries

    @property
    def computed(self) -> int:
        """Images computed so far: `queries` less those that were answered from a cache."""
        return self.counts.computed

    @property
    def budget(self) -> int | None:
        """The most queries that are answered; may be set again."""
        return self.counts.budget

    @budget.setter
    def budget(self, budget: int | None) -> None:
        self.counts.budget = Counts(budget).budget

    @property
    def queries_left(self) -> int | None:
        """Queries that the budget still allows; None: no limit."""
        return None if self.budget is None else max(0, self.budget - self.queries)

    def evaluation_view(self, compile: bool = False) -> Target:  # noqa: A002 - the option is torch's name
        """What an evaluation attacks: this target.

        Raises:
            InputError: ``compile`` is asked for where there is nothing to compile.
        """
        if compile:
            raise InputError(f"Expected `compile` to be false on a {self.kind} target, which torch does not run; leave it out.")
        return self


class TorchTarget(Target):
    """A torch network as a target: differentiable, and nothing is rounded.

    Args:
        module: images in [0, 1] -> logits, as it is to be attacked (in evaluation mode).
        budget: see `Target`.
        graph_hash: of the integer graph that ``module`` simulates, if it does.

    Raises:
        InputError: ``module`` is no torch module, or the budget no whole number.

    >>> import torch
    >>> target = TorchTarget(nn.Flatten(), budget=3)
    >>> target(torch.ones(2, 1, 1, 2)).tolist(), target.queries, target.queries_left
    ([[1.0, 1.0], [1.0, 1.0]], 2, 1)
    """

    kind = "torch"
    differentiable = True

    def __init__(self, module: nn.Module, budget: int | None = None, graph_hash: str | None = None) -> None:
        super().__init__(budget)
        if not isinstance(module, nn.Module):
            raise InputError(f"Expected `module` to be a torch module, but got a {type(module).__name__}; give the network itself.")
        self.module = module
        self.graph_hash = graph_hash

    def forward(self, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
            got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
            raise InputError(f"Expected `images` to be floating-point N x C x H x W in [0, 1], but got {got}; divide pixels by 255.")
        self.counts.ask(len(images))
        logits = self.module(images)
        self.counts.compute(len(images))
        return logits

    @property
    def unaffected(self) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
        """What the network offers by this name (`qlight.models.view.NetworkView`), or None."""
        return getattr(self.module, "unaffected", None)

    def evaluation_view(self, compile: bool = False) -> Target:  # noqa: A002 - the option is torch's name
        """A target of the network's own evaluation view, where it has one; both count together."""
        make_view = getattr(self.module, "evaluation_view", None)
        if make_view is None:
            return self
        view = TorchTarget(make_view(compile=compile), graph_hash=self.graph_hash)
        view.counts = self.counts
        return view
