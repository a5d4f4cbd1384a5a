"""Small networks, and qlight's own attacks with few steps, for tests of what all of them promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qlight.attacks.carlini_wagner import CarliniWagnerL2
from qlight.attacks.per_image import PerImageAttack, Report
from qlight.attacks.pgd import PGDRestarts
from qlight.attacks.spsa import SPSA
from qlight.attacks.zoo import ZOO

SHAPE = (3, 7, 7)
CLASSES = 4


class _Code(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return (images * 255).round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        return torch.where(sums >= 0, 1, -1).to(sums.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class ExactNet(nn.Module):
    """8-bit pixels, integer weights, binary activations, straight-through gradients.

    Every sum, forward and backward, is of integers below 2^24: exact in float32 in any order, so the same in any batch.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randint(-2, 3, (4, 3, 3, 3), generator=generator).float())
        self.last = nn.Parameter(torch.randint(-3, 4, (CLASSES, 36), generator=generator).float())

    def forward(self, images: Tensor) -> Tensor:
        sums = nn.functional.conv2d(_Code.apply(images), self.first, stride=2)  # pyright: ignore[reportArgumentType]
        return _Step.apply(sums).flatten(1) @ self.last.T  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]


def smooth_net(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Sequential:
    """A float network, 3 x 7 x 7 -> 4 classes."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(36, CLASSES))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net.to(dtype).eval()


def problem(net: nn.Module, count: int, dtype: torch.dtype, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images of 8 bits, some pixels at exactly 0 and 1, and the classes that `net` gives them."""
    generator = torch.Generator().manual_seed(seed)
    images = (torch.randint(-40, 296, (count, *SHAPE), generator=generator).clamp(0, 255) / 255).to(dtype)
    with torch.no_grad():
        return images, net(images).argmax(1)


Maker = Callable[..., PerImageAttack]


def cw(net: nn.Module, **given: Any) -> PerImageAttack:
    return CarliniWagnerL2(net, **({"steps": 8, "search_steps": 3, "c": 5.0} | given))


def spsa(net: nn.Module, **given: Any) -> PerImageAttack:
    return SPSA(net, **({"eps": 0.4, "steps": 6, "evaluations": 8, "learning_rate": 0.1, "early_stop": True} | given))


def zoo(net: nn.Module, **given: Any) -> PerImageAttack:
    return ZOO(net, **({"steps": 8, "search_steps": 2, "coordinates": 9, "h": 0.05, "c": 50.0, "learning_rate": 0.5} | given))


def pgd(net: nn.Module, **given: Any) -> PerImageAttack:
    return PGDRestarts(net, **({"eps": 0.05, "step_size": 0.02, "steps": 4, "restarts": 3, "loss": "margin"} | given))


#: every attack of qlight's own, as it stops images early
MAKERS: dict[str, Maker] = {"cw": cw, "spsa": spsa, "zoo": zoo, "pgd": pgd}
#: the arguments under which each runs its full course
FULL: dict[str, dict[str, Any]] = {
    "cw": {"abort_early": False},
    "spsa": {"early_stop": False},
    "zoo": {"abort_early": False, "skip_misclassified": False},
    "pgd": {"early_stop": False},
}


def report(attack: PerImageAttack) -> Report:
    """What the attack says of its last call."""
    assert attack.report is not None
    return attack.report


COUNTS = ("success", "queries", "iterations", "forwards", "gradients", "c")  # what a report says, without the time


def same(one: Report, other: Report, rows: Tensor | slice = slice(None)) -> None:
    """`one` is the report of these images of `other`."""
    for name in COUNTS:
        torch.testing.assert_close(getattr(one, name), getattr(other, name)[rows], rtol=0, atol=0, equal_nan=True)
