"""The Carlini-Wagner l2 attack: the paper's equations (6), (7) and Table 14, [18]."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qlight.attacks.checks import above_zero, is_number, whole_from_one
from qlight.attacks.per_image import PerImageAttack, State, column, working
from qlight.errors import InputError

_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-8
_SHRINK = 0.999999  # arctanh is finite, and its slope not 0, at pixels 0 and 1
_STALLED = 0.9999  # the early abort: the loss must fall below this share of the one at the last check
_REPEAT_FROM = 10  # from so many search steps on, the last one tries the smallest c that is known to work (`upper` if none is) again


class CarliniWagnerL2(PerImageAttack):
    """Minimize ||x' - x||_2^2 + c max(logit_y - max_{j != y} logit_j, -kappa) by Adam on w, x' = (tanh(w) + 1) / 2, searching c per image.

    The published algorithm as its authors' code and CleverHans 2.1 run it: the distance is squared (equation (6) prints it unsquared); each
    search step starts again at the image with a new Adam; c is multiplied by 10 until it first works, then bisected; with 10 search steps
    or more the last takes the upper bound. The result is the example of the smallest l2 distance to the image over all search steps, among
    those that the model classifies as wanted with a margin of kappa or more. Per image, so independent of the batch:

    * The early abort looks every ``steps // 10`` iterations at the loss of the image, not of the batch, and ends the search step unless it
      fell below 0.9999 of the last look. The first look never ends it (the original's compares with 1e6, which gives up at once on a
      large c). The point it looks at still counts as an example. As in the original it ends the steps of an image that is black or white
      all over, whose pixels take some 50 iterations of 0.1 to get moving: switch it off there.
    * A search step's first point is the image itself, not its shrunken tanh image, so an image that is adversarial already is returned as
      it is, after one query: nothing is closer. The gradient of the distance is taken from the tanh image, as in the original: at the
      start it is exactly 0, where Adam would otherwise scale rounding errors up to whole steps.

    The variable and Adam are float32 for float16 and bfloat16 images. There is nothing random in it. A failure returns the clean image.

    Args:
        model: images in [0, 1] -> logits, differentiable.
        c: the first c of the search.
        kappa: the margin, in logits, that an example must have.
        steps: iterations of a search step.
        search_steps: values of c tried.
        learning_rate: Adam's step size, in tanh space.
        abort_early: end a search step that no longer improves. At 100 steps this costs much: "strong" presets switch it off.
        upper: the largest c.
        seed: taken as all attacks take it; unused.
        max_rows: the largest number of images in one forward pass.
        query_budget: queries (forwards with their gradient) an image may take; None: no limit.

    Raises:
        InputError: an argument out of range, or a model through which no gradient flows.
    """

    needs_gradients = True

    def __init__(
        self,
        model: nn.Module,
        c: float = 0.9,
        kappa: float = 0.0,
        steps: int = 100,
        search_steps: int = 10,
        learning_rate: float = 0.1,
        abort_early: bool = True,
        upper: float = 1e10,
        seed: int = 0,
        max_rows: int = 128,
        query_budget: int | None = None,
    ) -> None:
        super().__init__("CarliniWagnerL2", model, seed=seed, max_rows=max_rows, query_budget=query_budget)
        above_zero(self.attack, c=(c, 0.9), learning_rate=(learning_rate, 0.1), upper=(upper, 1e10))
        if not is_number(kappa) or kappa < 0:
            raise InputError(f"Expected `kappa` of CarliniWagnerL2 to be finite and at least 0, but got {kappa!r}; the paper's is 0.")
        whole_from_one(self.attack, steps=(steps, 100), search_steps=(search_steps, 10))
        if upper < c:
            raise InputError(f"Expected `upper` of CarliniWagnerL2 to be at least `c`, {c!r}, but got {upper!r}; raise it or lower `c`.")
        self.c, self.kappa, self.upper = float(c), float(kappa), float(upper)
        self.steps, self.search_steps, self.learning_rate, self.abort_early = steps, search_steps, learning_rate, bool(abort_early)

    @property
    def rows_per_image(self) -> int:
        return 1

    def may_finish(self, age: int) -> bool:
        # after its first iteration where the image was adversarial already; else search steps end early only by the abort
        return age == 1 or (age >= self.search_steps if self.abort_early else age == self.steps * self.search_steps)

    def constant(self, state: State) -> Tensor:
        return state["best_c"].double()

    def start(self, state: State) -> None:
        image, count = state["image"], state["iteration"]
        work = working(image)
        origin = _arctanh((2 * image.to(work) - 1) * _SHRINK)
        scalar = torch.zeros_like(count, dtype=work)
        state |= {
            "origin": origin,  # w of the image
            "reference": origin.tanh(),  # the tanh image, in [-1, 1]
            "variable": origin.clone(),
            "mean": torch.zeros_like(origin),
            "square": torch.zeros_like(origin),
            "search": count.clone(),  # search steps done
            "inner": count.clone(),  # iterations done in this search step
            "hit": torch.zeros_like(count, dtype=torch.bool),  # an example was found in this search step
            "previous": scalar + torch.inf,  # the loss at the last check
            "c": scalar + self.c,
            "lower": scalar.clone(),
            "upper": scalar + self.upper,
            "example": image.clone(),
            "gradients": count.clone(),
            "distance": scalar + torch.inf,  # squared l2 of the example
            "best_c": scalar + torch.nan,  # the c that gave it
        }

    @property
    def _repeats(self) -> bool:
        return self.search_steps >= _REPEAT_FROM

    def step(self, state: State) -> Tensor:
        image, c = state["image"], state["c"]
        tanh = state["variable"].tanh()
        point = 0.5 * tanh + 0.5
        sent = torch.where(column(state["inner"] == 0, image), image, point.to(image.dtype))
        logits, slope = self.with_slopes(sent, state["label"], self.margin)
        margin, reached = self.margin(logits, state["label"]), self.reached(logits, state["label"])
        state["queries"] += 1
        state["gradients"] += 1
        distance = (sent.to(point.dtype) - image.to(point.dtype)).square().flatten(1).sum(1)
        self._record(state, sent, distance, reached & (margin <= -self.kappa))
        # max(margin + kappa, 0) is the objective plus c kappa: same gradient, and never below 0, as the early abort's ratio needs
        loss = distance + c * (margin + self.kappa).clamp(min=0)
        weight = torch.where(margin > -self.kappa, c, 0)
        # of the distance, 2 (x' - x) = tanh(w) - tanh(w of the image), plus that of the margin; the chain rule through tanh follows
        towards = tanh - state["reference"] + column(weight, image) * slope.to(point.dtype)
        self._adam(state, towards * (0.5 - 0.5 * tanh.square()))
        ended = self._ended(state, loss)
        self._next_search_step(state, ended)
        return (state["search"] >= self.search_steps) | (state["distance"] == 0)

    def _record(self, state: State, sent: Tensor, distance: Tensor, success: Tensor) -> None:
        better = success & (distance < state["distance"])
        state["example"] = torch.where(column(better, sent), sent, state["example"])
        state["distance"] = torch.where(better, distance, state["distance"])
        state["best_c"] = torch.where(better, state["c"], state["best_c"])
        state["hit"] = state["hit"] | success

    def _adam(self, state: State, gradient: Tensor) -> None:
        """Kingma and Ba's Adam; each image has its own count of steps, as it may be at another iteration than its neighbours."""
        gradient.nan_to_num_(0, 0, 0)  # where a float16 model overflows, its moments would never forget it
        taken = (state["inner"] + 1).to(gradient.dtype)
        moments = (("mean", _BETA1, gradient), ("square", _BETA2, gradient.square()))
        unbiased: list[Tensor] = []
        for name, beta, value in moments:
            # a search step begins with new moments, here by the factor 0: a whole-tensor torch.where takes ten times as long
            kept = (state["inner"] > 0).to(gradient.dtype) * beta
            state[name].mul_(column(kept, gradient)).add_(value * (1 - beta))
            bias = -torch.expm1(taken * math.log(beta))  # 1 - beta^t without its cancellation
            unbiased.append(state[name] / column(bias, gradient))
        mean, square = unbiased
        state["variable"].sub_(mean.mul_(self.learning_rate).div_(square.sqrt_().add_(_ADAM_EPS)))

    def _ended(self, state: State, loss: Tensor) -> Tensor:
        """Whether an image's search step ends with this iteration: bool, n."""
        ended = state["inner"] + 1 >= self.steps
        if self.abort_early:
            look = state["inner"] % max(1, self.steps // 10) == 0
            ended = ended | (look & ~(loss < _STALLED * state["previous"]))
            state["previous"] = torch.where(look, loss, state["previous"])
        return ended

    def _next_search_step(self, state: State, ended: Tensor) -> None:
        """Move the bounds of c by what the ended search steps found, choose the next c, and begin again at the image."""
        c, hit = state["c"], state["hit"]
        lower = state["lower"] = torch.where(ended & ~hit, torch.maximum(state["lower"], c), state["lower"])
        upper = state["upper"] = torch.where(ended & hit, torch.minimum(state["upper"], c), state["upper"])
        following = torch.where(state["distance"].isfinite(), (lower + upper) / 2, (10 * c).clamp(max=self.upper))
        state["search"] = state["search"] + ended
        if self._repeats:
            following = torch.where(state["search"] == self.search_steps - 1, upper, following)
        state["c"] = torch.where(ended, following, c)
        state["inner"] = torch.where(ended, 0, state["inner"] + 1)
        state["hit"] = hit & ~ended
        state["previous"] = torch.where(ended, torch.inf, state["previous"])
        again = column(ended, state["variable"])
        state["variable"] = torch.where(again, state["origin"], state["variable"])

    def best(self, state: State) -> tuple[Tensor, Tensor]:
        return state["example"], state["distance"].isfinite()


def _arctanh(values: Tensor) -> Tensor:
    """By logarithms: on a CPU `torch.atanh` rounds the last few elements of a tensor otherwise, so w would depend on the batch."""
    return 0.5 * (values.log1p() - (-values).log1p())
