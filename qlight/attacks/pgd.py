"""Projected gradient descent in an l-infinity ball with random restarts: Madry et al., 2018, equation (2.1) and section 3."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from qlight.attacks.ball import ball
from qlight.attacks.checks import above_zero, whole_from_one
from qlight.attacks.counter_random import random_uniform
from qlight.attacks.per_image import PerImageAttack, State, column, working
from qlight.errors import InputError, nearest

Loss = Literal["ce", "margin"]

_START = 4  # stream of random numbers


class PGDRestarts(PerImageAttack):
    """Follow the sign of the loss's gradient within |x' - x| <= eps and the box [0, 1], again and again from random points.

    A restart begins at a uniform point of the ball and takes `steps` steps of `step_size`, each followed by the projection. All its
    points are looked at, the first and the last included, with the forward pass that gives their gradient: `steps` + 1 queries. The
    gradient at the last one is not used; it keeps the counts of an image independent of its neighbours. Without a random start and in one
    restart this is BIM, the paper's equation (5).

    The loss "ce" is the cross-entropy. Its sign is taken from logit_y - log sum_{j != y} exp(logit_j), of which cross-entropy is an
    increasing function, so that the signs are the same where those of the cross-entropy are not lost to underflow, as they are in float32
    from a margin of about 100 on. "margin" is the paper's equation (7), logit_y - max_{j != y} logit_j.

    The result is the first adversarial point with `early_stop`, else that of the largest margin. A failure returns the clean image.

    Args:
        model: images in [0, 1] -> logits, differentiable.
        eps: radius of the ball, in pixel units of [0, 1].
        step_size: of a step, in pixel units.
        steps: of a restart.
        restarts: how many times an image is begun, at most.
        loss: "ce" or "margin".
        random_start: begin at a uniform point of the ball instead of the image, from which there can be only one restart.
        early_stop: an image leaves at its first adversarial point; else it runs its full course.
        seed: of the random starts, None for 0 (an evaluation gives its own); they depend on it, on the image's index and on the number
            of the restart alone.
        max_rows: the largest number of images in one forward pass.
        query_budget: queries (forwards with their gradient) an image may take; None: no limit.

    Raises:
        InputError: an argument out of range, or a model through which no gradient flows.
    """

    needs_gradients = True

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 20,
        restarts: int = 5,
        loss: Loss = "ce",
        random_start: bool = True,
        early_stop: bool = True,
        seed: int | None = None,
        max_rows: int = 128,
        query_budget: int | None = None,
    ) -> None:
        super().__init__("PGDRestarts", model, seed=seed, max_rows=max_rows, query_budget=query_budget)
        above_zero(self.attack, eps=(eps, 8 / 255), step_size=(step_size, 2 / 255))
        whole_from_one(self.attack, steps=(steps, 20), restarts=(restarts, 5))
        if loss not in get_args(Loss):
            close = nearest(str(loss), get_args(Loss), 1) or "ce"
            raise InputError(f"Expected `loss` of PGDRestarts to be ce or margin, but got {loss!r}; use {close}.")
        if restarts > 1 and not random_start:
            raise InputError(
                f"Expected `restarts` of PGDRestarts to be 1 without `random_start`, but got {restarts}: all would be the same."
            )
        self.eps, self.step_size, self.steps, self.restarts = eps, step_size, steps, restarts
        self.loss, self.random_start, self.early_stop = loss, bool(random_start), bool(early_stop)

    @property
    def rows_per_image(self) -> int:
        return 1

    @property
    def _period(self) -> int:
        """The iterations of a restart: one more than its steps, as its last point is looked at as well."""
        return self.steps + 1

    def may_finish(self, age: int) -> bool:
        return self.early_stop or age >= self.restarts * self._period

    def start(self, state: State) -> None:
        image = state["image"]
        low, high = ball(image, self.eps)
        infinite = torch.full(state["row"].shape, torch.inf, dtype=working(image), device=image.device)
        state |= {
            "low": low.to(working(image)),
            "high": high.to(working(image)),
            "example": image.clone(),
            "margin": infinite,  # of the example
            "found": torch.zeros_like(state["row"], dtype=torch.bool),
            "gradients": torch.zeros_like(state["row"]),
        }
        state["point"] = self._begin(state)

    def _begin(self, state: State) -> Tensor:
        """Where the restart that `iteration` is in begins."""
        image = state["image"].to(state["low"].dtype)
        if not self.random_start:
            return image
        restart = state["iteration"] // self._period
        uniform = random_uniform(self.seed, state["index"], restart, image.shape[1:].numel(), image.dtype, _START).view_as(image)
        return torch.clamp(image + (2 * uniform - 1) * self.eps, state["low"], state["high"])

    def step(self, state: State) -> Tensor:
        label, point = state["label"], state["point"]
        sent = point.to(state["image"].dtype)  # within the bounds, as these are numbers of the images' type
        logits, slope = self.with_slopes(sent, label, self.margin if self.loss == "margin" else self._soft_margin)
        state["queries"] += 1
        state["gradients"] += 1
        margin, reached = self.margin(logits, label), self.reached(logits, label)
        better = reached & (margin < state["margin"])
        state["example"] = torch.where(column(better, sent), sent, state["example"])
        state["margin"] = torch.where(better, margin, state["margin"])
        state["found"] = state["found"] | better

        # a slope that is not a number, as of a float16 model that overflows, moves nothing
        move = slope.sign().nan_to_num_(0).to(point.dtype)
        moved = torch.clamp(point - self.step_size * move, state["low"], state["high"])
        if any(age % self._period == self.steps for age in self.ages):  # known without asking the device
            following = {**state, "iteration": state["iteration"] + 1}
            over = state["iteration"] % self._period == self.steps
            moved = torch.where(column(over, moved), self._begin(following), moved)
        state["point"] = moved
        finished = state["iteration"] + 1 >= self.restarts * self._period
        return finished | state["found"] if self.early_stop else finished

    def _soft_margin(self, logits: Tensor, label: Tensor) -> Tensor:
        """The margin with log-sum-exp in place of the maximum: minus the logarithm of (exp(cross-entropy) - 1); negated where targeted."""
        own = logits.gather(1, label[:, None])[:, 0]
        others = logits.scatter(1, label[:, None], -torch.inf).logsumexp(1)
        return others - own if self.targeted else own - others

    def best(self, state: State) -> tuple[Tensor, Tensor]:
        return state["example"], state["found"]
