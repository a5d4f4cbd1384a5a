"""What the tests of all quantizers share: inputs in every dtype, and the promises of the base class."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import torch
from hypothesis import strategies as st
from torch import Tensor

from qlight.quantization import QuantizedTensor, Quantizer

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
EXACT_DTYPES = (torch.float32, torch.float64)

# -0.0, the ends of equation (1), ties of round and halves of powers of two are where implementations differ.
_CORNERS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 0.25, 0.75, -0.75, 1.5, -1.5, 0.125, 2.0, -2.0)


@st.composite
def tensors(
    draw: st.DrawFn, low: float = -3.0, high: float = 3.0, dtypes: Iterable[torch.dtype] = DTYPES, max_size: int = 16, rows: int = 0
) -> Tensor:
    """A tensor of 1 to ``max_size`` numbers in [low, high]; with ``rows``, rows x that many."""
    dtype = draw(st.sampled_from(list(dtypes)))
    columns = draw(st.integers(1, max_size))
    corner = st.sampled_from([c for c in _CORNERS if low <= c <= high])
    element = st.one_of(corner, st.floats(low, high, width=32), st.integers(-64, 64).map(lambda i: max(low, min(high, i / 32))))
    numbers = draw(st.lists(element, min_size=max(rows, 1) * columns, max_size=max(rows, 1) * columns))
    x = torch.tensor(numbers, dtype=torch.float64).to(dtype)
    return x.reshape(rows, columns) if rows else x


def fractions(x: Tensor) -> list[Fraction]:
    """The numbers of ``x`` without any rounding."""
    return [Fraction(number) for number in x.double().flatten().tolist()]


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal dtype, shape and bits (unlike ``torch.equal``, 0.0 and -0.0 differ)."""
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.dtype.itemsize]
    return a.dtype == b.dtype and torch.equal(a.detach().view(integer), b.detach().view(integer))


def gradient_of(module: torch.nn.Module, x: Tensor, grad: Tensor) -> Tensor:
    """The gradient that ``x`` gets where the module's output gets ``grad``."""
    leaf = x.detach().clone().requires_grad_()
    module(leaf).backward(grad)
    assert leaf.grad is not None
    return leaf.grad


def check_promises(quantizer: Quantizer, x: Tensor, seed: int = 0) -> QuantizedTensor:
    """Assert all that the base class promises of ``quantizer(x)`` and ``quantizer.quantize(x)``; return the latter."""
    before = x.clone()
    torch.manual_seed(seed)
    forward = quantizer(x)
    torch.manual_seed(seed)
    quantized = quantizer.quantize(x)

    assert same_bits(x, before)
    assert forward.shape == quantized.value.shape == quantized.code.shape == x.shape
    assert forward.dtype == quantized.value.dtype == x.dtype
    assert same_bits(forward, quantized.value)

    assert quantized.code.dtype == torch.int32
    assert (quantized.bit_width, quantized.signed) == (quantizer.bit_width, quantizer.signed)
    smallest, largest = (-(2 ** (quantizer.bit_width - 1)), 2 ** (quantizer.bit_width - 1) - 1)
    if not quantizer.signed:
        smallest, largest = 0, 2**quantizer.bit_width - 1
    assert smallest <= int(quantized.code.min())
    assert int(quantized.code.max()) <= largest

    zero_point = quantized.zero_point
    zero_point = zero_point.double() if isinstance(zero_point, Tensor) else zero_point
    dequantized = (quantized.code.double() - zero_point) * quantized.scale.double()
    value = quantized.value.double()
    slack = 4 * torch.finfo(x.dtype).eps * float(value.abs().max()) + torch.finfo(x.dtype).tiny
    assert float((dequantized - value).abs().max()) <= slack
    return quantized
