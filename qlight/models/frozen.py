"""The layers as an evaluation view runs them: weights quantized once, nothing trained, few passes over memory.

What a run of convolution blocks computes is what the blocks compute in evaluation mode, with these differences:

* sums of small activation codes times small weight codes are whole numbers, which 8-bit arithmetic gives several times as quickly as
  float32 (`integer_conv`), and without float32's rounding. For binary networks that is the same number; for 2 to 4 bits it is the exact sum
  where the block's own is rounded;
* batch norm behind a convolution without pool and before ReLU is folded into the convolution's weights;
* the gradient of the input runs through the blocks at once: the activation's window, the pool, then the convolution with batch norm's
  slope in its weights.

So logits and gradients are those of the blocks up to rounding (the logits of binary networks bit for bit). Where rounding decides, so may
this: a quantized activation at the very edge between two codes may take the other one, and where the sums under a pool are equal, the
gradient goes to the first of them, in the blocks of 2 to 4 bits to the one that rounding made largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qlight.models.batch_norm import BatchNorm2d, norm_slope
from qlight.models.blocks import ConvBlock
from qlight.models.integer_conv import IntegerConv2d, integer_conv2d
from qlight.quantization import BinaryNet, DoReFaActivation, QuantConv2d, QuantLinear
from qlight.quantization.dorefa import levels
from qlight.quantization.ste import window

_FEW_CHANNELS = 4


def _fixed(tensor: Tensor) -> nn.Parameter:
    """A parameter of its own that is not trained."""
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


class FrozenConv2d(nn.Module):
    """A `QuantConv2d` whose weight is quantized when it is made; N x C x H x W -> N x C' x H x W. ``conv`` is left as it is."""

    def __init__(self, conv: QuantConv2d) -> None:
        super().__init__()
        with torch.no_grad():
            weight = conv.quantized_weight()
            self.weight = _fixed(weight)
            self.bias = _fixed(conv.pad_value * weight.sum((1, 2, 3))) if conv.pad_value else None
        self.shift = conv.pad_value
        self.stride, self.padding = conv.stride, conv.padding

    def forward(self, x: Tensor) -> Tensor:
        # see QuantConv2d: conv(x padded with p) = conv(x - p padded with 0) + p * sum(weight)
        return F.conv2d(x - self.shift if self.shift else x, self.weight, self.bias, self.stride, self.padding)


