"""Which changes of one pixel provably leave a quantized network's logits as they are: they change no code of its first layer."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.models.batch_norm import BatchNorm2d, norm_slope
from qlight.models.blocks import ConvBlock
from qlight.quantization import BinaryNet, DoReFaActivation, QuantConv2d
from qlight.quantization.dorefa import levels

_TAPS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
_DOWN, _UP = 1 - 2.0**-18, 1 + 2.0**-18  # more than the few roundings in float32 between which they stand
_UNDERFLOW = 1e-30  # more than what 27 products that underflow lose
_NO_STEP = 1e30
_INF = float("inf")


class FirstLayer:
    """The first block of a network: 3x3 convolution with real weights and zero padding, batch norm, quantizing activation, no pool.

    **Claim.** Where `unaffected` says True for an image x, a coordinate and a pixel, the block returns the same codes for x and for x' (x
    with that pixel), and so the network, whose further layers see nothing else, the same logits.

    **Proof.** For one output value let w be its kernel and z = sum w x the exact sum of n = C x 9 products, y = alpha z + beta what batch
    norm makes of it, with alpha = weight / sqrt(var + eps), beta = bias - alpha mean. Let u be the unit roundoff of the images' dtype
    (2^-24 for float32) and g(m) = m u / (1 - m u).

    1. A kernel multiplies and adds these n products in whatever order, with or without fused operations; the zeros of the padding, of the
       image or of unused vector lanes add nothing. Each of its n - 1 additions rounds a sum of some of the products, and any such sum lies
       between minus the sum N of the negative ones' sizes and the sum P of the positive ones. With S = sum |w| |x| = P + N and z = P - N
       that is at most M = (S + |z|) / 2. So (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, equation (4.3)) the
       computed z^ has |z^ - z| <= u (n M + S): one n pays for the difference between the exact and the computed partial sums, a factor of
       1 + 3 g(n), and S for the products' own rounding.
    2. Batch norm computes its result from z^, mean, var, eps, weight and bias in one of the usual ways, alpha^ z^ + beta^ or
       (z^ - mean) / std weight + bias. Written out it is alpha z^ and -alpha mean with at most 7 roundings each, and bias with at most
       2. So the network's own y^ has |y^ - y| <= E(x) = |alpha| (u (n M + 2 S) + g(8) (|z| + |mean|)) + g(3) |bias|.
    3. x' differs from x by d in one pixel, so y' = y + a with |a| = |alpha w d| for the 9 x C' outputs around it, while the kernels of all
       others are given the very same numbers. S and |z| grow by at most |w d|, so E(x') <= E(x) + ((n + 2) u + g(8)) |a|.
    4. The activation is a step function of y^ with steps at 0 (BinaryNet) or at (2k + 1) / (2 (2^b - 1)) (DoReFa with b bits; its product
       with 2^b - 1 is rounded, which moves a step by less than 2 u). So the codes are the same if no step lies within E(x') (+ 8 u) of the
       segment from y to y'. That is what is checked for all outputs around: |a| (1 + 2^-19) < distance from y to the next step in the
       direction of a, minus E(x); and E(x) < distance in the other direction.
    5. y and E are computed in float64, where the same bounds hold with its own unit roundoff; u is the sum of both. Distances minus E are
       rounded towards zero by 2^-18 on their way to float32, and underflow is met by a term of its own.

    A pixel that is as it was (d = 0 in the images' dtype) changes nothing. What is not finite is never called unaffected.

    **Where it holds** (`holds`): on a CPU, in float32 or float64, where convolutions are oneDNN's, which torch asks for the direct
    algorithm, or a matrix product. Not where the sums are others or coarser: Winograd or FFT (NNPACK without oneDNN; cuDNN on a GPU, which
    chooses freely), TF32 or bfloat16 within float32, autocast.

    Args:
        conv, norm: with the weight, and with weight, bias, running_mean, running_var and eps; looked at whenever they are needed.
        activation: BinaryNet or DoReFaActivation.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module, activation: nn.Module) -> None:
        self.conv, self.norm = conv, norm
        self.levels = levels(activation.bit_width) if isinstance(activation, DoReFaActivation) else None

    @staticmethod
    def fits(block: nn.Module) -> bool:
        """Whether ``block`` is such a first block."""
        if type(block) is not ConvBlock or hasattr(block, "pool"):
            return False
        conv, norm, activation = (block.get_submodule(name) for name in ("conv", "norm", "activation"))
        assert isinstance(conv, QuantConv2d)
        plain = type(conv) is QuantConv2d and conv.weight_quantizer is None and conv.pad_value == 0 and conv.in_channels <= 3
        same_size = (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        normal = type(norm) is BatchNorm2d and norm.affine and norm.running_mean is not None
        return plain and same_size and normal and type(activation) in (BinaryNet, DoReFaActivation)

    def holds(self) -> bool:
        """Whether the proof holds for the arithmetic that torch would use now."""
        weight = self.conv.weight
        assert isinstance(weight, Tensor)
        if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
            return False
        return weight.dtype == torch.float64 or _onednn_in_full_precision()

    @torch.no_grad()
    def unaffected(self, images: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
        """True where setting one coordinate of an image to a pixel value provably leaves the logits as they are.

        Args:
            images: n x C x H x W, of the network's dtype; any values.
            coordinates: int64, n x k: positions in the flattened image.
            pixels: n x k, or n x s x k for s values at each coordinate; of any floating-point dtype: the network sees them in its own.

        Returns:
            bool, of the shape of ``pixels``.
        """
        old = images.flatten(1).gather(1, coordinates).double()
        below, above = self.room(images, coordinates)
        if pixels.dim() == 3:
            old, below, above = (x[:, None] for x in (old, below, above))
        change = pixels.to(images.dtype).double() - old
        return ((change > -below) & (change < above)) | (change == 0)

    def room(self, images: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """How far each pixel may at least go down, and up, without changing a code; <= 0 or NaN: not at all. Float32, n x k each."""
        n, _, height, width = images.shape
        slack = self._slack(images)
        down, up = self._per_gain()
        # the rows of `slack` around each coordinate, in a frame of outputs that do not exist and have all the room
        channel = coordinates // (height * width)
        row, column = coordinates // width % height, coordinates % width
        taps = torch.tensor([(1 - i) * (width + 2) + 1 - j for i, j in _TAPS], device=images.device)
        base = torch.arange(n, device=images.device)[:, None] * (height + 2) * (width + 2) + row * (width + 2) + column
        around = slack.flatten(0, 2).index_select(0, (base[:, :, None] + taps).flatten()).view(*coordinates.shape, down.shape[1])
        down, up = (worth.index_select(0, channel.flatten()).view(around.shape) for worth in (down, up))
        return down.mul_(around).amin(2), up.mul_(around).amin(2)

    def _alpha(self) -> tuple[Tensor, Tensor, Tensor]:
        """alpha, mean and bias of batch norm in float64; C' each."""
        norm = self.norm
        mean, bias = (getattr(norm, name).double() for name in ("running_mean", "bias"))
        return norm_slope(norm), mean, bias

    def _per_gain(self) -> tuple[Tensor, Tensor]:
        """What a row of `_slack` around a pixel is worth in changes of the pixel, down and up: float32, C x (9 x 2 C') each.

        1 / |alpha w|, rounded down, for the side to which the output goes, and 1e30 for the other, which thus has all the room, or none
        where its slack is negative; a gain below 1e-30 may count as 1e-30. Tap (i, j) is the kernel's element for the input at (i, j) from
        the output, so that the output lies at (-i, -j) from the pixel.
        """
        weight = self.conv.weight
        assert isinstance(weight, Tensor)
        gain = (self._alpha()[0].view(-1, 1, 1, 1) * weight.double()).permute(1, 2, 3, 0).flatten(1, 2)
        rising, falling = (torch.where(side > 0, _DOWN / side, _NO_STEP).clamp(max=_NO_STEP).float() for side in (gain, -gain))
        return torch.cat([rising, falling], 2).flatten(1), torch.cat([falling, rising], 2).flatten(1)

    def _slack(self, images: Tensor) -> Tensor:
        """Distance from y to the next step below, then above, minus E: float32, n x (H + 2) x (W + 2) x 2 C'.

        About 1e30 where there is no such step, infinite in the frame; not above 0 on one side where the code of the image itself is not
        certain. Written as arithmetic since torch's selections are twenty times as slow.
        """
        weight = self.conv.weight
        assert isinstance(weight, Tensor)
        alpha, mean, bias = self._alpha()
        u = torch.finfo(images.dtype).eps / 2 + torch.finfo(torch.float64).eps / 2
        images, weight = images.to(memory_format=torch.channels_last), weight.detach().to(memory_format=torch.channels_last)

        def g(m: int) -> float:
            return m * u / (1 - m * u)

        z = F.conv2d(images.double(), weight.double(), padding=1).permute(0, 2, 3, 1)
        total = F.conv2d(images.abs(), weight.abs(), padding=1).permute(0, 2, 3, 1).float()
        size, margin = alpha.abs(), 0 if self.levels is None else 8 * u
        half = u * weight[0].numel() / 2
        fixed = g(8) * size * mean.abs() + g(3) * bias.abs() + _UNDERFLOW * (1 + size) + margin
        by_total, by_z, fixed = ((_UP * x).float() for x in ((half + 2 * u) * size, (half + g(8)) * size, fixed))
        error = torch.addcmul(fixed, total, by_total).addcmul_(z.float().abs_(), by_z).mul_(_UP)
        offset = bias - alpha * mean
        if self.levels is None:
            falls = torch.addcmul(offset, z, alpha).float()
            rises = -falls
            below, above = falls.lt(0).float(), rises.lt(0).float()
        else:
            top = self.levels - 1
            steps = torch.addcmul(offset * self.levels - 0.5, z, alpha * self.levels)  # the activation's steps are at 0, 1, ..., top
            under = steps.floor().clamp_(-1, top)
            falls = steps.sub_(under)
            rises = (1 - falls).float().div_(self.levels)
            falls, under = falls.float().div_(self.levels), under.float()
            below, above = under.lt(0).float(), under.ge_(top)
        falls.mul_(_DOWN).add_(below, alpha=_NO_STEP)
        rises.mul_(_DOWN).add_(above, alpha=_NO_STEP)
        n, height, width, outputs = z.shape
        slack = torch.full((n, height + 2, width + 2, 2 * outputs), _INF, dtype=torch.float32, device=images.device)
        inside = slack[:, 1:-1, 1:-1]
        torch.sub(falls, error, out=inside[..., :outputs])
        torch.sub(rises, error, out=inside[..., outputs:])
        return slack


def _onednn_in_full_precision() -> bool:
    """Whether float32 convolutions on the CPU are oneDNN's, in float32."""
    mkldnn = torch.backends.mkldnn
    if not (mkldnn.is_available() and getattr(mkldnn, "enabled", True)):
        return False
    settings = [torch.backends, mkldnn, getattr(mkldnn, "conv", None), getattr(mkldnn, "matmul", None)]
    wished = {getattr(setting, "fp32_precision", "none") for setting in settings if setting is not None}
    modes = {os.environ.get(name, "strict").lower() for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")}
    return wished <= {"none", "ieee"} and modes <= {"strict"}
