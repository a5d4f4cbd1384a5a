"""An integer graph in plain ONNX: integers of the standard operations only, for onnxruntime and whatever else reads ONNX.

* Input ``pixels``: uint8 N x C x H x W, N free. Outputs ``accumulators``: int32 N x classes, and ``logits``: float64 N x classes as SPEC.md
  section 4 defines them.
* Layers are ConvInteger and MatMulInteger. Codes are uint8, binary ones 0 and 2 around the zero point 1.
* MaxPool has no int32 in onnxruntime, so accumulators are cast to float32 for it, or to float64 where they could pass 2^24.
* Threshold: direction -1 counts [acc <= T], which is (number of thresholds) - sum of [acc >= T + 1]. Up to 7 thresholds are compared one by
  one, more by binary search in a table (n comparisons for n bits).
* Flatten: ONNX has channels first, so the columns of the next Linear and the rows of thresholds between are permuted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qlight.interop.bounds import exact_in_float32
from qlight.interop.integer_layers import integer_conv, integer_linear
from qlight.interop.model import ACCUMULATORS, INPUT, LOGITS, ModelWriter, channel_first, flat_orders, tensor_name
from qlight.intgraph import Conv2d, Flatten, Graph, Linear, MaxPool, Operand, TensorType, Threshold, operands
from qlight.intgraph.nodes import BIPOLAR, Array

BATCH = "N"
#: thresholds up to here are compared one by one: quicker than a search in onnxruntime
_FEW = 7


def onnx_bytes(graph: Graph) -> bytes:
    """The file's content; see `export_onnx_integer`."""
    return _Writer(graph).build(graph, [ACCUMULATORS, LOGITS], qonnx=False)


