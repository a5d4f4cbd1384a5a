"""What a graph is made of: tensor types and the five operations. SPEC.md says what each field means; nothing is checked here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

#: activation encodings: how the codes of a tensor are read as integers (SPEC.md section 2)
UNSIGNED, BIPOLAR, ACCUMULATOR = "unsigned", "bipolar", "accumulator"
#: weight encodings
ODD, SIGNED = "odd", "signed"

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorType:
    """A named tensor: one image's shape (H, W, C) or (F,), how its codes are read, and of how many bits they are.

    >>> TensorType("acc", (4, 4, 8), "accumulator", 13).signed
    True
    """

    name: str
    shape: tuple[int, ...]
    encoding: str
    bits: int

    @property
    def signed(self) -> bool:
        """Whether the stored integer is two's complement; codes are unsigned."""
        return self.encoding == ACCUMULATOR

    @property
    def channels(self) -> int:
        """The size of the last axis."""
        return self.shape[-1]


@dataclass(frozen=True, eq=False)
class Node:
    """An operation that reads the tensor ``input`` and makes the tensor ``output``. Arrays are copied and read-only."""

    #: fields that graph.json holds besides name, input and output: str, int, or how many integers the tuple has
    INTEGERS: ClassVar[dict[str, type[str] | type[int] | int]] = {}
    #: fields that tensors.safetensors holds as "<node>.<field>", with the dtypes they may have
    ARRAYS: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: those of ARRAYS that may be None
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()

    name: str
    input: str
    output: str

    def __post_init__(self) -> None:
        for field in self.ARRAYS:
            object.__setattr__(self, field, frozen(getattr(self, field)))

    @property
    def op(self) -> str:
        """The name of the operation, as in graph.json."""
        return type(self).__name__

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that are there, with their names in tensors.safetensors."""
        for field in self.ARRAYS:
            value = getattr(self, field)
            if value is not None:
                yield f"{self.name}.{field}", value


@dataclass(frozen=True, eq=False)
class Conv2d(Node):
    """acc[y, x, o] = sum over i, j, c of w[o, i, j, c] * a[y * stride_h + i - top, x * stride_w + j - left, c].

    Attributes:
        kernel: (height, width).
        stride: (down, across).
        padding: (top, bottom, left, right), filled with the code ``pad_code`` of the input's encoding.
        weight_encoding: ``odd`` (code k of n bits is the integer 2k - (2^n - 1)) or ``signed`` (k itself).
        weight_bits: 1 to 8 (odd), 2 to 8 (signed).
        weight: codes, out x kernel height x kernel width x in; uint8 (odd) or int8 (signed).
        weight_scale: float64, out; one integer step of a channel's weights in real numbers. Metadata: never executed.
    """

    INTEGERS: ClassVar = {"kernel": 2, "stride": 2, "padding": 4, "pad_code": int, "weight_encoding": str, "weight_bits": int}
    ARRAYS: ClassVar = {"weight": ("uint8", "int8"), "weight_scale": ("float64",)}
    OPTIONAL: ClassVar = frozenset({"weight_scale"})

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    pad_code: int
    weight_encoding: str
    weight_bits: int
    weight: Array
    weight_scale: Array | None = None


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """acc[o] = sum over f of w[o, f] * a[f]. Attributes as in `Conv2d`; ``weight`` is out x in."""

    INTEGERS: ClassVar = {"weight_encoding": str, "weight_bits": int}
    ARRAYS: ClassVar = {"weight": ("uint8", "int8"), "weight_scale": ("float64",)}
    OPTIONAL: ClassVar = frozenset({"weight_scale"})

    weight_encoding: str
    weight_bits: int
    weight: Array
    weight_scale: Array | None = None


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """The largest code or accumulator of each window, channel by channel; no padding, a rest at the edge is dropped."""

    INTEGERS: ClassVar = {"kernel": 2, "stride": 2}

    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Threshold(Node):
    """y = sum over i of [d * acc >= d * T_i], a code of ``bits`` bits.

    Attributes:
        encoding: of the output, ``unsigned`` or ``bipolar``.
        bits: of the output, n.
        thresholds: T, int32, channels x (2^n - 1), with d * T ascending along the second axis.
        direction: d, int8, channels, +1 or -1.
        output_scale: float64, (1,); one integer step of the output in real numbers. Metadata: never executed.
    """

    INTEGERS: ClassVar = {"encoding": str, "bits": int}
    ARRAYS: ClassVar = {"thresholds": ("int32",), "direction": ("int8",), "output_scale": ("float64",)}
    OPTIONAL: ClassVar = frozenset({"output_scale"})

    encoding: str
    bits: int
    thresholds: Array
    direction: Array
    output_scale: Array | None = None


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """(H, W, C) -> (H * W * C,) in row-major order: element (y, x, c) goes to (y * W + x) * C + c."""


OPS: dict[str, type[Node]] = {kind.__name__: kind for kind in (Conv2d, Linear, MaxPool, Threshold, Flatten)}


def frozen(array: Any) -> Any:
    """A read-only C-ordered copy of an array; anything else as it is (validation says what is wrong with it)."""
    if not isinstance(array, np.ndarray):
        return array
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


def json_fields(kind: type[Node]) -> list[str]:
    """The fields of an operation that graph.json holds, in order.

    >>> json_fields(MaxPool)
    ['name', 'input', 'output', 'kernel', 'stride']
    """
    return [field.name for field in fields(kind) if field.name not in kind.ARRAYS]
