"""What lowering changed: codes, predictions and accuracy of a graph against the torch network that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.errors import InputError
from qlight.intgraph import Conv2d, Graph, Linear, Threshold, logits, trace
from qlight.lowering.codes import PIXEL, Unit, activation_codes
from qlight.lowering.images import pixels, unit_images
from qlight.lowering.lower import Lowered
from qlight.lowering.simulation import Block, blocks, own_copy
from qlight.models.classifier import CLASSES
from qlight.quantization import BinaryNet, QuantConv2d, Quantizer
from qlight.quantization.dorefa import levels

#: images at a time
CHUNK = 32
#: half the distance from 1 to the next float32 number
_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class LayerMismatch:
    """How the codes of one activation compare with torch's.

    Attributes:
        name: of the Threshold node.
        codes: number compared.
        mismatching: codes that differ when torch and the graph each run from the pixels on.
        own: codes that differ when torch's layer is given the graph's input codes: what this layer itself causes.
        unexplained: codes that neither a difference in the layer's input nor the rounding of torch's float32 sums explains. For every code
            of the graph, torch's batch norm and activation must give it for the exact sum; and where torch's own code is another, torch's
            sum must lie within the bound of float32 summation from the exact one, so that the step lies between both. Always 0.
    """

    name: str
    codes: int
    mismatching: int
    own: int
    unexplained: int


@dataclass(frozen=True)
class Comparison:
    """A graph against torch on some images.

    Attributes:
        images: how many.
        layers: per activation.
        agreement: share of images for which the graph and ``Lowered.simulated`` predict the same class.
        unexplained_predictions: images that they predict differently although no code differs and the two classes' logits are further apart
            than float32's rounding. Always 0.
        unchanged: share of images for which the graph predicts what the trained network does; None where it was not given.
        trained_accuracy, simulated_accuracy, graph_accuracy: 0 to 1; None without labels.
    """

    images: int
    layers: tuple[LayerMismatch, ...]
    agreement: float
    unexplained_predictions: int
    unchanged: float | None
    trained_accuracy: float | None
    simulated_accuracy: float | None
    graph_accuracy: float | None


@torch.no_grad()
def compare(lowered: Lowered, model: nn.Module | None, images: Any, labels: Any = None) -> Comparison:
    """Run the reference executor and torch on ``images`` and compare every code, prediction, and the accuracy.

    Args:
        lowered: what `lower` returned.
        model: the trained network that was lowered, for the accuracy before; None leaves that out.
        images: N x 3 x 32 x 32 or N x 32 x 32 x 3, uint8 or real numbers in [0, 1] (rounded to pixels).
        labels: N integers from 0 to 9, or None.

    Raises:
        InputError: images or labels that are none.
    """
    array = pixels("images", images)
    truth = None if labels is None else _labels(labels, len(array))
    trained = None if model is None else own_copy(model)
    counts: dict[str, list[int]] = {}
    predicted: dict[str, list[np.ndarray]] = {"graph": [], "simulated": [], "trained": []}
    unexplained = 0
    for start in range(0, len(array), CHUNK):
        chunk = array[start : start + CHUNK]
        found = trace(lowered.graph, chunk)
        real = unit_images(chunk)
        last = _compare_codes(lowered, found, real, counts)
        of_graph, of_simulated = logits(lowered.graph, found[lowered.graph.output.name]), lowered.simulated.output(last.values).numpy()
        unexplained += _unexplained_predictions(lowered, of_graph, of_simulated, last)
        predicted["graph"].append(of_graph.argmax(1))
        predicted["simulated"].append(of_simulated.argmax(1))
        if trained is not None:
            predicted["trained"].append(trained(real).argmax(1).numpy())
    classes = {name: np.concatenate(parts) for name, parts in predicted.items() if parts}

    def share(name: str, other: np.ndarray | None) -> float | None:
        return None if other is None or name not in classes else float((classes[name] == other).mean())

    return Comparison(
        images=len(array),
        layers=tuple(LayerMismatch(name, *numbers) for name, numbers in counts.items()),
        agreement=float((classes["graph"] == classes["simulated"]).mean()),
        unexplained_predictions=unexplained,
        unchanged=share("trained", classes["graph"]),
        trained_accuracy=share("trained", truth),
        simulated_accuracy=share("simulated", truth),
        graph_accuracy=share("graph", truth),
    )


def layer_units(graph: Graph, simulated: nn.Module) -> dict[str, Unit]:
    """What one step of each layer's accumulators is worth, by the name of the layer."""
    unit, found = PIXEL, {}
    activations = {f"{block.name}_act": block.activation for block in blocks(simulated)}  # type: ignore[arg-type]
    for node in graph.nodes:
        if isinstance(node, Conv2d | Linear):
            if node.weight_scale is not None:
                found[node.name] = unit * Unit(node.weight_scale)
            else:
                found[node.name] = unit * Unit(np.array(1.0), levels(node.weight_bits) if node.weight_encoding == "odd" else 1)
        elif isinstance(node, Threshold):
            unit = activation_codes(activations[node.name]).unit
    return found