class _Writer(ModelWriter):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        found = operands(graph)
        self.value(INPUT, np.uint8, (BATCH, *channel_first(graph.input.shape)))
        pool_type = np.dtype(np.float32)
        for node, order, source, target in zip(graph.nodes, flat_orders(graph), graph.tensors, graph.tensors[1:], strict=False):
            data, output = tensor_name(source, graph), tensor_name(target, graph)
            if isinstance(node, Conv2d | Linear):
                pool_type = np.dtype(np.float32 if exact_in_float32(node, found[source.name]) else np.float64)
            if isinstance(node, Conv2d):
                self._conv2d(node, found[source.name], data, output)
            elif isinstance(node, Linear):
                integer_linear(self, node, source, order, data, output)
            elif isinstance(node, MaxPool):
                self._max_pool(node, source, pool_type, data, output)
            elif isinstance(node, Threshold):
                self._threshold(node, source, order, data, output)
            else:
                assert isinstance(node, Flatten)
                self.node("Flatten", [data], output, axis=1)
            self.value(output, np.int32 if target.signed else np.uint8, (BATCH, *channel_first(target.shape)))
        self._logits(graph)

    def _conv2d(self, node: Conv2d, source: Operand, data: str, output: str) -> None:
        top, bottom, left, right = node.padding
        pads = [top, left, bottom, right]
        step, zero = (2, 1) if source.type.encoding == BIPOLAR else (1, 0)
        if any(pads) and node.pad_code * step != zero:
            amounts = self.constant(f"{node.name}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
            value = self.constant(f"{node.name}.pad_value", np.uint8(node.pad_code * step))
            height, width, channels = source.type.shape
            data = self.node("Pad", [data, amounts, value], f"{node.name}.padded")
            self.value(data, np.uint8, (BATCH, channels, height + top + bottom, width + left + right))
            pads = [0, 0, 0, 0]
        integer_conv(self, node, source.type, pads, data, output)

    def _max_pool(self, node: MaxPool, source: TensorType, dtype: np.dtype, data: str, output: str) -> None:
        sizes: dict[str, Any] = {"kernel_shape": node.kernel, "strides": node.stride}
        if not source.signed:
            self.node("MaxPool", [data], output, **sizes)
            return
        data = self.cast(data, f"{node.name}.real", dtype)
        self.cast(self.node("MaxPool", [data], f"{node.name}.largest", **sizes), output, np.int32)

    def _threshold(self, node: Threshold, source: TensorType, order: Array | None, data: str, output: str) -> None:
        name, step = node.name, 2 if node.encoding == BIPOLAR else 1
        falling = node.direction < 0
        thresholds = node.thresholds.astype(np.int64)
        rising = np.where(falling[:, None], thresholds[:, ::-1] + 1, thresholds).astype(np.int32)
        if order is not None:
            falling, rising = falling[order], rising[order]
        shape = (-1, *[1] * (len(source.shape) - 1))
        if node.bits == 1:
            passed = self._passed(name, data, rising[:, 0].reshape(shape), "first")
            over = self.constant(f"{name}.over", np.where(falling, 0, step).astype(np.uint8).reshape(shape))
            under = self.constant(f"{name}.under", np.where(falling, step, 0).astype(np.uint8).reshape(shape))
            self.node("Where", [passed, over, under], output)
            return
        count = self._compared(name, data, rising, shape) if rising.shape[1] <= _FEW else self._searched(name, data, rising, shape)
        if falling.any():
            sign = self.constant(f"{name}.sign", np.where(falling, -1, 1).astype(np.int32).reshape(shape))
            offset = self.constant(f"{name}.offset", np.where(falling, rising.shape[1], 0).astype(np.int32).reshape(shape))
            count = self.node("Add", [self.node("Mul", [count, sign], f"{name}.signed"), offset], f"{name}.count")
        self.cast(count, output, np.uint8)

    def _passed(self, name: str, data: str, levels: Array | str, step: str) -> str:
        """bool: data >= levels."""
        if not isinstance(levels, str):
            levels = self.constant(f"{name}.{step}_threshold", levels)
        return self.node("GreaterOrEqual", [data, levels], f"{name}.{step}_passed")

    def _compared(self, name: str, data: str, rising: Array, shape: tuple[int, ...]) -> str:
        total = None
        for index, levels in enumerate(rising.T):
            one = self.cast(self._passed(name, data, levels.reshape(shape), f"t{index}"), f"{name}.t{index}_one", np.int32)
            total = one if total is None else self.node("Add", [total, one], f"{name}.t{index}_total")
        assert total is not None
        return total

    def _searched(self, name: str, data: str, rising: Array, shape: tuple[int, ...]) -> str:
        """How many thresholds have been passed, from the highest bit of this number to the lowest: bit j is set where the threshold
        after 2^j more is passed too."""
        channels, levels = rising.shape
        table = self.constant(f"{name}.table", rising.ravel())
        first = np.arange(channels, dtype=np.int32).reshape(shape) * levels
        count = None
        for bit in reversed(range(levels.bit_length())):
            step, ahead = f"bit{bit}", (1 << bit) - 1
            if count is None:
                reached: Array | str = rising[:, ahead].reshape(shape)
            else:
                place = self.node("Add", [count, self.constant(f"{name}.{step}_first", first + np.int32(ahead))], f"{name}.{step}_place")
                reached = self.node("Gather", [table, place], f"{name}.{step}_threshold", axis=0)
            found = self.cast(self._passed(name, data, reached, step), f"{name}.{step}_one", np.int32)
            if bit:
                found = self.node("Mul", [found, self.constant(f"{name}.{step}_worth", np.int32(1 << bit))], f"{name}.{step}_found")
            count = found if count is None else self.node("Add", [count, found], f"{name}.{step}_total")
        assert count is not None
        return count

    def _logits(self, graph: Graph) -> None:
        real = self.cast(ACCUMULATORS, "logits.real", np.float64)
        scaled = self.node("Mul", [real, self.constant("logits.scale", graph.logit_scale)], "logits.scaled")
        self.node("Add", [scaled, self.constant("logits.bias", graph.logit_bias)], LOGITS)
        self.value(LOGITS, np.float64, (BATCH, len(graph.logit_scale)))
