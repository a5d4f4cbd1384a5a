"""The view of a network that attacks run on: evaluation mode, parameters frozen, weights quantized once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.models.blocks import ConvBlock, pad_value
from qlight.models.first_layer import FirstLayer
from qlight.models.frozen import FrozenConv2d, FrozenConvBlock, FrozenLinear, can_freeze
from qlight.models.network import PaperNetwork
from qlight.quantization import QuantConv2d, QuantLinear


def evaluation_view(model: nn.Module, compile: bool = False) -> nn.Module:  # noqa: A002 - the option is torch's name
    """A module of its own that computes what ``model`` does in evaluation mode, with frozen parameters; ``model`` is left as it is.

    Later changes of ``model``, such as further training, do not reach the view. In a network of this package the weights are quantized
    here and now, which spares an attack a quantization every step; convolutions run in channels_last. Its logits are those of the
    `Classifier` bit for bit (of a bare `PaperNetwork`: in channels_last), and so are the gradients of its images on a CPU in float32 and
    float64; they can be taken once only (no second derivatives). Any other module is copied, frozen and put into evaluation mode.

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
        self.first = None if activation is None else FirstLayer(block.get_submodule("conv"), block.get_submodule("norm"), activation)

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
        return FrozenConvBlock(module)
    if fuse and type(module) is nn.Sequential:
        passes = [_passes_codes(before, after) for before, after in pairwise(module)]
        for name, child, takes, gives in zip(list(module._modules), list(module), [False, *passes], [*passes, False], strict=True):
            frozen = FrozenConvBlock(child, takes, gives) if isinstance(child, ConvBlock) and can_freeze(child) else _frozen(child, fuse)
            module.add_module(name, frozen)
        for before, after in pairwise(module):
            if isinstance(before, FrozenConvBlock) and isinstance(after, FrozenConvBlock):
                before.gives_bytes = before.gives_codes and after.conv.integer is not None
        return module
    for name, child in module.named_children():
        module.add_module(name, _frozen(child, fuse))
    return module


def _passes_codes(before: nn.Module, after: nn.Module) -> bool:
    """Whether codes 0 and 1 can stand for the -1 and +1 between two modules of a sequence: both blocks know them."""
    if not (can_freeze(before) and can_freeze(after)):
        return False
    conv = after.get_submodule("conv")
    assert isinstance(conv, QuantConv2d)
    return conv.pad_value == pad_value(before.get_submodule("activation")) == -1.0
