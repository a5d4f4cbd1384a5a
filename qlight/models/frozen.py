"""The blocks as an evaluation view runs them: weights quantized once, nothing trained, few passes over memory.

Every number is the one that the block itself computes in evaluation mode, bit for bit, and so is every gradient of the input:

* after binary activations a convolution takes codes 0 and 1 with twice the weight, where the block's own takes -1 and +1, adds 1 and so
  multiplies 0 and 2 by the weight: the products are the same floating-point numbers (a factor of 2 is exact), added in the same order;
* the sums of these codes and of binary weights are whole numbers, which 8-bit arithmetic gives as well (`integer_conv`), and quicker;
* batch norm's forward pass is torch's; its backward pass multiplies by 1 / std and then by the weight, as torch's does, without the two
  sums over the batch that only training needs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qlight.models.batch_norm import BatchNorm2d
from qlight.models.blocks import ConvBlock
from qlight.models.integer_conv import convolve, integer_conv2d
from qlight.quantization import BinaryNet, DoReFaActivation, QuantConv2d, QuantLinear
from qlight.quantization.dorefa import levels
from qlight.quantization.ste import window


def _fixed(tensor: Tensor) -> nn.Parameter:
    """A parameter of its own that is not trained."""
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


class FrozenConv2d(nn.Module):
    """A `QuantConv2d` whose weight is quantized when it is made; N x C x H x W -> N x C' x H x W.

    Args:
        conv: the layer; it is left as it is.
        takes_codes: whether the input is codes 0 and 1 for -1 and +1; only where `conv` pads with -1.
    """

    def __init__(self, conv: QuantConv2d, takes_codes: bool = False) -> None:
        super().__init__()
        with torch.no_grad():
            weight = conv.quantized_weight()
            offset = conv.pad_value * weight.sum((1, 2, 3)) if conv.pad_value else None
            self.weight = _fixed(2 * weight if takes_codes else weight)
            #: the same sums in 8-bit arithmetic, where they are whole numbers and the processor can
            self.integer = (
                integer_conv2d(weight, 2.0, offset, int(conv.padding[0])) if takes_codes and weight.dtype == torch.float32 else None
            )
        self.bias = None if offset is None else _fixed(offset)
        self.shift = 0.0 if takes_codes else conv.pad_value
        self.stride, self.padding = conv.stride, conv.padding

    def forward(self, x: Tensor) -> Tensor:
        if self.integer is not None and x.device.type == "cpu" and self.weight.dtype == torch.float32:
            return convolve(x, self.weight, self.integer)
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


class _Norm(nn.Module):
    """Batch norm with its running statistics, N x C x H x W, and the gradient of its input."""

    def __init__(self, norm: BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.eps = norm.eps
        self.weight, self.bias = _fixed(norm.weight), _fixed(norm.bias)
        self.running_mean, self.running_var = _fixed(norm.running_mean), _fixed(norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def backward(self, grad: Tensor, factor: float) -> Tensor:
        """The gradient of the input times ``factor``, a power of 2; overwrites ``grad``, that of the output."""
        if grad.device.type == "cpu" and grad.dtype == torch.float32 and grad.is_contiguous(memory_format=torch.channels_last):
            # as torch's kernel for this layout: 1 / std in float64, rounded, then two products
            inverse = factor / (self.running_var.double() + self.eps).sqrt()
            return grad.mul_(inverse.to(grad.dtype).view(-1, 1, 1)).mul_(self.weight.view(-1, 1, 1))
        none = grad.new_empty(0)
        wanted = [True, False, False]  # its input is not looked at in evaluation mode
        arguments = (self.weight, self.running_mean, self.running_var, none, none, False, self.eps, wanted)
        return torch.ops.aten.native_batch_norm_backward(grad, grad, *arguments)[0].mul_(factor)


class _NormActivation(torch.autograd.Function):
    """Batch norm and activation; backward the window of the straight-through estimator, then batch norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: FrozenConvBlock) -> Tensor:
        y = block.norm(x)
        value = block.activate(y, overwrite=block.relu)
        ctx.save_for_backward(value if block.relu else y)  # ReLU's value says as well where it is above 0
        ctx.block = block
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        block = ctx.block
        low = -1.0 if block.binary else 0.0
        passed = torch.ops.aten.threshold_backward(grad, y, 0) if block.relu else window(grad, y, low, 1.0)
        # the value is 2 code - 1, so its gradient is half that of the code
        return block.norm.backward(passed, 0.5 if block.gives_codes else 1.0), None


