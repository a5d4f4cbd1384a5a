"""A trained network as packed codes: n bits a weight that the network quantizes, numbers for what it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlight.errors import InputError
from qlight.models import Classifier
from qlight.quantization import Quantizer
from qlight.quantization.binary import BinaryConnect, BinaryNet
from qlight.quantization.dorefa import DoReFaWeight

Arrays = dict[str, NDArray[Any]]
Layout = dict[str, dict[str, Any]]

#: a real weight tensor of more than so many numbers is stored in float16; smaller ones, biases and batch norms stay float32
MOST_FLOAT32 = 2**12
#: batch norm counts its batches only for averages that qlight does not use; it is not kept
_DROPPED = "num_batches_tracked"


def pack(model: Classifier) -> tuple[Arrays, Layout]:
    """The parameters of a network in as few bytes as keep what it computes.

    Weights that a quantizer reads become its codes, packed to n bits each, first weight in the lowest bits; latent weights are not kept,
    so training cannot go on from them. Large real weights (those of a float network) are rounded to float16.

    Returns:
        arrays: by the name of the parameter: uint8 of packed codes, or float32 or float16 in the parameter's shape.
        layout: of each packed one its "bits" and "shape".

    Raises:
        InputError: a quantizer whose values do not follow from its codes alone.

    >>> arrays, layout = pack(Classifier(network="svhn", width=0.125, weight_bit_width=1, activation_bit_width=1))
    >>> layout["network.features.1.conv.weight"]
    {'bits': 1, 'shape': [16, 16, 3, 3]}
    >>> arrays["network.features.1.conv.weight"].shape
    (288,)
    """
    arrays: Arrays = {}
    layout: Layout = {}
    quantizers = _weight_quantizers(model)
    for name, tensor in model.state_dict().items():
        if name.endswith(_DROPPED) or not name.startswith("network."):
            continue
        if name in quantizers:
            found = quantizers[name].quantize(tensor)
            latent = _latent(quantizers[name], found.code)
            if not torch.equal(quantizers[name].quantize(latent).value, found.value):
                raise _unsupported(quantizers[name])
            arrays[name] = _to_bits(found.code.numpy(), found.bit_width)
            layout[name] = {"bits": found.bit_width, "shape": list(tensor.shape)}
        else:
            # safetensors writes memory as it lies, and convolutions lie channels-last
            real = np.ascontiguousarray(tensor.numpy())
            arrays[name] = real.astype(np.float16) if real.size > MOST_FLOAT32 else real.astype(np.float32)
    return arrays, layout


def unpack(model: Classifier, arrays: Mapping[str, NDArray[Any]], layout: Mapping[str, Mapping[str, Any]]) -> None:
    """Put packed parameters into a network of the same kind; its quantized weights are then those of the network that was packed.

    Raises:
        InputError: the arrays are not those of this network.
    """
    quantizers = _weight_quantizers(model)
    state = model.state_dict()
    wanted = {name for name in state if name.startswith("network.") and not name.endswith(_DROPPED)}
    if wanted != set(arrays) or set(quantizers) != set(layout):
        odd = sorted((wanted ^ set(arrays)) | (set(quantizers) ^ set(layout)))
        raise InputError(f"Expected `arrays` of {model.label}, but {odd[0]} is missing or too many; they are of another network.")
    for name in sorted(wanted):
        shape = tuple(state[name].shape)
        if name in quantizers:
            state[name] = _latent(quantizers[name], torch.from_numpy(_from_bits(name, arrays[name], layout[name], shape)))
        elif arrays[name].shape != shape:
            raise InputError(f"Expected `arrays` to have {name} of shape {shape}, but got {arrays[name].shape}; it is of another network.")
        else:
            state[name] = torch.from_numpy(arrays[name].astype(np.float32))
    model.load_state_dict(state)


def _weight_quantizers(model: Classifier) -> dict[str, Quantizer]:
    """By the name of the weight that each reads."""
    found = {name: getattr(module, "weight_quantizer", None) for name, module in model.named_modules()}
    return {f"{name}.weight": quantizer for name, quantizer in found.items() if isinstance(quantizer, Quantizer)}


def _latent(quantizer: Quantizer, code: Tensor) -> Tensor:
    """Weights that the quantizer turns into ``code``."""
    if isinstance(quantizer, BinaryConnect | BinaryNet):
        return code.float() * 2 - 1
    if isinstance(quantizer, DoReFaWeight) and quantizer.bit_width > 1:
        # tanh(w) / (2 max|tanh(w)|) + 1/2 must be code / n; the largest |value| is 1 in every tensor but one of zeros
        n = 2**quantizer.bit_width - 1
        return torch.atanh((2 * code.double() - n) / n / 2).float()
    raise _unsupported(quantizer)


def _unsupported(quantizer: Quantizer) -> InputError:
    return InputError(
        "Expected a network with weights by BinaryConnect, BinaryNet or DoReFa (2 to 8 bits), whose codes say their values, but got "
        f"{type(quantizer).__name__}; keep its checkpoint."
    )


def _to_bits(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    planes = (codes.reshape(-1, 1) >> np.arange(bits)) & 1
    return np.packbits(planes.astype(np.uint8).ravel(), bitorder="little")


def _from_bits(name: str, packed: NDArray[Any], layout: Mapping[str, Any], shape: tuple[int, ...]) -> NDArray[np.int32]:
    bits, count = layout["bits"], math.prod(shape)
    if tuple(layout["shape"]) != shape or packed.dtype != np.uint8 or packed.shape != (-(-count * bits // 8),):
        raise InputError(f"Expected `arrays` to have the codes of {name} of shape {shape}, but they are of another network.")
    planes = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits).astype(np.int32)
    return (planes << np.arange(bits)).sum(1).astype(np.int32).reshape(shape)
