"""Convolutions of small integer codes in 8-bit arithmetic, several times as quick as in float32 and exact.

oneDNN multiplies unsigned activation codes by signed weight codes into 32-bit integers, as torch's own quantized networks do. Codes of up
to 4 bits fit: a pair of products stays within 16 bits, which matters on processors whose instruction adds pairs before it widens. The sums
are whole numbers, and so are float32's as long as they stay below 2^24: both give the same number.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_EXACT = 2**24
_LARGEST_CODE = 15


class IntegerConv2d:
    """sum over the kernel of code * weight_code, times ``scale``, plus ``bias``; for a CPU, without a gradient of the weight.

    Args:
        weight_codes: whole numbers from -15 to 15, C' x C x K x K.
        scale: of the result; exact where it is a power of 2.
        bias: C', added to the scaled sums.
        padding: zeros around the codes.
        largest_code: of the input, up to 15.
    """

    def __init__(self, weight_codes: Tensor, scale: float, bias: Tensor | None, padding: int, largest_code: int) -> None:
        self._made_of = (weight_codes, scale, bias, padding, largest_code)
        self.padding = [padding, padding]
        self.bias = bias
        codes = weight_codes.detach().cpu()
        channels = len(codes)
        self._scales = torch.full((channels,), scale)
        self._zeros = torch.zeros(channels, dtype=torch.int64)
        shape = [1, codes.shape[1], 8, 8]
        arguments = ([1, 1], self.padding, [1, 1], 1, shape)
        self._packed = torch.ops.onednn.qconv_prepack(codes.to(torch.int8), self._scales, 1.0, 0, *arguments)
        self.largest_code = largest_code

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are packed anew: what oneDNN packs cannot be copied."""
        return IntegerConv2d, self._made_of

    def __call__(self, codes: Tensor) -> Tensor:
        """float32, N x C' x H' x W', of uint8 codes N x C x H x W."""
        arguments = ([1, 1], self.padding, [1, 1], 1, 1.0, 0, torch.float32, "none", [], "")
        return torch.ops.onednn.qconv2d_pointwise(codes, 1.0, 0, self._packed, self._scales, self._zeros, self.bias, *arguments)


def integer_conv2d(
    weight_codes: Tensor, scale: float = 1.0, bias: Tensor | None = None, padding: int = 1, largest_code: int = 1
) -> IntegerConv2d | None:
    """An `IntegerConv2d`, or None where this build of torch, this processor or these codes do not allow one.

    It is tried once on random codes against float32, whose sums are exact there: both may differ by the rounding of the scaled sum only.

    >>> conv = integer_conv2d(torch.ones(1, 1, 3, 3))
    >>> conv is None or conv(torch.ones(1, 1, 4, 4, dtype=torch.uint8))[0, 0, 1, 1].item() == 9
    True
    """
    whole = weight_codes.detach().float().cpu()
    fits = bool((whole == whole.round()).all()) and float(whole.abs().max()) <= _LARGEST_CODE and largest_code <= _LARGEST_CODE
    if not fits or float(whole.abs().flatten(1).sum(1).max()) * largest_code >= _EXACT:
        return None
    try:
        conv = IntegerConv2d(whole, scale, bias, padding, largest_code)
        generator = torch.Generator().manual_seed(0)
        codes = torch.randint(0, largest_code + 1, (2, whole.shape[1], 6, 6), generator=generator)
        codes = codes.contiguous(memory_format=torch.channels_last)
        expected = F.conv2d(codes.float(), whole, padding=padding) * scale
        expected = expected if bias is None else expected + bias.view(-1, 1, 1)
        found = conv(codes.to(torch.uint8))
    except (AttributeError, RuntimeError, NotImplementedError):  # another build or processor
        return None
    return conv if torch.allclose(found, expected, rtol=1e-6, atol=scale / 4) else None
