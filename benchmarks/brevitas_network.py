"""The paper's CIFAR10 network in Brevitas layers, the peer that training speed is compared with."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.quant import Int8WeightPerTensorFloat, Uint8ActPerTensorFloat
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import nn


def brevitas_network(bit_width: int, width: float) -> nn.Module:
    """The paper's CIFAR10 network in Brevitas layers."""

    class Binary(ExtendedInjector):
        bit_width_impl_type = BitWidthImplType.CONST
        scaling_impl_type = ScalingImplType.CONST
        restrict_scaling_type = RestrictValueType.FP
        zero_point_impl = ZeroZeroPoint
        float_to_int_impl_type = FloatToIntImplType.ROUND
        scaling_per_output_channel = False
        narrow_range = True
        signed = True
        bit_width = 1
        quant_type = QuantType.BINARY

    class BinaryWeight(Binary, WeightQuantSolver):
        scaling_const = 1.0

    class BinaryAct(Binary, ActQuantSolver):
        min_val = -1.0
        max_val = 1.0

    if bit_width == 1:
        weight, options = BinaryWeight, dict[str, Any]()
    else:
        weight, options = Int8WeightPerTensorFloat, {"weight_bit_width": bit_width}

    def activation() -> nn.Module:
        if bit_width == 1:
            return qnn.QuantIdentity(act_quant=BinaryAct)
        return qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bit_width)

    channels, layers = 3, list[nn.Module]()
    for position, out in enumerate(round(c * width) for c in (128, 128, 256, 256, 512, 512)):
        conv = (
            nn.Conv2d(channels, out, 3, padding=1, bias=False)
            if position == 0
            else qnn.QuantConv2d(channels, out, 3, padding=1, bias=False, weight_quant=weight, **options)
        )
        layers += [conv, *([nn.MaxPool2d(2)] if position % 2 else []), nn.BatchNorm2d(out), activation()]
        channels = out
    features = channels * 16
    layers.append(nn.Flatten())
    for _ in range(2):
        out = round(1024 * width)
        layers += [qnn.QuantLinear(features, out, bias=False, weight_quant=weight, **options), nn.BatchNorm1d(out), activation()]
        features = out
    return nn.Sequential(*layers, nn.Linear(features, 10))
