"""The constants of a QONNX file, through the operations that are applied to them."""

from __future__ import annotations

import numpy as np

from qlight.interop.arithmetic import ROUNDINGS, quantized
from qlight.interop.read import FileGraph, FileNode
from qlight.interop.refusal import refuse
from qlight.interop.weights import Constant
from qlight.intgraph.nodes import Array

_FOLDED = {"Constant", "Identity", "Cast", "Transpose", "Reshape", "Quant", "IntQuant", "BipolarQuant"}


class Constants:
    """Constants by name. Those that operations make of others are computed when they are asked for."""

    def __init__(self, file: FileGraph) -> None:
        self._found = {name: Constant(array) for name, array in file.constants.items()}
        self._makers: dict[str, FileNode] = {}
        for node in file.nodes:
            if node.output not in self and node.op in _FOLDED and all(not name or name in self for name in node.inputs):
                self._makers[node.output] = node

    def __contains__(self, name: str) -> bool:
        return name in self._found or name in self._makers

    def makes(self, node: FileNode) -> bool:
        """Whether ``node`` makes a constant."""
        return self._makers.get(node.output) is node

    def get(self, node: FileNode, position: int) -> Constant | None:
        """An input of ``node``; None where it is left out.

        Raises:
            InputError: it is no constant.
        """
        name = node.inputs[position] if position < len(node.inputs) else ""
        if not name:
            return None
        if name not in self:
            refuse(node, f"input {position} to be a constant", "a tensor that depends on the image")
        if name not in self._found:
            self._found[name] = self._computed(self._makers[name])
        return self._found[name]

    def array(self, node: FileNode, position: int) -> Array:
        """What an input is worth, which must be there and finite.

        Raises:
            InputError: it is no such constant.
        """
        constant = self.get(node, position)
        if constant is None:
            refuse(node, f"a constant as input {position}", "none")
        values = np.asarray(constant.real)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            refuse(node, f"finite numbers as input {position}", "others")
        return values

    def scalar(self, node: FileNode, position: int, what: str) -> float:
        """The one number that all elements of an input are.

        Raises:
            InputError: they differ.
        """
        values = self.array(node, position)
        if not values.size or (values != values.flat[0]).any():
            refuse(node, f"one {what} for all channels", "several")
        return float(values.flat[0])

    def bit_width(self, node: FileNode) -> int:
        """Of a Quant, 1 to 8.

        Raises:
            InputError: another.
        """
        bits = self.scalar(node, 3, "bit width")
        if bits not in range(1, 9):
            refuse(node, "1 to 8 bits", f"{bits:g}")
        return int(bits)

    def _computed(self, node: FileNode) -> Constant:
        if node.op == "Constant":
            for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
                if key in node.attributes:
                    given = node.attributes[key]
                    return Constant(given if isinstance(given, np.ndarray) else np.array(given, np.float32 if "float" in key else np.int64))
            refuse(node, "a constant of numbers", "another kind")
        source = self.get(node, 0)
        if source is None:
            refuse(node, "an input", "none")
        if node.op in ("Identity", "Cast"):
            return source
        if node.op == "Transpose":
            axes = node.attributes.get("perm")
            if axes is not None and sorted(axes) != list(range(source.values.ndim)):
                refuse(node, "`perm` to be a permutation of the axes", str(axes))
            return source.transposed(axes)
        if node.op == "Reshape":
            shape = [int(size) for size in self.array(node, 1).ravel()]
            try:
                scale = None if source.scale is None else source.scale.reshape(shape)
                return Constant(source.values.reshape(shape), scale, source.bits)
            except ValueError:
                refuse(node, "a shape that its constant fits", str(shape[:8]))
        if source.scale is not None:
            source = Constant(source.real.astype(np.float32))
        return self._binary(node, source) if node.op == "BipolarQuant" else self._quantized(node, source)

    def _scale(self, node: FileNode, position: int, source: Constant) -> Array:
        """float32 in the shape of the constant: a scale or a zero point."""
        values = self.array(node, position).astype(np.float32)
        # `broadcast_to` refuses all that would make the constant itself larger, and allocates nothing
        try:
            return np.broadcast_to(values.reshape(values.shape[-source.values.ndim :]), source.values.shape)
        except ValueError:
            refuse(node, "a scale that its weights fit", f"scale {values.shape} of weights {source.values.shape}")

    def _binary(self, node: FileNode, source: Constant) -> Constant:
        return Constant(np.where(source.values >= 0, 1, -1), self._scale(node, 1, source).astype(np.float64), 1)

    def _quantized(self, node: FileNode, source: Constant) -> Constant:
        bits, scale, zero = self.bit_width(node), self._scale(node, 1, source), self._scale(node, 2, source)
        values = source.values.astype(np.float32)
        if bits == 1 and node.attributes.get("signed", 1):  # as the qonnx package does
            integers = np.where(values / scale + zero >= 0, 1, -1)
        else:
            integers = quantized(values, scale, zero, *integer_range(node, bits), rounding(node)) - zero
        if not np.isfinite(integers).all() or (integers != np.rint(integers)).any() or np.abs(integers).max(initial=0) > 2**16:
            refuse(node, "integer weights (with an integer zero point)", "others")
        return Constant(integers.astype(np.int64), scale.astype(np.float64), bits)


def integer_range(node: FileNode, bits: int) -> tuple[int, int]:
    """The smallest and the largest integer of a Quant."""
    narrow = bool(node.attributes.get("narrow", 0))
    if node.attributes.get("signed", 1):
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def rounding(node: FileNode) -> str:
    """The rounding mode of a Quant.

    Raises:
        InputError: an unknown one.
    """
    mode = str(node.attributes.get("rounding_mode", "ROUND")).upper()
    if mode not in ROUNDINGS:
        refuse(node, f"`rounding_mode` to be one of {', '.join(ROUNDINGS)}", repr(mode[:20]))
    return mode