class FrozenConvBlock(nn.Module):
    """What a `ConvBlock` does in evaluation mode; N x C x H x W -> N x C' x H x W, or H/2 x W/2 with the pool.

    Args:
        block: for which `can_freeze` holds; it is left as it is.
        takes_codes: the input is codes 0 and 1 for -1 and +1.
        gives_codes: so is the output; only of a block with binary activations.
    """

    def __init__(self, block: ConvBlock, takes_codes: bool = False, gives_codes: bool = False) -> None:
        super().__init__()
        conv, norm, activation = (block.get_submodule(name) for name in ("conv", "norm", "activation"))
        assert isinstance(conv, QuantConv2d)
        assert isinstance(norm, BatchNorm2d)
        self.conv = FrozenConv2d(conv, takes_codes)
        self.gradient = getattr(block, "gradient", None)
        self.pools = hasattr(block, "pool")
        self.norm = _Norm(norm)
        self.relu, self.binary = isinstance(activation, nn.ReLU), isinstance(activation, BinaryNet)
        self.levels = levels(activation.bit_width) if isinstance(activation, DoReFaActivation) else 1
        self.gives_codes = gives_codes
        #: whether codes may be uint8 where no gradient is asked for: the next block's convolution takes them
        self.gives_bytes = False

    def activate(self, y: Tensor, *, overwrite: bool) -> Tensor:
        """The activation of batch norm's output ``y``, which may be overwritten."""
        if self.relu:
            return y.relu_() if overwrite else y.relu()
        if self.binary:
            # a comparison into floating point is one pass over memory; NaN gives the code 0
            code = torch.ge(y, 0, out=y if overwrite else torch.empty_like(y))
            return code if self.gives_codes else code.mul_(2).sub_(1)
        clipped = y.clamp_(0, 1) if overwrite else y.clamp(0, 1)
        return clipped.mul_(self.levels).round_().div_(self.levels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.gradient is not None:
            x = self.gradient(x)
        if self.pools:
            x = F.max_pool2d(x, 2)
        if torch.is_grad_enabled() and x.requires_grad:
            return _NormActivation.apply(x, self)  # type: ignore[no-any-return]
        y = self.norm(x)
        if self.gives_bytes and y.dtype == torch.float32 and y.device.type == "cpu":
            return torch.ge(y, 0).view(torch.uint8)
        return self.activate(y, overwrite=True)

    def extra_repr(self) -> str:
        name = "relu" if self.relu else "binary" if self.binary else f"dorefa with {self.levels + 1} levels"
        return f"pools={self.pools}, activation={name}, gives_codes={self.gives_codes}"


def can_freeze(block: nn.Module) -> bool:
    """Whether `FrozenConvBlock` does what ``block`` does: a `ConvBlock` as this package makes them, with one of the paper's activations."""
    if type(block) is not ConvBlock:
        return False
    conv, norm, activation = (block.get_submodule(name) for name in ("conv", "norm", "activation"))
    pool = getattr(block, "pool", None)
    if pool is not None:
        settings = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")
        if type(pool) is not nn.MaxPool2d or [getattr(pool, name) for name in settings] != [2, 2, 0, 1, False, False]:
            return False
    plain_norm = type(norm) is BatchNorm2d and norm.affine and norm.running_mean is not None
    return type(conv) is QuantConv2d and plain_norm and type(activation) in (nn.ReLU, BinaryNet, DoReFaActivation)
