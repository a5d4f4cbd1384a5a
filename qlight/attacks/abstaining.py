"""Attacks on a model that may refuse to answer: they want a wrong answer, not a refusal. For ensembles, section 6 of the paper.

The paper leaves "an attacker aware of the implementation" (section 7, with [73]) out; these are such attackers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qlight.attacks.pgd import PGDRestarts
from qlight.attacks.spsa import SPSA
from qlight.errors import InputError


class _PastRefusal:
    """Makes an attack take the last class of its model as "no answer", which is no success (the paper's equation (13)).

    The logit of "no answer" counts as the label's where it is larger: the attack must raise the logit of another class above both. So a
    correct answer and a refusal are the same to it.
    """

    #: whether the model must be one that may refuse; such attacks are not offered for others
    needs_refusals = True

    def forward(self, inputs: Tensor, labels: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if not getattr(self.model, "refuses", False):  # type: ignore[attr-defined]
            raise InputError(
                f"Expected `model` of {type(self).__name__} to have `refuses`, as an EnsembleTarget does: its last class is no answer; "
                "use PGDRestarts or SPSA on a model that always answers."
            )
        return super().forward(inputs, labels, *args, **kwargs)  # type: ignore[misc]

    def margin(self, logits: Tensor, label: Tensor) -> Tensor:
        return super().margin(without_refusal(logits, label), label)  # type: ignore[misc]

    def reached(self, logits: Tensor, label: Tensor) -> Tensor:
        return super().reached(without_refusal(logits, label), label)  # type: ignore[misc]


class AdaptivePGD(_PastRefusal, PGDRestarts):
    """`PGDRestarts` on a model whose last class is "no answer", such as `qlight.targets.EnsembleTarget`.

    Takes the arguments of `PGDRestarts`.
    """

    def _soft_margin(self, logits: Tensor, label: Tensor) -> Tensor:
        return super()._soft_margin(without_refusal(logits, label), label)


class AdaptiveSPSA(_PastRefusal, SPSA):
    """`SPSA` on a model whose last class is "no answer": it only queries, so that it can attack ensembles of deployed networks.

    Takes the arguments of `SPSA`.
    """


def without_refusal(logits: Tensor, label: Tensor) -> Tensor:
    """Logits N x (classes + 1) as N x classes: the label's is the larger of its own and that of the last class, "no answer".

    >>> without_refusal(torch.tensor([[1.0, -2.0, 0.0]]), torch.tensor([1]))
    tensor([[1., 0.]])
    """
    own = logits.gather(1, label[:, None])
    return logits[:, :-1].scatter(1, label[:, None], torch.maximum(own, logits[:, -1:]))