@dataclass(frozen=True)
class _Last:
    """What the output layer reads: torch's values, and which images had other codes in the graph."""

    values: Tensor
    differs: np.ndarray


def _compare_codes(lowered: Lowered, found: dict[str, np.ndarray], real: Tensor, counts: dict[str, list[int]]) -> _Last:
    """Add the mismatches of one batch to ``counts``; ``found`` is the graph's trace of it."""
    units = layer_units(lowered.graph, lowered.simulated)
    sources = {node.name: node.input for node in lowered.graph.nodes}
    # what torch has when it runs by itself, what it is given of the graph, and the images where these differ
    own_way, given, differs = real, real, np.zeros(len(real), bool)
    for block in blocks(lowered.simulated):
        name = f"{block.name}_act"
        activation = block.activation
        assert isinstance(activation, Quantizer)
        expected = torch.from_numpy(_first(found[f"{name}_out"]))
        sums = block.sums(given)
        local = activation.quantize(block.norm(sums)).code != expected
        quantized = activation.quantize(block.norm(block.sums(own_way)))
        mismatch = quantized.code != expected
        exact = torch.from_numpy(_first(units[block.name].value(found[sources[name]])))
        # the graph's code is that of the exact sum, and torch's sum is near it: then the step lies between both sums
        right = activation.quantize(block.norm(exact)).code == expected
        inherited = torch.from_numpy(differs).view(-1, *[1] * (local.dim() - 1))
        wrong = ~right | (mismatch & ~local & ~inherited)
        if local.any():
            wrong |= local & ~((sums.double() - exact.double()).abs() <= _rounding(block, given))
        unexplained = int(wrong.sum())
        numbers = (expected.numel(), int(mismatch.sum()), int(local.sum()), unexplained)
        counts[name] = [a + b for a, b in zip(counts.get(name, [0] * 4), numbers, strict=True)]
        differs = mismatch.flatten(1).any(1).numpy()
        own_way, given = quantized.value, code_values(activation, expected)
    return _Last(own_way, differs)


def code_values(activation: Quantizer, codes: Tensor) -> Tensor:
    """The float32 numbers that ``activation`` returns for codes, bit for bit."""
    real = codes.float()
    if isinstance(activation, BinaryNet):
        return real.mul_(2).sub_(1)
    unit = activation_codes(activation).unit
    return real / unit.denominator if unit.denominator != 1 else real * float(unit.numerator)


def _rounding(block: Block, x: Tensor) -> Tensor:
    """A bound on how far torch's float32 sums of ``x`` are from the exact ones, float64, in the shape of ``block.sums(x)``.

    A sum of K rounded products of numbers that are themselves rounded is off by at most g(K + 3) = (K + 3) u / (1 - (K + 3) u) times the
    sum S of their sizes, in any order (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1). A padding other
    than 0 is computed as conv(x - p) + p * sum(w) (`QuantConv2d`): sums of twice the terms and at most three times the size. The largest of
    a window is off by no more than the most.
    """
    layer = block.layer
    weight, size = layer.quantized_weight().abs().double(), x.abs().double()
    terms, factor = weight[0].numel() + 6, 1
    if isinstance(layer, QuantConv2d):
        tall, wide = (int(side) for side in layer.padding)
        total = F.conv2d(F.pad(size, (wide, wide, tall, tall), value=abs(layer.pad_value)), weight, stride=layer.stride)
        if layer.pad_value:
            terms, factor = 2 * terms, 3
    else:
        total = F.linear(size.flatten(1), weight)
    total = total if block.pool is None else block.pool(total)
    return total * factor * _gamma(terms)


def _gamma(terms: int) -> float:
    return terms * _ROUNDOFF / (1 - terms * _ROUNDOFF)


def _unexplained_predictions(lowered: Lowered, of_graph: np.ndarray, of_simulated: np.ndarray, last: _Last) -> int:
    """Images predicted differently from the same codes although the classes are apart."""
    rows = np.flatnonzero((of_graph.argmax(1) != of_simulated.argmax(1)) & ~last.differs)
    layer = lowered.simulated.output
    size = F.linear(last.values[rows].abs().double(), layer.weight.abs().double(), layer.bias.abs().double()).numpy()
    bound = 2 * size.max(1, initial=0) * _gamma(layer.in_features + 6)
    one, other = of_graph[rows].argmax(1), of_simulated[rows].argmax(1)
    gap = of_graph[rows, one] - of_graph[rows, other]
    return int((gap > bound).sum())


def _first(array: np.ndarray) -> np.ndarray:
    """N x H x W x C -> N x C x H x W, a view; N x F as it is."""
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def _labels(labels: Any, count: int) -> np.ndarray:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    array = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if array.dtype.kind not in "iu" or array.shape != (count,):
        got = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"Expected `labels` to be {count} integers, one per image, but got {got}; give the labels of these images.")
    wrong = array[(array < 0) | (array >= CLASSES)]
    if len(wrong):
        raise InputError(
            f"Expected `labels` to hold labels from 0 to {CLASSES - 1}, but got {int(wrong[0])}; relabel or drop these images."
        )
    return array
