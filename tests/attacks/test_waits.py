"""The host does not wait for the device in every step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.attacks.networks import FULL, MAKERS, Maker, problem, report, smooth_net

COUNT = 9


class Operators(TorchDispatchMode):
    """Lists operators that make a host wait for its device: those that read a value, or whose shape depends on values."""

    WAITING = ("_local_scalar_dense", "is_nonzero", "nonzero", "item", "equal", "masked_select", "unique", "_unique2", "bincount")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            part is not None and part.dtype in (torch.bool, torch.uint8) for part in args[1]
        )
        repeats = name == "repeat_interleave" and isinstance(args[1] if len(args) > 1 else args[0], Tensor)
        if name in self.WAITING or by_mask or repeats:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    """Lists methods of tensors that do: on a CPU not all of them come down to an operator."""

    WAITING = ("tolist", "item", "__bool__", "__int__", "__float__", "__index__", "cpu", "numpy", "nonzero", "equal", "__contains__")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.WAITING:
            self.waits.append(func.__name__)
        return func(*args, **(kwargs or {}))


def waits(make: Maker, **given: Any) -> int:
    net = smooth_net(torch.float32)
    images, labels = problem(net, COUNT, torch.float32)
    attack = make(net, max_rows=1000, **given)
    with Operators() as operators, Methods() as methods:
        attack(images, labels)
    assert int(report(attack).iterations.min()) >= given["steps"]
    return len(operators.waits) + len(methods.waits)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("budget", [None, 10**6])
def test_the_host_waits_no_more_often_where_there_are_more_steps(name: str, budget: int | None) -> None:
    few, many = (waits(MAKERS[name], steps=steps, query_budget=budget, **FULL[name]) for steps in (3, 12))
    assert few == many > 0


def test_the_count_of_waits_sees_a_wait_in_every_step() -> None:
    net = smooth_net(torch.float32)
    images, labels = problem(net, COUNT, torch.float32)
    for how in (Tensor.tolist, bool, int, lambda one: one.item(), lambda one: images[one.view(1).expand(COUNT)], Tensor.nonzero):
        with Operators() as operators, Methods() as methods:
            how(labels.sum() > 3)
        assert operators.waits or methods.waits
    short, long = (waits(MAKERS["pgd"], steps=steps, early_stop=True, restarts=1, eps=1e-6) for steps in (3, 12))
    assert long > short  # with an early stop it must ask
