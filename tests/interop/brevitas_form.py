"""QONNX files in the form that Brevitas 0.13 writes, without Brevitas.

The form was taken from files of `brevitas.export.export_qonnx` of torch 2.15 (both of its exporters: ``dynamo=True``, the default since
torch 2.9, and TorchScript):

* every weight and constant is an initializer and also listed as an input of the graph;
* weights and activations pass ``Quant`` (x, scale, zero point, bit width; signed, narrow, rounding_mode) or ``BipolarQuant`` (x, scale) of
  the domain qonnx.custom_op.general, or onnx.brevitas in older versions; scales are scalars, or O x 1 x 1 x 1 per output channel;
* ReLU is Relu before an unsigned Quant, max-pools and batch norms stand where the network has them;
* Flatten is Flatten (TorchScript) or Reshape to a constant shape (dynamo);
* a dense layer is Gemm with transB; without a bias TorchScript makes it Transpose and MatMul.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


class File:
    """A file in the making: every method adds an operation on the tensor made last."""

    def __init__(self, *shape: int, seed: int = 0, domain: str = DOMAIN, constants_as_inputs: bool = True) -> None:
        self.rng, self.domain, self.as_inputs = np.random.default_rng(seed), domain, constants_as_inputs
        self.input = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, *shape))
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.last = "input"

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(array, dtype)
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [self.last], name=f"{kind}_{len(self.nodes)}", domain=domain, **attributes))
        return self.last

    def quant(self, x: str, bits: int, scale: Any, *, signed: int = 1, narrow: int = 0, zero: Any = 0.0, mode: str = "ROUND") -> str:
        inputs = (x, self.constant(scale), self.constant(zero), self.constant(bits))
        return self.op("Quant", *inputs, domain=self.domain, signed=signed, narrow=narrow, rounding_mode=mode)

    def activation(self, bits: int, scale: Any, **settings: Any) -> None:
        self.quant(self.last, bits, scale, **settings)

    def binary(self, x: str | None = None, scale: float = 1.0) -> str:
        return self.op("BipolarQuant", x or self.last, self.constant([scale]), domain=self.domain)

    def relu(self) -> None:
        self.op("Relu", self.last)

    def weight(self, bits: int, *shape: int, per_channel: bool = True) -> str:
        """The quantized weight: 1 bit is BipolarQuant."""
        before = self.last
        values = self.rng.normal(size=shape)
        if bits == 1:
            found = self.binary(self.constant(values))
        else:
            axes = tuple(range(1, len(shape)))
            scale = np.abs(values).max(axes if per_channel else None, keepdims=per_channel) / (2 ** (bits - 1) - 1)
            found = self.quant(self.constant(values), bits, scale, narrow=1)
        self.last = before
        return found

    def conv(self, bits: int, outputs: int, inputs: int, side: int = 3, pad: int = 1, stride: int = 1, bias: bool = False) -> None:
        before = self.last
        weight = self.weight(bits, outputs, inputs, side, side)
        more = [self.constant(self.rng.normal(size=outputs))] if bias else []
        sizes: dict[str, Any] = {"kernel_shape": [side, side], "pads": [pad] * 4, "strides": [stride] * 2, "dilations": [1, 1], "group": 1}
        self.op("Conv", before, weight, *more, **sizes)

    def gemm(self, bits: int, outputs: int, inputs: int, bias: bool = True) -> None:
        before = self.last
        weight = self.weight(bits, outputs, inputs)
        if bias:
            self.op("Gemm", before, weight, self.constant(self.rng.normal(size=outputs)), transB=1, alpha=1.0, beta=1.0)
        else:
            self.op("MatMul", before, self.op("Transpose", weight, perm=[1, 0]))

    def batch_norm(self, channels: int) -> None:
        """With scales of either sign and a zero."""
        weight = self.rng.normal(size=channels)
        weight[0] = 0
        arrays = (weight, self.rng.normal(size=channels), self.rng.normal(size=channels), self.rng.uniform(0.5, 20, channels))
        self.op("BatchNormalization", self.last, *(self.constant(array) for array in arrays), epsilon=1e-5, momentum=0.9)

    def pool(self) -> None:
        self.op("MaxPool", self.last, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4, dilations=[1, 1], ceil_mode=0)

    def reshape(self, features: int) -> None:
        self.op("Reshape", self.last, self.constant([1, features], np.int64), allowzero=1)

    def save(self, path: Path) -> Path:
        """Shapes of tensors between are inferred; those of QONNX's operations are those of their input."""
        values = [helper.make_tensor_value_info(name, _kind(array), array.shape) for name, array in self.constants.items()]
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        initializers = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "main", [self.input, *values * self.as_inputs], [output], initializers)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(self.domain, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="pytorch"), path)
        return path


def _kind(array: np.ndarray) -> int:
    return helper.np_dtype_to_tensor_dtype(array.dtype)
