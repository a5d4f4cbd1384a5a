"""A model that is, after an attack, exactly what it was before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Freeze the parameters; afterwards restore training flags, requires_grad, grad and buffers of everything in `model`.

    Buffers, because an attack that runs batch norm in training mode moves its running statistics. They are small. One that did not change
    is not written to: a graph outside that saved it can still be differentiated.
    """
    training = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    buffers = [(module, name, buffer, buffer.clone()) for module in model.modules() for name, buffer in module.named_buffers(recurse=False)]
    for parameter, _, _ in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None  # an attack that calls backward() or zero_grad() must not touch the caller's tensor
    try:
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, required, grad in parameters:
            parameter.requires_grad_(required)
            parameter.grad = grad
        with torch.no_grad():
            for module, name, buffer, content in buffers:
                module._buffers[name] = buffer if torch.equal(buffer, content) else buffer.copy_(content)
