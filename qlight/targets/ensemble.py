"""Several networks behind one door that answers only where enough of them agree: the paper's section 6.1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.targets.target import Target


class EnsembleTarget(Target):
    """A prediction "is done only if m or more models agree, and the final label is the one predicted by these m models" (section 6.1).

    The logits have one class more than the members': the last one, whose logit is 0, is "no prediction". The logit of class j is

    * above 0 exactly where m members or more predict j (equation (11)): the m-th largest of the members' margins of j, where member i's
      margin is logit_ij - max_{k != j} logit_ik;
    * else the mean over the m members nearest to predicting j of the margins that they lack (0 for those that predict it).

    So argmax is the ensemble's answer, and an attack sees how far m members are from agreeing on a class, which is what it must change;
    its gradient comes from all the members that it must still convince. Where fewer than half of the members may agree on two classes, the
    answer is the class of most votes, of equally many the one that the earliest member predicts; its logit is moved above the others'.

    One query is one image through every member.

    Args:
        members: name -> images N x C x H x W in [0, 1] -> logits N x `classes`; networks (in evaluation mode) or targets.
        m: members that must agree, 1 to their number.
        classes: of the members.
        budget: see `Target`.

    Raises:
        InputError: no members, or `m` or `classes` that cannot be.

    >>> class Says(nn.Module):
    ...     def __init__(self, *logits):
    ...         super().__init__()
    ...         self.logits = torch.tensor(logits)
    ...     def forward(self, images):
    ...         return self.logits.expand(len(images), -1)
    >>> members = {"a": Says(3.0, 1.0), "b": Says(0.0, 1.0), "c": Says(5.0, 1.0)}
    >>> EnsembleTarget(members, m=2, classes=2)(torch.zeros(1, 1, 1, 1))
    tensor([[ 2., -1.,  0.]])
    >>> EnsembleTarget(members, m=3, classes=2)(torch.zeros(1, 1, 1, 1)).argmax(1)
    tensor([2])
    """

    kind = "ensemble"
    #: that the last class of its logits is "no prediction"
    refuses = True

    def __init__(
        self,
        members: Mapping[str, nn.Module],
        m: int,
        *,
        classes: int = 10,
        budget: int | None = None,
    ) -> None:
        super().__init__(budget)
        if not members or not all(isinstance(member, nn.Module) for member in members.values()):
            raise InputError("Expected `members` to be a mapping from names to torch modules or targets, but got none; give the networks.")
        if isinstance(m, bool) or not isinstance(m, int) or not 1 <= m <= len(members):
            raise InputError(f"Expected `m` from 1 to {len(members)}, the number of members, but got {m!r}; the paper uses 4 or 5 of 5.")
        if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
            raise InputError(f"Expected `classes` to be a whole number from 2, but got {classes!r}; give that of the members.")
        self.names = tuple(members)
        self.members = nn.ModuleList(members.values())
        self.m, self.classes = m, classes
        targets = [member for member in members.values() if isinstance(member, Target)]
        self.differentiable = all(target.differentiable for target in targets)
        levels = {target.input_levels for target in targets} if len(targets) == len(members) else {None}
        self.input_levels = levels.pop() if len(levels) == 1 else None
        # what no parameter holds but results depend on: in the state, which identifies results
        rule = [m, classes, *((target.kind, target.graph_hash) for target in targets)]
        self.register_buffer("rule", torch.frombuffer(bytearray(hashlib.sha256(repr(rule).encode()).digest()), dtype=torch.uint8))

    @property
    def label(self) -> str:
        """What results call it."""
        return f"{self.m} of {', '.join(self.names)}"

    def forward(self, images: Tensor) -> Tensor:
        self.counts.ask(len(images))
        logits = torch.stack([self._logits(name, member, images) for name, member in zip(self.names, self.members, strict=True)], 1)
        self.counts.compute(len(images))
        margins = _margins(logits)
        nearest = margins.topk(self.m, dim=1).values  # N x m x classes, descending
        lacking = nearest.clamp(max=0).mean(1)
        scores = torch.where(nearest[:, -1] > 0, nearest[:, -1], lacking)
        found = torch.cat([scores, torch.zeros_like(scores[:, :1])], 1)
        return _settled(found, self.answer(logits.detach().argmax(2)))

    def answer(self, votes: Tensor) -> Tensor:
        """The ensemble's answer to its members' predictions (int64, N x members): int64, N; `classes` where there is none."""
        counts = (votes[:, :, None] == votes[:, None, :]).sum(2)
        # argmax is the first of equal ones: the earliest member
        most, first = counts.amax(1), counts.argmax(1)
        return torch.where(most >= self.m, votes.gather(1, first[:, None])[:, 0], self.classes)

    def _logits(self, name: str, member: nn.Module, images: Tensor) -> Tensor:
        logits = member(images)
        if not isinstance(logits, Tensor) or logits.shape != (len(images), self.classes):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(f"Expected member {name!r} to return logits {len(images)} x {self.classes}, but got {got}; set `classes`.")
        return logits

    def rounded(self, images: Tensor) -> Tensor:
        """The images that the members see, where all of them take 8-bit pixels (`input_levels`); see `PixelTarget.rounded`."""
        if self.input_levels is None:
            raise InputError("Expected an ensemble of targets of 8-bit pixels, but a member takes images as they are; do not round them.")
        return self.members[0].rounded(images)  # type: ignore[operator]

    @property
    def unaffected(self) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
        """What all members leave as it is (see `PixelTarget.unaffected`); None where one of them does not tell."""
        told = [getattr(member, "unaffected", None) for member in self.members]
        if any(one is None for one in told):
            return None
        return lambda images, coordinates, pixels: torch.stack([one(images, coordinates, pixels) for one in told]).all(0)  # type: ignore[misc]

    def evaluation_view(self, compile: bool = False) -> Target:  # noqa: A002 - the option is torch's name
        """An ensemble of the members' evaluation views; both count together."""
        views = {}
        for name, member in zip(self.names, self.members, strict=True):
            make_view = getattr(member, "evaluation_view", None)
            views[name] = member if make_view is None else make_view(compile=compile)
        view = EnsembleTarget(views, self.m, classes=self.classes)
        view.counts = self.counts
        return view.eval()

    def extra_repr(self) -> str:
        return f"m={self.m}, classes={self.classes}, queries={self.queries}, budget={self.budget}"


def _margins(logits: Tensor) -> Tensor:
    """logit_j - max_{k != j} logit_k of the last dimension: that of the largest is above 0, those of the others below."""
    top = logits.topk(2, dim=-1)
    leads = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top.indices[..., :1], True)
    return logits - torch.where(leads, top.values[..., 1:], top.values[..., :1])


def _settled(logits: Tensor, answer: Tensor) -> Tensor:
    """`logits` with the logit of `answer` (int64, N) as the largest: raised just above the others where it is not."""
    own = logits.gather(1, answer[:, None])
    others = logits.detach().scatter(1, answer[:, None], -torch.inf).amax(1, keepdim=True)
    least = torch.nextafter(others, torch.full_like(others, torch.inf))
    raised = own + (torch.maximum(own.detach(), least) - own.detach())  # the gradient is its own
    return logits.scatter(1, answer[:, None], raised)