class FrozenLinear(nn.Module):
    """A `QuantLinear` whose weight is quantized when it is made; N x F -> N x F'."""

    def __init__(self, dense: QuantLinear) -> None:
        super().__init__()
        with torch.no_grad():
            self.weight = _fixed(dense.quantized_weight())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class FrozenNorm(nn.Module):
    """Batch norm with its running statistics; N x C x H x W."""

    def __init__(self, norm: BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.eps = norm.eps
        self.weight, self.bias = _fixed(norm.weight), _fixed(norm.bias)
        self.running_mean, self.running_var = _fixed(norm.running_mean), _fixed(norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Slope and offset of what it does to a channel, in float64; C each."""
        factor = norm_slope(self)
        return factor, self.bias.double() - factor * self.running_mean.double()


class FrozenConvBlock(nn.Module):
    """What a `ConvBlock` does in evaluation mode; N x C x H x W -> N x C' x H x W, or H/2 x W/2 with the pool.

    Args:
        block: for which `can_freeze` holds; it is left as it is.
        before: the activation whose values the block is given, if they are codes of few bits: then it also takes these codes, as uint8.
    """

    def __init__(self, block: ConvBlock, before: nn.Module | None = None) -> None:
        super().__init__()
        conv, norm, activation = (block.get_submodule(name) for name in ("conv", "norm", "activation"))
        assert isinstance(conv, QuantConv2d)
        assert isinstance(norm, BatchNorm2d)
        self.conv, self.norm = FrozenConv2d(conv), FrozenNorm(norm)
        self.pools = hasattr(block, "pool")
        self.relu, self.binary = isinstance(activation, nn.ReLU), isinstance(activation, BinaryNet)
        self.levels = levels(activation.bit_width) if isinstance(activation, DoReFaActivation) else 1
        #: the convolution of codes, where the processor has one
        self.integer = _of_codes(conv, self.conv.weight, before)
        self.folds = self.relu and not self.pools and self.integer is None
        with torch.no_grad():
            slope, offset = self.norm.affine()
            weight = (self.conv.weight * slope.view(-1, 1, 1, 1)).to(self.conv.weight.dtype)
            if self.folds:
                bias = offset if self.conv.bias is None else offset + slope * self.conv.bias
                self.conv.weight, self.conv.bias = _fixed(weight), _fixed(bias.to(weight.dtype))
            # with stride 1 the gradient of a convolution's input is a convolution with its kernels turned around
            turned = weight.flip(2, 3).transpose(0, 1)
            self.turned = _fixed(turned.contiguous(memory_format=torch.channels_last))
        self.padding = int(self.conv.padding[0])

    def forward(self, x: Tensor, gives_codes: bool = False, kept: list[Tensor] | None = None) -> Tensor:
        """
        Args:
            x: values, or uint8 codes where `takes_codes`.
            gives_codes: return uint8 codes; only with quantized activations.
            kept: what `slope` needs is appended to it.
        """
        z = self.integer(x) if x.dtype == torch.uint8 and self.integer is not None else self.conv(x)
        indices: Tensor | None = None
        if self.pools and kept is not None:
            # its gradient needs the shape and the layout of what was pooled, not the values
            whole = torch.empty_like(z)
            z, indices = F.max_pool2d(z, 2, return_indices=True)
            kept += [whole, indices]
        elif self.pools:
            z = F.max_pool2d(z, 2)
        y = z if self.folds else self.norm(z)
        value = self.activate(y, gives_codes, overwrite=self.relu or kept is None)
        if kept is not None:
            kept.append(value if self.relu else y)  # ReLU's value says as well where it is above 0
        return value

    def activate(self, y: Tensor, gives_codes: bool, *, overwrite: bool) -> Tensor:
        """The activation of batch norm's output ``y``, which may be overwritten."""
        if self.relu:
            return y.relu_() if overwrite else y.relu()
        if self.binary and gives_codes:
            return torch.ge(y, 0).view(torch.uint8)
        if self.binary:
            # a comparison into floating point is one pass over memory; NaN gives -1
            return torch.ge(y, 0, out=y if overwrite else torch.empty_like(y)).mul_(2).sub_(1)
        clipped = y.clamp_(0, 1) if overwrite else y.clamp(0, 1)
        codes = clipped.mul_(self.levels).round_()
        return codes.to(torch.uint8) if gives_codes else codes.div_(self.levels)

    def slope(self, grad: Tensor, kept: list[Tensor]) -> Tensor:
        """The gradient of the block's input values, given that of its output values; takes what `forward` kept off the end of ``kept``."""
        y = kept.pop()
        low = -1.0 if self.binary else 0.0
        grad = torch.ops.aten.threshold_backward(grad, y, 0) if self.relu else window(grad, y, low, 1.0)
        if self.pools:
            indices, whole = kept.pop(), kept.pop()
            grad = torch.ops.aten.max_pool2d_with_indices_backward(grad, whole, [2, 2], [2, 2], [0, 0], [1, 1], False, indices)
        kernel = self.turned.shape[2]
        if len(self.turned) <= _FEW_CHANNELS and grad.device.type == "cpu":
            return _few_channels(grad, self.turned, self.padding)
        return F.conv2d(grad, self.turned, None, 1, kernel - 1 - self.padding)

    def takes_codes(self, x: Tensor) -> bool:
        """Whether it can be given codes where it would be given values like ``x``."""
        return self.integer is not None and x.device.type == "cpu" and x.dtype == self.turned.dtype == torch.float32

    def extra_repr(self) -> str:
        name = "relu" if self.relu else "binary" if self.binary else f"dorefa with {self.levels + 1} levels"
        return f"pools={self.pools}, activation={name}, integer={self.integer is not None}, folds={self.folds}"


class FrozenBlocks(nn.Sequential):
    """Convolution blocks one after the other, each a `FrozenConvBlock`, with the gradient of their input.

    Args:
        blocks: by name, for all of which `can_freeze` holds.
    """

    def __init__(self, blocks: dict[str, ConvBlock]) -> None:
        super().__init__()
        before: nn.Module | None = None
        for name, block in blocks.items():
            self.add_module(name, FrozenConvBlock(block, before))
            before = block.get_submodule("activation")

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if torch.is_grad_enabled() and x.requires_grad:
            return _WithSlope.apply(x, self)  # type: ignore[no-any-return]
        return self.run(x)

    def run(self, x: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """The last block's values; what `slope` needs is appended to ``kept``."""
        blocks: Sequence[FrozenConvBlock] = list(self)  # type: ignore[arg-type]
        gives = [after.takes_codes(x) for _, after in pairwise(blocks)]
        for block, gives_codes in zip(blocks, [*gives, False], strict=True):
            x = block(x, gives_codes, kept)
        return x

    def slope(self, grad: Tensor, kept: list[Tensor]) -> Tensor:
        """The gradient of the input, given that of the values; empties ``kept``."""
        for block in reversed(list(self)):
            assert isinstance(block, FrozenConvBlock)
            grad = block.slope(grad, kept)
        return grad


class _WithSlope(torch.autograd.Function):
    """`FrozenBlocks` with the gradient of its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: FrozenBlocks) -> Tensor:
        kept: list[Tensor] = []
        value = blocks.run(x, kept)
        # with ReLU the value is kept itself: autograd must know the returned tensor as another one
        value = value.view_as(value)
        ctx.save_for_backward(*kept)
        ctx.blocks = blocks
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.blocks.slope(grad, list(ctx.saved_tensors)), None


def _few_channels(grad: Tensor, turned: Tensor, padding: int) -> Tensor:
    """The same convolution for few output channels, for which oneDNN computes 16: a product for each tap, then the sum of the taps."""
    n, channels, height, width = grad.shape
    kernel = turned.shape[2]
    taps = turned.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, channels)
    columns = taps @ grad.permute(0, 2, 3, 1).reshape(n, height * width, channels).transpose(1, 2)
    size = tuple(extent - 1 + kernel - 2 * padding for extent in (height, width))
    return F.fold(columns, size, kernel, padding=padding)  # in the layout that images come in


def can_freeze(block: nn.Module) -> bool:
    """Whether `FrozenConvBlock` does what ``block`` does: a `ConvBlock` as this package makes them, with one of the paper's activations."""
    if type(block) is not ConvBlock or hasattr(block, "gradient"):
        return False
    conv, norm, activation = (block.get_submodule(name) for name in ("conv", "norm", "activation"))
    pool = getattr(block, "pool", None)
    if pool is not None:
        settings = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")
        if type(pool) is not nn.MaxPool2d or [getattr(pool, name) for name in settings] != [2, 2, 0, 1, False, False]:
            return False
    plain_norm = type(norm) is BatchNorm2d and norm.affine and norm.running_mean is not None
    return type(conv) is QuantConv2d and plain_norm and type(activation) in (nn.ReLU, BinaryNet, DoReFaActivation)


def _of_codes(conv: QuantConv2d, weight: Tensor, before: nn.Module | None) -> IntegerConv2d | None:
    """The convolution of the codes of ``before``, an activation; None where these or the quantized weights are no codes of few bits."""
    binary = isinstance(before, BinaryNet)
    bits = getattr(conv.weight_quantizer, "bit_width", None)
    if not (binary or isinstance(before, DoReFaActivation)) or bits is None or conv.pad_value != (-1.0 if binary else 0.0):
        return None
    top, largest = levels(bits), 1 if binary else levels(before.bit_width)
    codes = (weight * top).round()
    if weight.dtype != torch.float32 or not torch.allclose(codes / top, weight, rtol=0, atol=1e-6):
        return None  # another grid, for example with a scale a channel
    # binary code a stands for 2 a - 1, also where it pads
    scale, bias = (2 / top, -weight.sum((1, 2, 3))) if binary else (1 / (top * largest), None)
    return integer_conv2d(codes, scale, bias, int(conv.padding[0]), largest)
