"""Straight-through estimators: a quantizer's value forward, a simpler function's gradient backward."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@cache
def _just_outside(bound: float, toward: float, dtype: torch.dtype) -> float:
    """The number of ``dtype`` next to ``bound`` on the side of ``toward``."""
    return torch.nextafter(torch.tensor(bound, dtype=dtype), torch.tensor(toward, dtype=dtype)).item()


def window(grad: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """``grad`` where low <= x <= high, else 0, in one pass over memory.

    The kernel compares strictly (low < x < high) while equation (1) includes both ends, which matters because latent weights are
    clipped to exactly -1 and 1; hence the bounds of the next floating-point numbers outside.
    """
    return torch.ops.aten.hardtanh_backward(grad, x, _just_outside(low, -math.inf, x.dtype), _just_outside(high, math.inf, x.dtype))


class _StraightThrough(torch.autograd.Function):
    """Forward: a given value. Backward: the gradient where low <= x <= high, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        if ctx.low == -math.inf and ctx.high == math.inf:
            return grad, None, None, None
        return window(grad, x, ctx.low, ctx.high), None, None, None


def straight_through(x: Tensor, value: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """``value`` forward; backward the gradient passes to ``x`` unchanged where ``low <= x <= high`` and is 0 elsewhere.

    With ``low=-1, high=1`` this is equation (1) of the paper: dC/dx = dC/dvalue * 1[|x| <= 1].

    Args:
        x: the real tensor, any shape.
        value: its quantized values, same shape and dtype; no gradient flows through it.

    >>> x = torch.tensor([-2.0, -1.0, 0.5], requires_grad=True)
    >>> straight_through(x, x.detach().sign(), -1, 1).sum().backward()
    >>> x.grad
    tensor([0., 1., 1.])
    """
    return _StraightThrough.apply(x, value.detach(), low, high)  # type: ignore[no-any-return]
