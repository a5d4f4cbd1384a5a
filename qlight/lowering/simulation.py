"""The torch network that a graph stands for: the trained one with the graph's 8-bit boundary layers and, after ReLU, calibrated codes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.lowering.calibration import CalibratedActivation, best_scale
from qlight.lowering.codes import PIXEL, WeightCodes, post_training, steps_before, trained_weight
from qlight.models import Classifier
from qlight.models.blocks import ConvBlock, DenseBlock
from qlight.models.network import PaperNetwork
from qlight.quantization import QuantConv2d, Quantizer, QuantLinear

#: images at a time
CHUNK = 64


@dataclass(frozen=True)
class Block:
    """One block of a network: its layer, batch norm and activation, and the name that the graph's node gets."""

    name: str
    module: ConvBlock | DenseBlock

    @property
    def layer(self) -> QuantConv2d | QuantLinear:
        found = self.module.get_submodule("conv" if isinstance(self.module, ConvBlock) else "dense")
        assert isinstance(found, QuantConv2d | QuantLinear)
        return found

    @property
    def pool(self) -> nn.MaxPool2d | None:
        found = getattr(self.module, "pool", None)
        assert found is None or isinstance(found, nn.MaxPool2d)
        return found

    @property
    def norm(self) -> nn.Module:
        return self.module.get_submodule("norm")

    @property
    def activation(self) -> nn.Module:
        return self.module.get_submodule("activation")

    def sums(self, x: Tensor) -> Tensor:
        """What batch norm sees: the layer's sums, pooled. Dense layers flatten images as the network does."""
        found = self.layer(torch.flatten(x, 1) if isinstance(self.module, DenseBlock) else x)
        return found if self.pool is None else self.pool(found)


def blocks(network: PaperNetwork) -> Iterator[Block]:
    """The blocks in order, named conv1, conv2, ..., dense1, ..."""
    for kind, sequence in (("conv", network.features), ("dense", network.dense)):
        for number, module in enumerate(sequence, 1):
            assert isinstance(module, ConvBlock | DenseBlock)
            yield Block(f"{kind}{number}", module)


def own_copy(model: nn.Module) -> PaperNetwork:
    """A copy of the network of ``model`` that may be changed: float32, on the CPU, in evaluation mode and channels_last.

    Raises:
        InputError: it is no network of this package, or not in float32, or its numbers are not finite.
    """
    network = model.network if isinstance(model, Classifier) else model
    if not isinstance(network, PaperNetwork) or type(network).forward is not PaperNetwork.forward:
        raise InputError(f"Expected `model` to be a Classifier or one of its networks, but got {type(model).__name__}; load a checkpoint.")
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise InputError(f"Expected `model` to hold float32 numbers, but {name} is {tensor.dtype}; convert it with `.float()`.")
        if not tensor.isfinite().all():
            raise InputError(
                f"Expected `model` to hold finite numbers, but {name} does not; use a checkpoint whose training did not diverge."
            )
    duplicate = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    return duplicate.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def quantize_weights(network: PaperNetwork, boundary_bits: int, real_bits: int) -> dict[str, WeightCodes]:
    """The codes of every layer by name; real weights of ``network`` are replaced by what their codes stand for.

    Args:
        network: changed in place.
        boundary_bits: of the first and the last layer.
        real_bits: of inner layers that were trained with real weights.

    Raises:
        InputError: a layer's quantizer has no integers of a graph.
    """
    found: dict[str, WeightCodes] = {}
    for index, block in enumerate(blocks(network)):
        layer = block.layer
        if layer.weight_quantizer is None:
            steps = steps_before(block.norm, block.activation) if index == 0 else None
            steps = None if steps is None else steps * PIXEL.denominator
            found[block.name] = _replaced(layer, boundary_bits if index == 0 else real_bits, steps)
        else:
            found[block.name] = trained_weight(block.name, layer.weight, layer.weight_quantizer)
    found["output"] = _replaced(network.output, boundary_bits)
    return found


def _replaced(layer: nn.Conv2d | nn.Linear, bits: int, steps: np.ndarray | None = None) -> WeightCodes:
    codes = post_training(layer.weight, bits, steps)
    shape = (-1, *[1] * (codes.codes.ndim - 1))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy((codes.codes * codes.unit.numerator.reshape(shape)).astype(np.float32)))
    return codes


@torch.no_grad()
def calibrate(network: PaperNetwork, images: Tensor | None, bits: int) -> None:
    """Replace every ReLU of ``network`` by a `CalibratedActivation`, in order: a layer's scale is chosen on what the quantized layers
    before give.

    Args:
        network: changed in place; its weights are those that the graph will have.
        images: N x 3 x 32 x 32 in [0, 1]; all activations of a layer are in memory at once.

    Raises:
        InputError: the network has ReLUs and ``images`` is None.
    """
    if all(isinstance(block.activation, Quantizer) for block in blocks(network)):
        return
    if images is None:
        raise InputError(
            "Expected `calibration_images` for a network with real activations, but got None; give some hundred training images."
        )
    inputs = list(images.split(CHUNK))
    for block in blocks(network):
        normalized = [block.norm(block.sums(x)) for x in inputs]
        if not isinstance(block.activation, Quantizer):
            block.module.add_module("activation", CalibratedActivation(bits, best_scale(normalized, bits)))
        inputs = [block.activation(x) for x in normalized]
