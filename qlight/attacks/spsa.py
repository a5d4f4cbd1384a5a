"""SPSA: a gradient-free attack in an l-infinity ball; the paper's equation (8) and Table 13, [29]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qlight.attacks.ball import ball
from qlight.attacks.checks import above_zero, is_whole, whole_from_one
from qlight.attacks.counter_random import random_signs, random_uniform
from qlight.attacks.per_image import PerImageAttack, State, column, working
from qlight.errors import InputError

_SIGNS, _START = 1, 2  # streams of random numbers
_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-8


class SPSA(PerImageAttack):
    """Minimize logit_y - max_{j != y} logit_j over |shift| <= eps by Adam on simultaneous-perturbation estimates of its gradient.

    An iteration draws mirrored pairs of points x + shift +- `delta` v with random signs v, and takes the mean over pairs of
    (f(+) - f(-)) / (2 `delta`) v as the gradient; after Adam's step the shift is clipped to the ball and x + shift to the box [0, 1]. The
    points themselves are not clipped, as in the original. The paper's "batch size 128" is 128 evaluations, that is 64 pairs. The defaults
    are Table 13's, with the random start of the tool that the paper used.

    Args:
        model: images in [0, 1] -> logits.
        eps: radius of the ball, in pixel units of [0, 1].
        steps: iterations.
        learning_rate: Adam's step size, in pixel units.
        delta: size of the perturbations, in pixel units.
        evaluations: images forwarded an iteration to estimate the gradient; even.
        random_start: begin at a uniform point of the ball instead of the image.
        early_stop: stop an image as soon as its current point is adversarial, which is looked at after each iteration for one more query.
        seed: of the random numbers, None for 0 (an evaluation gives its own); they depend on it, on the image's index and on the
            iteration alone.
        max_rows: the largest number of images in one forward pass.
        query_budget: queries an image may take; None: no limit.

    Raises:
        InputError: an argument out of range.
    """

    needs_gradients = False

    def __init__(
        self,
        model: nn.Module,
        eps: float = 0.03,
        steps: int = 100,
        learning_rate: float = 0.01,
        delta: float = 0.01,
        evaluations: int = 128,
        random_start: bool = True,
        early_stop: bool = False,
        seed: int | None = None,
        max_rows: int = 128,
        query_budget: int | None = None,
    ) -> None:
        super().__init__("SPSA", model, seed=seed, max_rows=max_rows, query_budget=query_budget)
        above_zero("SPSA", eps=(eps, 0.03), learning_rate=(learning_rate, 0.01), delta=(delta, 0.01))
        whole_from_one("SPSA", steps=(steps, 100))
        if not is_whole(evaluations) or evaluations < 2 or evaluations % 2:
            raise InputError(f"Expected `evaluations` of SPSA to be an even number from 2, but got {evaluations!r}: pairs are mirrored.")
        self.eps, self.steps, self.learning_rate, self.delta = eps, steps, learning_rate, delta
        self.final_queries = 0 if early_stop else 1
        self.evaluations, self.random_start, self.early_stop = evaluations, random_start, early_stop

    @property
    def rows_per_image(self) -> int:
        return self.evaluations + self.early_stop

    def may_finish(self, age: int) -> bool:
        return self.early_stop or age >= self.steps

    def start(self, state: State) -> None:
        # shift and Adam's averages would be lost in short floats
        image = state["image"].to(working(state["image"]))
        shift = torch.zeros_like(image)
        if self.random_start:
            pixels = image.flatten(1).shape[1]
            uniform = random_uniform(self.seed, state["index"], state["iteration"], pixels, image.dtype, _START)
            shift = self._project(image, (2 * uniform.view_as(image) - 1) * self.eps)
        state |= {
            "shift": shift,
            "mean": torch.zeros_like(image),
            "square": torch.zeros_like(image),
            "found": torch.zeros_like(state["index"], dtype=torch.bool),
        }

    def _project(self, image: Tensor, shift: Tensor) -> Tensor:
        return (image + shift.clamp(-self.eps, self.eps)).clamp(0, 1) - image

    def step(self, state: State) -> Tensor:
        image = state["image"]
        gradient = self._gradient(state)
        step = column(state["iteration"] + 1, image).to(gradient.dtype)
        state["mean"] = _BETA1 * state["mean"] + (1 - _BETA1) * gradient
        state["square"] = _BETA2 * state["square"] + (1 - _BETA2) * gradient.square()
        unbiased = state["mean"] / (1 - _BETA1**step)
        spread = (state["square"] / (1 - _BETA2**step)).sqrt()
        state["shift"] = self._project(image, state["shift"] - self.learning_rate * unbiased / (spread + _ADAM_EPS))
        last = state["iteration"] + 1 >= self.steps
        if self.early_stop:
            state["found"] = self._judge(state)
            last |= state["found"]
        return last

    @torch.no_grad()
    def _gradient(self, state: State) -> Tensor:
        """The mean over pairs of (f(+) - f(-)) / (2 delta) v: n x C x H x W; an image's pairs are summed in the same order in any batch."""
        image, label = state["image"], state["label"]
        pairs = self.evaluations // 2
        signs = random_signs(self.seed, state["index"], state["iteration"], pairs * image.flatten(1).shape[1], state["shift"].dtype, _SIGNS)
        signs = signs.view(len(image), pairs, *image.shape[1:])
        point = (image + state["shift"])[:, None]
        moved = signs * self.delta
        points = torch.stack([point + moved, point - moved], 1).to(image.dtype)  # n x 2 x pairs x C x H x W
        labels = label[:, None].expand(-1, self.evaluations).flatten()
        values = self.margin(self.logits(points.flatten(0, 2)), labels).view(len(image), 2, pairs)
        state["queries"] += self.evaluations
        # where a float16 model overflows, Adam's averages would never forget it
        slopes = ((values[:, 0] - values[:, 1]) / (2 * self.delta)).nan_to_num(0, 0, 0)
        return (slopes.view(len(image), pairs, *[1] * (image.dim() - 1)) * signs).sum(1) / pairs

    def best(self, state: State) -> tuple[Tensor, Tensor]:
        found = state["found"] if self.early_stop else self._judge(state)
        return self._examples(state), found

    def _examples(self, state: State) -> Tensor:
        return (state["image"] + state["shift"]).to(state["image"].dtype).clamp(*ball(state["image"], self.eps))

    @torch.no_grad()
    def _judge(self, state: State) -> Tensor:
        """Whether the current points are adversarial, for one query each."""
        state["queries"] += 1
        return self.reached(self.logits(self._examples(state)), state["label"])
