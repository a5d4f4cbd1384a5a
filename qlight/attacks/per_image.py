"""The base of qlight's own attacks: every image has its own course, whatever batch it came in.

An attack keeps a pool of images in work. A step advances all of them at once; an image that is finished leaves, and a waiting one takes its
place. Random numbers depend on (seed, image, step) alone. So the result for an image does not depend on its batch or on its neighbours: on
a model whose arithmetic is exact it is the same, on a float model the same up to the rounding of the model's kernels at another batch size.
"""

from __future__ import annotations

from abc import abstractmethod
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
        queries: images forwarded.
        iterations: steps taken.
    """

    success: Tensor
    queries: Tensor
    iterations: Tensor


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
        self.max_rows = max_rows
        self.query_budget = query_budget
        self.report: Report | None = None
        self._label_range: tuple[int, int] | None = None

    #: queries that `best` takes for one image
    final_queries: int = 0

    @property
    @abstractmethod
    def rows_per_image(self) -> int:
        """How many images a step forwards for one image in work."""

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
        success = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        queries, iterations = torch.zeros_like(index), torch.zeros_like(index)
        capacity = max(1, self.max_rows // self.rows_per_image)
        waiting, state = 0, self._new(images[:0], goals[:0], index[:0], 0)
        while waiting < len(images) or len(state["row"]):
            room = slice(waiting, waiting + capacity - len(state["row"]))
            if room.start < min(room.stop, len(images)):
                new = self._new(images[room], goals[room], index[room], room.start)
                state = {name: torch.cat([state[name], new[name]]) for name in new}
                waiting = room.start + len(new["row"])
            finished = self.step(state)
            state["iteration"] += 1
            if self.query_budget is not None:
                finished |= state["queries"] + self.rows_per_image + self.final_queries > self.query_budget
            if bool(finished.any()):
                done = {name: tensor[finished] for name, tensor in state.items()}
                examples, found = self.best(done)
                rows = done["row"]
                result[rows] = torch.where(column(found, examples), examples, images[rows])
                success[rows], queries[rows], iterations[rows] = found, done["queries"], done["iteration"]
                state = {name: tensor[~finished] for name, tensor in state.items()}
        self.report = Report(success, queries, iterations)
        return result

    def _new(self, images: Tensor, goals: Tensor, index: Tensor, first: int) -> State:
        zeros = torch.zeros_like(index)
        rows = torch.arange(first, first + len(images), device=images.device)
        state = {"image": images, "label": goals, "index": index, "row": rows, "queries": zeros, "iteration": zeros.clone()}
        self.start(state)
        return state

    def logits(self, images: Tensor) -> Tensor:
        """Logits of `images`, at most `max_rows` at a time; with a gradient where the images ask for one."""
        parts = [self.get_logits(part) for part in images.split(self.max_rows)]
        logits = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self._label_range is not None:  # once a call: the number of classes is known only now
            (low, high), self._label_range = self._label_range, None
            if low < 0 or high >= logits.shape[1]:
                raise InputError(f"Expected `labels` from 0 to {logits.shape[1] - 1}, but got {low} to {high}; relabel these images.")
        return logits

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
