"""ZOO: Carlini and Wagner's l2 attack with the gradient taken from differences; the paper's equations (9), (10) and Table 15, [22]."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from qlight.attacks.counter_random import random_order
from qlight.attacks.importance import importance, weighted_order
from qlight.attacks.per_image import PerImageAttack, State, column
from qlight.attacks.probes import Differences, Unaffected, probed_logits
from qlight.errors import InputError, nearest

Solver = Literal["adam", "newton"]
Space = Literal["tanh", "pixel"]
Loss = Literal["log", "logits"]

_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-8
_INSIDE = 0.999999  # pixels 0 and 1 are moved inside the open box, where atanh is finite; the original's 1.999999 / 2
_UPPER = 1e10  # the upper bound of c before any success
_KNOWN = 1e9  # an upper bound below this came from a success
_LOOK_BACK, _START_LOSS = 100, 1e6  # abort-early: every so many iterations, against the loss then; this one to begin with
_TINY = 1e-30  # added to probabilities, so that their logarithm is finite
_COMPUTED = 16  # rows that a step computes for one image where the filter skips most of them


class ZOO(PerImageAttack):
    """Minimize |x' - x|^2 + c F(x') one random set of coordinates at a time, and search c, each image for itself.

    F is equation (10), max(log p_y - max_{j != y} log p_j, -kappa), plus the constant kappa, which makes its least value 0. An iteration
    forwards the current point and, for each of `coordinates` different random coordinates, the points `h` to either side: 2 x 128 + 1 =
    257 queries. The symmetric differences of equation (9) drive Adam, with moments and step counter of its own for each coordinate. A
    search step is `steps` iterations from the clean image with Adam at zero. After it c is multiplied by 10 while no search step was
    successful, else bisected; with 10 or more search steps the last one uses c's upper bound (1e10 if none was successful). The best
    example is that of smallest l2 over all points evaluated; the point after a search step's last update is not, as in the original.

    What is the original's, and kept: an image starts a hair inside the box (in tanh space pixels at 0 and 1 hardly move: their derivative
    is 2e-6); in pixel space the current point stays in the box but probes may leave it by `h`; examples of l2 above `max_l2` do not
    count; `abort_early` looks every 100 iterations whether the loss fell by 1e-4 of itself since 100 iterations ago, so in 100 iterations
    it compares only the clean image's loss with 1e6: a search step with c so large that it is above (c > 1e6 / F, reached only by images
    without any success) ends after one iteration. `abort_early=False` is the attack without that. Sampling is uniform by default: on
    images of 32 x 32 the original's importance sampling never begins.

    What is not: `kappa` enters as in equation (10), while the original's log loss ignores it, and success asks for it, F <= -kappa in
    logits; tanh, differences and Adam are computed in float64, and the squared distance's difference is that of the one coordinate moved,
    so that no rounding noise is normalized to full steps by Adam; the model sees images of the dtype of the inputs.

    Most probes of a quantized network cannot change it: h = 1e-4 moves a pixel by at most 5e-5, and a code of the first layer only if it
    is at the edge. A model that can prove so says it through `unaffected` (images n x C x H x W, coordinates int64 n x k, pixels n x s x k
    -> bool n x s x k; None where it cannot now); the evaluation view of qlight's quantized networks does, see
    `qlight.models.first_layer`. ZOO then computes only the other probes and takes the logits of the current point for these, which is
    what the model would have returned. They count as queries all the same; `report.forwards` counts what was computed.

    Nor does a network with ReLU need a whole forward pass for each probe, as one value reaches only a small part of its feature maps. A
    model that computes just these says it through `differences` (images n x C x H x W, which of them: int64 m, coordinates: int64 m,
    pixels m x s -> m x s x classes: the logits with one value replaced, minus the image's own; None where it cannot now); see
    `qlight.models.differences`. ZOO then forwards only the current point, and adds these in float64: the differences that it takes are
    free of the rounding of the logits, and its course that of exact arithmetic rather than, bit for bit, that of whole forward passes.
    Queries and `report.forwards` count as if each probe were an image.

    Args:
        model: images in [0, 1] -> logits.
        c: first weight of F against the squared l2 distance.
        kappa: margin that F is pushed to, in logits; at least 0.
        steps: iterations of one search step.
        search_steps: how many values of c are tried.
        learning_rate: Adam's step size, or the factor of Newton's step, in units of `space`.
        coordinates: how many are moved an iteration; at most C x H x W.
        h: half-width of a difference, in units of `space`.
        solver: "adam", or "newton": gradient / curvature, the curvature being 1 where negative and at least 0.1.
        space: "tanh": x = (tanh(w) + 1) / 2; "pixel": x itself, clipped to the box.
        abort_early: see above.
        loss: "log": from log(p + 1e-30) as in the original, flat beyond a margin of 69; "logits": the same margin without the softmax.
        max_l2: examples farther than this, in pixel units of [0, 1], are failures.
        skip_misclassified: as the paper did, do not attack images that are misclassified already: one query finds out, and they are
            returned clean as failures. Where targeted the true classes are not known, so nothing is skipped.
        importance: draw coordinates more often in regions that have moved; see `qlight.attacks.importance`.
        filter: skip probes which the model proves to change nothing, and ask it for differences; see above. Not where torchattacks
            normalizes images.
        seed: of the random coordinates; they depend on it, on the image's index and on the iteration alone (and, with `importance`, on
            the image's course so far).
        max_rows: the largest number of images in one forward pass, or of coordinates that `differences` is asked for.
        query_budget: queries an image may take; None: no limit. At least one iteration's.

    Raises:
        InputError: an argument out of range.
    """

    needs_gradients = False

    def __init__(
        self,
        model: nn.Module,
        c: float = 0.9,
        kappa: float = 0.0,
        steps: int = 100,
        search_steps: int = 10,
        learning_rate: float = 0.1,
        coordinates: int = 128,
        h: float = 1e-4,
        solver: Solver = "adam",
        space: Space = "tanh",
        abort_early: bool = True,
        loss: Loss = "log",
        max_l2: float = 20.0,
        skip_misclassified: bool = True,
        importance: bool = False,
        filter: bool = True,  # noqa: A002 - what it is
        seed: int | None = None,
        max_rows: int = 128,
        query_budget: int | None = None,
    ) -> None:
        super().__init__("ZOO", model, seed=seed, max_rows=max_rows, query_budget=query_budget)
        for name, number in (("c", c), ("learning_rate", learning_rate), ("h", h), ("max_l2", max_l2)):
            if not number > 0:
                raise InputError(f"Expected `{name}` of ZOO to be above 0, but got {number!r}; the default is the paper's or its tool's.")
        for name, count in (("steps", steps), ("search_steps", search_steps), ("coordinates", coordinates)):
            if count < 1:
                raise InputError(f"Expected `{name}` of ZOO to be at least 1, but got {count!r}; the default is the paper's or its tool's.")
        if not kappa >= 0:
            raise InputError(f"Expected `kappa` of ZOO to be at least 0, but got {kappa!r}; the paper's is 0.")
        for name, word, known in (("solver", solver, Solver), ("space", space, Space), ("loss", loss, Loss)):
            if word not in get_args(known):
                words, close = " or ".join(get_args(known)), nearest(str(word), get_args(known), 1)
                raise InputError(f"Expected `{name}` of ZOO to be {words}, but got {word!r}; use {close or get_args(known)[0]}.")
        self.c, self.kappa, self.steps, self.search_steps = c, kappa, steps, search_steps
        self.learning_rate, self.coordinates, self.h = learning_rate, coordinates, h
        self.solver, self.space, self.loss = solver, space, loss
        self.abort_early, self.max_l2, self.skip_misclassified = abort_early, max_l2, skip_misclassified
        self.importance, self.filter = importance, filter
        least = self.rows_per_image + skip_misclassified
        if query_budget is not None and query_budget < least:
            raise InputError(f"Expected `query_budget` of ZOO to be at least {least}, one iteration's, but got {query_budget!r}; raise it.")

    @property
    def rows_per_image(self) -> int:
        return 2 * self.coordinates + 1

    @property
    def pool(self) -> int:
        return max(1, self.max_rows // (self.rows_per_image if self._unaffected() is None else min(self.rows_per_image, _COMPUTED)))

    def _unaffected(self) -> Unaffected | None:
        """What tells that probes change nothing, or None."""
        return self._offered("unaffected")

    def _differences(self) -> Differences | None:
        """What tells by how much probes change the logits, or None."""
        return self._offered("differences")

    def _offered(self, name: str) -> Any:
        """What the model says of its probes, or None."""
        return getattr(self.model, name, None) if self.filter and self.normalization_used is None else None

    def may_finish(self, age: int) -> bool:
        # after its first iteration where the image is skipped; else a search step takes at least one iteration
        return age == 1 or (age >= self.search_steps if self.abort_early else age == self.steps * self.search_steps)

    def constant(self, state: State) -> Tensor:
        return state["best_c"]

    @torch.no_grad()
    def start(self, state: State) -> None:
        image, label = state["image"], state["label"]
        values = image.shape[1:].numel()
        if self.coordinates > values:
            raise InputError(
                f"Expected `coordinates` of ZOO to be at most the {values} values of an image, but got {self.coordinates}; lower it."
            )
        origin = image.flatten(1).double()
        if self.space == "tanh":
            inside = (2 * origin - 1) * _INSIDE
            # torch's atanh rounds the last elements of a tensor differently, so that w would depend on the batch
            origin = 0.5 * (inside.log1p() - (-inside).log1p())
        number = torch.zeros(len(image), dtype=torch.float64, device=image.device)
        count, flag = torch.zeros_like(label), torch.zeros_like(label, dtype=torch.bool)
        state |= {
            "origin": origin,  # where the search steps start, in the units of `space`: n x values
            "modifier": torch.zeros_like(origin),
            "mean": torch.zeros_like(origin),
            "square": torch.zeros_like(origin),
            "age": torch.zeros_like(origin),  # Adam's steps of each coordinate in this search step
            "c": number + self.c,
            "lower": number,
            "upper": number + _UPPER,
            "search": count,  # search steps completed
            "inner": count.clone(),  # iterations in this search step
            "found": flag,  # success in this search step
            "earlier": number + _START_LOSS,  # what abort-early compares with
            "best": image.clone(),
            "best_square": number + torch.inf,  # squared l2 of `best`
            "best_c": number + torch.nan,  # the c that gave it
            "skipped": flag.clone(),
        }
        if self.skip_misclassified and not self.targeted and len(image):
            state["skipped"] = self.reached(self.logits(image), label)
            state["queries"] = state["queries"] + 1
        state["forwards"] = state["queries"].clone()

    @torch.no_grad()
    def step(self, state: State) -> Tensor:
        skipped = state["skipped"]
        if not self.entered or not bool(skipped.any()):
            return self._advance(state)
        # Only in the first step after an image enters: it leaves at once, and nothing more is forwarded for it.
        going = ~skipped
        finished = skipped.clone()
        if bool(going.any()):
            rest = {name: tensor[going] for name, tensor in state.items()}
            finished = finished.index_put((going,), self._advance(rest))
            for name, tensor in rest.items():
                state[name] = state[name].index_put((going,), tensor)
        state["iteration"] = state["iteration"] - skipped.long()  # the base is about to count an iteration that was none
        return finished

    def _advance(self, state: State) -> Tensor:
        """One iteration of images that are not skipped; True where it was the last of all: bool, n."""
        label, origin, modifier = state["label"], state["origin"], state["modifier"]
        chosen = self._chosen(state)
        place, moved = origin.gather(1, chosen)[:, None], modifier.gather(1, chosen)[:, None]
        sides = torch.cat([moved + self.h, moved - self.h], 1)  # n x 2 x coordinates
        points = self._pixels(origin, modifier).to(state["image"].dtype).view_as(state["image"])
        outputs, computed = probed_logits(self, points, chosen, self._pixels(place, sides), self._unaffected(), self._differences())
        state["forwards"] = state["forwards"] + computed
        state["queries"] = state["queries"] + self.rows_per_image

        outputs = outputs.double()
        loss = self._loss(outputs, label)
        c = state["c"][:, None]
        ahead, behind, here = loss[:, 1 : 1 + self.coordinates], loss[:, 1 + self.coordinates :], loss[:, :1]
        shift = self._shift(place, torch.cat([sides, moved], 1))
        up, down, middle = shift[:, 0], shift[:, 1], shift[:, 2]
        slope = (c * (ahead - behind) + (up - down) * (up + down)) / (2 * self.h)
        if self.solver == "adam":
            update = self._adam(state, chosen, slope)
        else:
            bend = (c * (ahead - 2 * here + behind) + up.square() - 2 * middle.square() + down.square()) / self.h**2
            update = self.learning_rate * slope / torch.where(bend < 0, 1.0, bend.clamp(min=0.1))
        moved = moved[:, 0] - update
        if self.space == "pixel":
            moved = torch.minimum(torch.maximum(moved, -place[:, 0]), 1 - place[:, 0])
        state["modifier"] = modifier.scatter(1, chosen, moved)

        distance = self._shift(origin, modifier).square().sum(1)
        stuck = self._stuck(state, state["c"] * here[:, 0] + distance)
        won = self.reached(outputs[:, 0], label) & (self.margin(outputs[:, 0], label) <= -self.kappa) & ~stuck
        better = won & (distance < state["best_square"])
        state["best"] = torch.where(column(better, points), points, state["best"])
        state["best_square"] = torch.where(better, distance, state["best_square"])
        state["best_c"] = torch.where(better, state["c"], state["best_c"])
        state["found"] = state["found"] | won
        state["inner"] = state["inner"] + 1
        self._search(state, stuck | (state["inner"] >= self.steps))
        return state["search"] >= self.search_steps

    def _chosen(self, state: State) -> Tensor:
        """The coordinates to move in this iteration: int64, n x coordinates."""
        origin, index, iteration = state["origin"], state["index"], state["iteration"]
        if not self.importance:
            return random_order(self.seed, index, iteration, origin.shape[1], self.coordinates)
        _, channels, height, width = state["image"].shape
        probability = importance(state["modifier"], (channels, height, width))
        return weighted_order(self.seed, index, iteration, probability, self.coordinates)

    def _pixels(self, origin: Tensor, modifier: Tensor) -> Tensor:
        return ((origin + modifier).tanh() + 1) / 2 if self.space == "tanh" else origin + modifier

    def _shift(self, origin: Tensor, modifier: Tensor) -> Tensor:
        """How far the pixels are from where the search step started; exactly 0 where the modifier is."""
        return ((origin + modifier).tanh() - origin.tanh()) / 2 if self.space == "tanh" else modifier + torch.zeros_like(origin)

    def _loss(self, outputs: Tensor, label: Tensor) -> Tensor:
        """F of equation (10) plus kappa from logits n x rows x classes: n x rows."""
        values = (outputs.softmax(2) + _TINY).log() if self.loss == "log" else outputs
        labels = label[:, None].expand(values.shape[:2]).flatten()
        return (self.margin(values.flatten(0, 1), labels) + self.kappa).clamp(min=0).view(values.shape[:2])

    def _adam(self, state: State, chosen: Tensor, slope: Tensor) -> Tensor:
        """Adam's update of the chosen coordinates, n x coordinates; a coordinate whose slopes were all exactly 0 gets exactly 0."""
        age = state["age"].gather(1, chosen) + 1
        mean = _BETA1 * state["mean"].gather(1, chosen) + (1 - _BETA1) * slope
        square = _BETA2 * state["square"].gather(1, chosen) + (1 - _BETA2) * slope.square()
        for name, values in (("age", age), ("mean", mean), ("square", square)):
            state[name] = state[name].scatter(1, chosen, values)
        # The original's form of the bias correction: epsilon is added to the uncorrected root.
        return self.learning_rate * (1 - _BETA2**age).sqrt() / (1 - _BETA1**age) * mean / (square.sqrt() + _ADAM_EPS)

    def _stuck(self, state: State, total: Tensor) -> Tensor:
        """Whether abort-early ends the search step, given the loss at the current point: bool, n."""
        if not self.abort_early:
            return torch.zeros_like(state["found"])
        due = state["inner"] % _LOOK_BACK == 0
        stuck = due & (total > state["earlier"] * 0.9999)
        state["earlier"] = torch.where(due, total, state["earlier"])
        return stuck

    def _search(self, state: State, over: Tensor) -> None:
        """Choose c for images whose search step is over, and put them back at the start."""
        c, won = state["c"], state["found"]
        upper = torch.where(over & won, torch.minimum(state["upper"], c), state["upper"])
        lower = torch.where(over & ~won, torch.maximum(state["lower"], c), state["lower"])
        following = torch.where(upper < _KNOWN, (lower + upper) / 2, torch.where(won, c, 10 * c))
        state["search"] = state["search"] + over.long()
        if self.search_steps >= 10:
            following = torch.where(state["search"] == self.search_steps - 1, upper, following)
        state["c"] = torch.where(over, following, c)
        state["upper"], state["lower"] = upper, lower
        state["found"] = won & ~over
        state["inner"] = state["inner"] * ~over
        state["earlier"] = torch.where(over, _START_LOSS, state["earlier"])
        for name in ("modifier", "mean", "square", "age"):
            state[name] = torch.where(over[:, None], 0.0, state[name])

    @torch.no_grad()
    def best(self, state: State) -> tuple[Tensor, Tensor]:
        examples = state["best"]
        l2 = (examples.double() - state["image"].double()).flatten(1).norm(dim=1)
        return examples, (state["best_square"] < torch.inf) & (l2 <= self.max_l2)
