"""Batch normalization over the global batch, on any device.

With several processes the statistics are those of all processes' images together, so that a training step does not depend on the number
of processes. ``torch.nn.SyncBatchNorm`` does the same on GPUs only; these layers also work on CPU (gloo).
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def _distributed(module: nn.modules.batchnorm._BatchNorm) -> bool:
    return module.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _global_batch_norm(module: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:
    """Normalize N x C (x H x W) with the mean and variance over N, H, W of all processes; gradients cross the processes too."""
    axes = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    local = x.numel() // x.shape[1]
    sums = torch.cat([x.sum(axes), x.new_full((1,), local)])
    sums = all_reduce(sums)
    count = sums[-1]
    mean = sums[:-1] / count
    centred = x - mean.view(shape)
    # two passes: the difference of E[x^2] and E[x]^2 would lose digits against the single-process kernel
    variance = all_reduce(centred.square().sum(axes)) / count
    if module.track_running_stats:
        with torch.no_grad():
            assert module.running_mean is not None
            assert module.running_var is not None
            assert module.momentum is not None
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.add_(1)
            module.running_mean.lerp_(mean.detach().to(module.running_mean.dtype), module.momentum)
            unbiased = variance.detach() * (count / (count - 1))
            module.running_var.lerp_(unbiased.to(module.running_var.dtype), module.momentum)
    normalized = centred * torch.rsqrt(variance + module.eps).view(shape)
    if module.affine:
        normalized = normalized * module.weight.view(shape) + module.bias.view(shape)
    return normalized


def norm_slope(norm: nn.Module) -> Tensor:
    """What batch norm with its running statistics multiplies a channel by, in float64: C.

    Args:
        norm: with weight, running_var and eps.

    >>> norm_slope(BatchNorm1d(2, eps=3.0)).detach()
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    weight, variance, eps = norm.weight, norm.running_var, norm.eps
    assert isinstance(weight, Tensor)
    assert isinstance(variance, Tensor)
    assert isinstance(eps, float)
    return weight.double() / (variance.double() + eps).sqrt()


class BatchNorm2d(nn.BatchNorm2d):
    """``torch.nn.BatchNorm2d`` with statistics over all processes; N x C x H x W."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is torch's
        return _global_batch_norm(self, input) if _distributed(self) else super().forward(input)


class BatchNorm1d(nn.BatchNorm1d):
    """``torch.nn.BatchNorm1d`` with statistics over all processes; N x C."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is torch's
        return _global_batch_norm(self, input) if _distributed(self) else super().forward(input)
