"""The one sentence for a file that no integer graph can stand for."""

from __future__ import annotations

from typing import NoReturn

from qlight.errors import InputError
from qlight.interop.read import FileNode, shown

SUPPORTED = (
    "Conv, Gemm, MatMul, ConvInteger, MatMulInteger, Quant, BipolarQuant, MultiThreshold, BatchNormalization, Relu, Mul, Div, Add, Sub, "
    "MaxPool, Pad, Concat, Flatten, Reshape, Identity, Cast, Dropout"
)


def refuse(node: FileNode, expected: str, got: str) -> NoReturn:
    """Say what of a node is not supported, and what is.

    Raises:
        InputError: always.
    """
    raise InputError(f"Expected {expected}, but node {shown(node.name)} ({shown(node.op)}) of the QONNX file has {got}.")


def refuse_operation(node: FileNode) -> NoReturn:
    """Say that an operation is not supported, and which are.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"Expected operations of a sequential network, but the QONNX file has node {shown(node.name)} ({shown(node.op)}); "
        f"supported are {SUPPORTED}; qonnx.util.cleanup removes some others."
    )
