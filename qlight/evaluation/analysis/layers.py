"""What a perturbation leaves as it was inside a network, layer by layer."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qlight.errors import InputError

SUMS, ACTIVATIONS = "sums", "activations"
#: how far float64 sums of equal codes may differ by rounding, relative to their size or 1; steps of codes are above 1e-4
_ROUNDING = 1e-9
_ROWS = 32


@dataclass(frozen=True)
class Unchanged:
    """One layer of a network on n pairs of a clean and a perturbed image.

    Attributes:
        layer: name of the module.
        kind: sums: what the layer's weights make of its input, before batch norm; activations: codes (or what ReLU lets through).
        bits: of the weights, or of the activation codes; 32 for real ones.
        values: per image.
        unchanged: float64, n: each image's share of values that the perturbation leaves as they were.
        change: float64, n: l2 norm of the change of the layer's values, relative to that of the clean values; 0 where these are all 0.
    """

    layer: str
    kind: str
    bits: int
    values: int
    unchanged: Tensor
    change: Tensor


@torch.no_grad()
def unchanged_values(model: nn.Module, clean: Tensor, perturbed: Tensor) -> list[Unchanged]:
    """Compare every layer's values on pairs of images; layers in the order in which they run.

    Runs a copy of the network in float64 and evaluation mode. Sums of quantized weights and codes are multiples of a step there, up to
    rounding far below it, so that equal sums are seen to be equal; an activation at the very edge between two codes may take the other one
    than in float32.

    Layers with weights are all `Conv2d` and `Linear` modules; activations those that separate codes (`quantize`), and ReLU.

    Args:
        model: images N x C x H x W in [0, 1] -> logits, in torch.
        clean, perturbed: n x C x H x W, on the model's device.

    Raises:
        InputError: shapes differ, there are no images, or the network has no such layer.
    """
    if clean.shape != perturbed.shape or clean.ndim != 4 or not len(clean):
        raise InputError(
            f"Expected `perturbed` of the shape of `clean`, n x C x H x W with at least one image, but got {tuple(clean.shape)} and "
            f"{tuple(perturbed.shape)}; pass pairs."
        )
    found: dict[str, list[Unchanged]] = {}
    with _watched(_double(model), lambda one: found.setdefault(one.layer, []).append(one)) as twin:
        for first in range(0, len(clean), _ROWS):
            piece = slice(first, first + _ROWS)
            twin(torch.cat([clean[piece], perturbed[piece]]).double())
    if not found:
        raise InputError("Expected a network with Conv2d, Linear, ReLU or quantized layers, but it has none; give the torch network.")
    return [
        Unchanged(
            layer=parts[0].layer,
            kind=parts[0].kind,
            bits=parts[0].bits,
            values=parts[0].values,
            unchanged=torch.cat([part.unchanged for part in parts]),
            change=torch.cat([part.change for part in parts]),
        )
        for parts in found.values()
    ]


def _double(model: nn.Module) -> nn.Module:
    """A copy in float64 and evaluation mode, without the Trainer that a LightningModule may hold."""
    memo: dict[int, Any] = {id(getattr(module, "_trainer", None)): None for module in model.modules()}
    return copy.deepcopy(model, memo).double().eval()


@contextlib.contextmanager
def _watched(model: nn.Module, tell: Callable[[Unchanged], Any]) -> Iterator[nn.Module]:
    """Compare the halves of each batch in every layer."""

    def watch(name: str, kind: str, bits: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            clean, perturbed = output.detach().flatten(1).chunk(2)
            size = torch.linalg.vector_norm(clean, dim=1)
            difference = (perturbed - clean).abs()
            same = difference <= _ROUNDING * clean.abs().clamp(min=1)
            length = torch.linalg.vector_norm(difference, dim=1)
            change = torch.where(size > 0, length / size, torch.zeros_like(size))
            tell(Unchanged(name, kind, bits, clean.shape[1], same.double().mean(1).cpu(), change.cpu()))

        return hook

    handles = []
    for name, module in model.named_modules():
        quantizer = getattr(module, "weight_quantizer", None)
        if isinstance(module, nn.Conv2d | nn.Linear):
            handles.append(module.register_forward_hook(watch(name, SUMS, getattr(quantizer, "bit_width", 32))))
        elif isinstance(module, nn.ReLU) or (hasattr(module, "quantize") and not name.endswith("weight_quantizer")):
            handles.append(module.register_forward_hook(watch(name, ACTIVATIONS, getattr(module, "bit_width", 32))))
    try:
        yield model
    finally:
        for handle in handles:
            handle.remove()
