"""From a QONNX file to an integer graph."""

from __future__ import annotations

import os
from pathlib import Path

import qlight
from qlight.errors import InputError
from qlight.interop.hints import Hints
from qlight.interop.read import MAX_BYTES, FileGraph, read_file
from qlight.interop.walk import Walk
from qlight.intgraph import Graph
from qlight.intgraph.infer import LARGEST_SCALE, SMALLEST_SCALE


def import_qonnx(
    path: str | os.PathLike[str],
    *,
    input_scale: float | None = None,
    real_weight_bit_width: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Graph:
    """The integer graph of a sequential classifier in QONNX, such as Brevitas' ``export_qonnx`` or `export_qonnx` writes, as it is or after
    ``qonnx.util.cleanup``.

    Supported, one after the other: Conv (one group, no dilation), Gemm, MatMul, ConvInteger, MatMulInteger; Quant, BipolarQuant and
    MultiThreshold; BatchNormalization, Relu, Mul, Div, Add, Sub with constants; MaxPool, Pad, Flatten, Reshape to vectors, Identity, Cast,
    Dropout. Weights pass Quant or BipolarQuant, or are integers. Every layer but the last is followed by a quantizer with one scale and at
    most 8 bits.

    A layer's sum is the exact one, rounded once to float32 (`Conv` of onnxruntime rounds on the way, in an order of its own); from there on
    thresholds follow the float32 arithmetic of the file's operations step by step, so that ties fall as they do there. Operations between
    the pixels and the first layer (a normalization and a Quant) become a 1x1 convolution with thresholds. Where a convolution pads -1/+1
    activations with zeros, these become 2-bit codes 0 and 2 around 1.

    Args:
        path: the file, which need not be trusted: nothing of it is run, and files that it names are not opened.
        input_scale: what one step of a pixel 0 .. 255 is worth to the network; None is 1 where the file says that its input is UINT8, else
            1/255.
        real_weight_bit_width: 2 to 8: round weights that are not quantized (often those of the first and last layer) to this many bits,
            with a scale per output channel. None refuses them.
        max_bytes: the most that the file may have.

    Returns:
        The graph. That of a file of `export_qonnx` has the content hash of the graph that was exported.

    Raises:
        InputError: the onnx package is missing; the file cannot be read; or it has an operation or a setting that no integer graph has,
            which the sentence names.
    """
    if input_scale is not None and not (isinstance(input_scale, int | float) and SMALLEST_SCALE <= input_scale <= LARGEST_SCALE):
        raise InputError(f"Expected `input_scale` to be a positive number, but got {input_scale!r}; 1/255 is that of images in [0, 1].")
    bits = real_weight_bit_width
    if bits is not None and (type(bits) is not int or not 2 <= bits <= 8):
        raise InputError(f"Expected `real_weight_bit_width` to be from 2 to 8, but got {bits!r}; 8 loses little.")
    file = read_file(Path(path), max_bytes)
    if input_scale is None:
        step = (1.0, 1) if file.annotations.get(file.input) == "UINT8" else (1.0, 255)
    else:
        step = (float(input_scale), 1) if input_scale != 1 / 255 else (1.0, 255)
    hints = Hints(file)
    walk = Walk(file, hints, step, bits)
    walk.run()
    scale, bias = walk.logits()
    said = hints.metadata()
    graph = walk.builder.build(scale, bias, _described(file, bits) if said is None else said)
    return hints.named(graph)


def convert(
    qonnx: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    input_scale: float | None = None,
    real_weight_bit_width: int | None = None,
) -> Graph:
    """`import_qonnx`, then `Graph.save` to the folder ``out``: what ``python -m qlight import`` does.

    Raises:
        InputError: as these do.
    """
    graph = import_qonnx(qonnx, input_scale=input_scale, real_weight_bit_width=real_weight_bit_width)
    graph.save(Path(out))
    return graph


def _described(file: FileGraph, bits: int | None) -> dict[str, str]:
    producer = "".join(letter for letter in file.producer[:200] if letter.isprintable())
    found = {"tool": f"qlight {qlight.__version__}, imported from QONNX", "producer": producer}
    return found if bits is None else found | {"real_weight_bit_width": str(bits)}
