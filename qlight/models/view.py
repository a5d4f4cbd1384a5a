"""The view of a network that attacks run on: evaluation mode, parameters frozen, weights quantized once."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.models.blocks import ConvBlock
from qlight.models.differences import Differences
from qlight.models.first_layer import FirstLayer
from qlight.models.frozen import FrozenBlocks, FrozenConv2d, FrozenLinear, can_freeze
from qlight.models.network import PaperNetwork
from qlight.quantization import QuantConv2d, QuantLinear


def evaluation_view(model: nn.Module, compile: bool = False) -> nn.Module:  # noqa: A002 - the option is torch's name
    """A module of its own that computes what ``model`` does in evaluation mode, with frozen parameters; ``model`` is left as it is.

    Later changes of ``model``, such as further training, do not reach the view. In a network of this package the weights are quantized
    here and now, which spares an attack a quantization every step; convolutions run in channels_last, those of codes of up to 4 bits in
    8-bit arithmetic where the CPU has it. Its logits and gradients are those of the network up to what rounding decides (see `frozen`;
    logits of binary networks bit for bit); gradients can be taken once only (no second derivatives). Any other module is copied, frozen
    and put into evaluation mode.

    Args:
        model: images N x C x H x W -> logits; a module that has an ``evaluation_view`` method of its own is asked for it.
        compile: run the view through torch.compile with dynamic shapes (needs a C++ compiler on a CPU); then its results are those of
            ``model`` up to rounding, and a quantized activation at the very edge between two codes may take the other one.

    Raises:
        InputError: ``model`` is not a torch module.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> view = evaluation_view(network)
    >>> network.training, view.training, view[0].weight.requires_grad
    (True, False, False)
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"Expected `model` to be a torch module, but got {type(model).__name__}; give the network itself.")
    own: Any = getattr(model, "evaluation_view", None)
    if own is not None:
        return own(compile=compile)
    return copied_view(model, compile)


def copied_view(model: nn.Module, compile: bool = False) -> nn.Module:  # noqa: A002 - the option is torch's name
    """What `evaluation_view` returns for a module without such a method of its own."""
    duplicate = copy.deepcopy(model).eval().requires_grad_(False)
    for parameter in duplicate.parameters():
        parameter.grad = None
    view = _frozen(duplicate, fuse=not compile).eval()
    if compile:
        # an inner module where there is one: what the view says of itself is plain Python
        (view.network if isinstance(view, NetworkView) else view).compile(dynamic=True)
    return view


class NetworkView(nn.Module):
    """A `PaperNetwork` for attacks, always in evaluation mode; N x 3 x 32 x 32 -> N x 10 logits.

    Args:
        network: a copy that the view may change.
        fuse: run convolution blocks in few passes over memory.
    """

    def __init__(self, network: PaperNetwork, fuse: bool) -> None:
        super().__init__()
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        block = network.features[0]
        activation = block.get_submodule("activation") if FirstLayer.fits(block) else None
        for name, child in network.named_children():
            network.add_module(name, _frozen(child, fuse))
        self.network = network
        block = network.features[0]
        block = block[0] if isinstance(block, FrozenBlocks) else block
        self.first = None if activation is None else FirstLayer(block.get_submodule("conv"), block.get_submodule("norm"), activation)
        self._differences = Differences(network) if Differences.fits(network) else None

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.to(memory_format=torch.channels_last) if images.dim() == 4 else images)

    def train(self, mode: bool = True) -> NetworkView:
        """Stay in evaluation mode, whatever ``mode`` is."""
        return super().train(False)

    @property
    def unaffected(self) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
        """`FirstLayer.unaffected` of this network, or None where it does not hold; see there."""
        first: FirstLayer | None = self.first
        return first.unaffected if first is not None and first.holds() else None

    @property
    def differences(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None:
        """`Differences` of this network's logits, or None where they are not known; see there."""
        differences: Differences | None = self._differences
        return differences if differences is not None and differences.holds() else None


def _frozen(module: nn.Module, fuse: bool) -> nn.Module:
    """``module``, which may be changed, with the layers of this package in it replaced by frozen ones."""
    if isinstance(module, NetworkView):
        return module
    if isinstance(module, PaperNetwork) and type(module).forward is PaperNetwork.forward:
        return NetworkView(module, fuse)
    if type(module) is QuantConv2d:
        return FrozenConv2d(module)
    if type(module) is QuantLinear:
        return FrozenLinear(module)
    if fuse and can_freeze(module):
        assert isinstance(module, ConvBlock)
        return FrozenBlocks({"0": module})
    if fuse and type(module) is nn.Sequential:
        return _frozen_sequence(module)
    for name, child in module.named_children():
        module.add_module(name, _frozen(child, fuse))
    return module


def _frozen_sequence(module: nn.Sequential) -> nn.Module:
    """``module`` with its runs of blocks that can be frozen as one module each; that module itself where there is nothing else."""
    runs: list[dict[str, nn.Module]] = [{}]
    for name, child in module.named_children():
        if runs[-1] and can_freeze(child) == can_freeze(next(iter(runs[-1].values()))):
            runs[-1][name] = child
        else:
            runs.append({name: child})
    frozen: dict[str, nn.Module] = {}
    for run in runs[1:]:
        name, first = next(iter(run.items()))
        if can_freeze(first):
            frozen[name] = FrozenBlocks(run)  # type: ignore[arg-type]
        else:
            frozen |= {name: _frozen(child, True) for name, child in run.items()}
    only = list(frozen.values())
    return only[0] if len(only) == 1 and isinstance(only[0], FrozenBlocks) else nn.Sequential(OrderedDict(frozen))
