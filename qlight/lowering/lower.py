"""From a trained torch network to an integer graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import qlight
from qlight.intgraph import Graph, GraphBuilder
from qlight.intgraph.thresholds import find_thresholds
from qlight.lowering.codes import PIXEL, WeightCodes, activation_codes, stated
from qlight.lowering.images import CHANNELS, HEIGHT, WIDTH, pixels, unit_images
from qlight.lowering.simulation import Block, blocks, calibrate, own_copy, quantize_weights
from qlight.lowering.thresholds import codes_through
from qlight.models import Classifier
from qlight.models.network import PaperNetwork
from qlight.models.registry import NETWORKS
from qlight.quantization import Quantizer, check_bit_width
from qlight.quantization.dorefa import levels


@dataclass(frozen=True)
class Lowered:
    """A graph and the torch network that it stands for.

    Attributes:
        graph: the integers.
        simulated: the trained network with the weights and activations that the graph has in its boundary layers (and, where training left
            them real, in the others); everything else is as it was trained. N x 3 x 32 x 32 in [0, 1] -> N x 10 logits. The oracle of
            `compare`.
    """

    graph: Graph
    simulated: PaperNetwork


def lower(
    model: nn.Module,
    calibration_images: Any = None,
    *,
    boundary_bit_width: int = 8,
    activation_bit_width: int = 8,
    weight_bit_width: int = 8,
    metadata: Mapping[str, str] | None = None,
) -> Lowered:
    """The integer graph of a trained network; ``model`` is left as it is.

    * The first convolution and the last dense layer get signed weights with a scale per output channel; pixels are codes u, worth u/255.
    * Inner weights keep the codes they were trained with. Real ones (the float network) are quantized as the boundary layers are.
    * Real activations (float, wNa32) become unsigned codes with one scale per layer, the one with the least squared error on the
      calibration images.
    * Batch norm and activation become thresholds that agree with torch's own arithmetic (`qlight.lowering.thresholds`).

    Args:
        model: a `Classifier` or its network.
        calibration_images: N x 3 x 32 x 32 or N x 32 x 32 x 3, uint8 or real numbers in [0, 1], where activations are real; some hundred
            training images. Not looked at otherwise.
        boundary_bit_width: of the first and last layer's weights, 2 to 8.
        activation_bit_width: of activations that were trained as real numbers, 1 to 8.
        weight_bit_width: of inner weights that were trained as real numbers, 2 to 8.
        metadata: texts for the graph besides those written here (``checkpoint_sha256``, ``dataset``, ...).

    Raises:
        InputError: a bit width out of range, images that are none, a network or weight quantizer that has no integers.
        GraphError: the metadata break a rule.
    """
    check_bit_width("boundary_bit_width", boundary_bit_width, low=2)
    check_bit_width("activation_bit_width", activation_bit_width)
    check_bit_width("weight_bit_width", weight_bit_width, low=2)
    images = None if calibration_images is None else unit_images(pixels("calibration_images", calibration_images))
    network = own_copy(model)
    real = [block.name for block in blocks(network) if not isinstance(block.activation, Quantizer)]
    with torch.no_grad():
        weights = quantize_weights(network, boundary_bit_width, weight_bit_width)
        calibrate(network, images, activation_bit_width)
        builder = GraphBuilder((HEIGHT, WIDTH, CHANNELS))
        unit = PIXEL
        for block in blocks(network):
            codes = weights[block.name]
            _append_layer(builder, block, codes)
            unit = _append_activation(builder, block, unit * codes.unit)
        last = weights["output"]
        builder.linear("output", last.codes, bits=last.bits, encoding=last.encoding, weight_scale=last.scale)
        scale = (unit * last.unit).numerator / (unit * last.unit).denominator
        said = _described(model, network) | {"boundary_bit_width": str(boundary_bit_width)}
        if real:
            assert images is not None
            said |= {"calibrated_activation_bit_width": str(activation_bit_width), "calibration_images": str(len(images))}
        graph = builder.build(stated(scale), network.output.bias.double().numpy(), said | dict(metadata or {}))
    return Lowered(graph, network)


def _append_layer(builder: GraphBuilder, block: Block, weight: WeightCodes) -> None:
    """The convolution and its pool, or the dense layer (after a Flatten where it reads images)."""
    settings: dict[str, Any] = {"bits": weight.bits, "encoding": weight.encoding, "weight_scale": weight.scale}
    layer, codes = block.layer, weight.codes
    if isinstance(layer, nn.Conv2d):
        down, across = layer.stride
        tall, wide = (int(size) for size in layer.padding)
        # the padding value is 0, or -1 of binary codes: code 0 of either encoding
        settings |= {"stride": (down, across), "padding": (tall, tall, wide, wide), "pad_code": 0}
        builder.conv2d(block.name, codes.transpose(0, 2, 3, 1), **settings)
        if block.pool is not None:
            builder.max_pool(block.name.replace("conv", "pool"), _pair(block.pool.kernel_size), _pair(block.pool.stride))
        return
    shape = builder.operand.type.shape
    if len(shape) == 3:
        height, width, channels = shape
        builder.flatten("flat")
        codes = codes.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(codes), -1)
    builder.linear(block.name, codes, **settings)


def _append_activation(builder: GraphBuilder, block: Block, unit: Any) -> Any:
    """The thresholds of a block whose accumulators are worth ``unit``; what a step of its output is worth."""
    activation, operand = block.activation, builder.operand
    assert isinstance(activation, Quantizer)
    out = activation_codes(activation)
    codes = codes_through(block.name, block.norm, activation, unit)
    thresholds, direction = find_thresholds(codes, operand.low, operand.high, operand.type.channels, levels(out.bits))
    builder.threshold(f"{block.name}_act", thresholds, direction, bits=out.bits, encoding=out.encoding, output_scale=out.scale)
    return out.unit


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _described(model: nn.Module, network: PaperNetwork) -> dict[str, str]:
    """What a graph says of its network."""
    name = next((name for name, kind in NETWORKS.items() if type(network) is kind), type(network).__name__)
    found = {
        "network": name,
        "precision": network.precision.name,
        "weight_bit_width": str(network.precision.weight_bit_width),
        "activation_bit_width": str(network.precision.activation_bit_width),
        "weight_quantizer": network.precision.weight_quantizer,
        "activation_quantizer": network.precision.activation_quantizer,
        "tool": f"qlight {qlight.__version__}, torch {torch.__version__}",
    }
    if isinstance(model, Classifier):
        found["width"] = str(model.hparams["width"])
    return found
