"""Networks whose batch norm is what training leaves behind: other than at the start, with negative scales."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qlight.models import Classifier


def settled(module: nn.Module, seed: int = 0) -> None:
    """Give the batch norms of `module` statistics of random images, and scales and shifts of either sign."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                sign = torch.where(torch.rand(layer.weight.shape, generator=generator) < 0.3, -1.0, 1.0)
                layer.weight.copy_(sign * (0.3 + torch.rand(layer.weight.shape, generator=generator)))
                layer.bias.copy_(torch.rand(layer.bias.shape, generator=generator) - 0.2)
        module.train()
        for _ in range(3):
            module(torch.rand(32, 3, 32, 32, generator=generator))
    module.eval()


def classifier(weights: int = 32, activations: int = 32, seed: int = 0, network: str = "svhn", **settings: Any) -> Classifier:
    """A narrow network with random weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Classifier(network=network, width=0.125, weight_bit_width=weights, activation_bit_width=activations, **settings)
    settled(model, seed)
    return model
