"""Quantizers for weights and activations at training time (paper section 3.1), and the layers that use them."""

from __future__ import annotations

from qlight.quantization.base import FULL_PRECISION, QuantizedTensor, Quantizer, check_bit_width
from qlight.quantization.binary import BinaryConnect, BinaryNet
from qlight.quantization.dorefa import DoReFaActivation, DoReFaWeight
from qlight.quantization.dorefa_gradient import DoReFaGradient, quantize_gradient
from qlight.quantization.fixed_point import FixedPoint
from qlight.quantization.layers import QuantConv2d, QuantLinear
from qlight.quantization.min_max import MinMaxUniform
from qlight.quantization.power_of_two import PowerOfTwo
from qlight.quantization.registry import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS, activation_quantizer, weight_quantizer
from qlight.quantization.ste import straight_through
from qlight.quantization.ternary import TTQ, TWN
from qlight.quantization.xnor import XNORNet

__all__ = [
    "ACTIVATION_QUANTIZERS",
    "FULL_PRECISION",
    "TTQ",
    "TWN",
    "WEIGHT_QUANTIZERS",
    "BinaryConnect",
    "BinaryNet",
    "DoReFaActivation",
    "DoReFaGradient",
    "DoReFaWeight",
    "FixedPoint",
    "MinMaxUniform",
    "PowerOfTwo",
    "QuantConv2d",
    "QuantLinear",
    "QuantizedTensor",
    "Quantizer",
    "XNORNet",
    "activation_quantizer",
    "check_bit_width",
    "quantize_gradient",
    "straight_through",
    "weight_quantizer",
]
