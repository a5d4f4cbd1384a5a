"""How the logits of a network with ReLU differ when one value of an image does, computed in the windows of its maps that differ."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qlight.models.batch_norm import BatchNorm1d, norm_slope
from qlight.models.blocks import DenseBlock
from qlight.models.frozen import FrozenBlocks, FrozenConvBlock, FrozenLinear
from qlight.models.network import PaperNetwork
from qlight.models.windows import Maps, Windows, rectified, steps, through


class Differences:
    """Differences of logits between an image and images that differ from it in one value.

    One value of an image changes 3 x 3 outputs of the first convolution, 5 x 5 of the second, 3 x 3 cells behind its pool, and so on: the
    maps of the image itself are computed once, and for each change only the window of every map that it can reach, until windows are no
    longer much smaller than the map. Each step computes with the difference, not with the value:

    * convolutions and dense layers are linear: they map the difference, without bias; batch norm has its slope;
    * where the outputs z_i of a cell of the pool differ by d_i: max (z_i + d_i) - max z_i = max (gap_i + d_i), gap_i = z_i - max z <= 0;
    * where the input y of ReLU differs by d: max(y + d, 0) - max(y, 0) = max(d + min(y, 0), -max(y, 0)).

    No two numbers that are nearly equal are subtracted, so that a difference has the relative precision of its type however small it is;
    that of two forward passes has the rounding of the logits. Outside a map is the network's zero padding, which does not change.

    **One pass for several changes of a value.** As functions of the size of a change, both steps above are convex and 0 at 0. Such a
    function f is linear on [-1, 1] exactly if f(1) = -f(-1), and so the composition of steps that are. The difference that the largest of
    the changes makes is followed first, for all changes of this value; if at every output of every step that equation holds, which it
    mostly does for changes as small as ZOO's, the differences of the others are multiples of it. If not, each is followed by itself.

    Args:
        network: for which `fits` holds; its parameters are looked at whenever something is computed.
    """

    def __init__(self, network: PaperNetwork) -> None:
        self.blocks: list[FrozenConvBlock] = list(network.features)  # type: ignore[arg-type]
        self.dense: list[tuple[FrozenLinear, BatchNorm1d]] = [(block.dense, block.norm) for block in network.dense]  # type: ignore[misc]
        self.output = network.output

    @staticmethod
    def fits(network: PaperNetwork) -> bool:
        """Whether ``network``, of a view, is 3x3 convolution blocks with zero padding and dense blocks, all with ReLU, and the output."""
        return type(network.features) is FrozenBlocks and all(map(_fits, [*network.features, *network.dense]))

    def holds(self) -> bool:
        """Whether torch would compute in float32 or float64 now, on a CPU or with CUDA."""
        weight, device = self.output.weight, self.output.weight.device.type
        known = device in ("cpu", "cuda") and weight.dtype in (torch.float32, torch.float64)
        return known and not torch.is_autocast_enabled(device)

    @torch.no_grad()
    def __call__(self, images: Tensor, which: Tensor, coordinates: Tensor, pixels: Tensor) -> Tensor:
        """Logits of an image with one value replaced, minus the logits of the image.

        Args:
            images: n x C x H x W, of the network's dtype.
            which: int64, m: the images that values are replaced in.
            coordinates: int64, m: the positions of these values in the flattened images.
            pixels: m x s: s replacements for each, of any floating-point dtype: the network sees them in its own.

        Returns:
            m x s x classes.
        """
        points = _Points(self, images)
        moves = pixels.to(images.dtype).double() - images.flatten(1)[which, coordinates].double()[:, None]
        largest = moves.abs().amax(1)
        rows, unit = points.follow(which, coordinates, largest, together=True)
        shares = (moves / torch.where(largest > 0, largest, 1.0)[:, None]).to(unit.dtype)
        result = unit.new_empty(*pixels.shape, unit.shape[1])
        result[rows] = shares[rows, :, None] * unit[:, None]
        alone = torch.ones_like(which, dtype=torch.bool).index_fill_(0, rows, False)
        row, side = alone[:, None].expand(pixels.shape).nonzero().unbind(1)
        for first in range(0, len(row), max(1, len(which))):  # no more at once than before
            r, s = row[first : first + len(which)], side[first : first + len(which)]
            result[r, s] = points.follow(which[r], coordinates[r], moves[r, s], together=False)[1]
        return result


class _Points:
    """What a network computes at images, and what changes of their values make of that.

    Args:
        network: which.
        images: n x C x H x W.
    """

    def __init__(self, network: Differences, images: Tensor) -> None:
        self.network, (self.channels, self.height, self.width) = network, images.shape[1:]
        self.steps = steps([block.pools for block in network.blocks], self.height, self.width)
        self.maps: list[Maps] = []
        self.values: list[Tensor] = []  # what the dense blocks' ReLUs are given: n x F each
        x = images.to(memory_format=torch.channels_last)
        for block, step in zip(network.blocks, self.steps, strict=True):
            maps, x = Maps.of(block, step, x)
            self.maps.append(maps)
        x = x.flatten(1)
        for dense, norm in network.dense:
            self.values.append(norm(dense(x)))
            x = self.values[-1].relu()

    def follow(self, which: Tensor, coordinates: Tensor, moves: Tensor, *, together: bool) -> tuple[Tensor, Tensor]:
        """Differences of logits by changes of single values.

        Args:
            which, coordinates: int64, m.
            moves: by how much the values change, m.
            together: only those that are linear between minus the change and the change.

        Returns:
            Which of the m they are, int64, and the differences, for each of these x classes.
        """
        rows = torch.arange(len(which), device=which.device)
        channel, position = coordinates // (self.height * self.width), coordinates % (self.height * self.width)
        change = (F.one_hot(channel, self.channels) * moves[:, None]).to(self.network.output.weight.dtype)
        windows = Windows(change[:, :, None, None], which, position // self.width, position % self.width)
        for block, step, maps in zip(self.network.blocks, self.steps, self.maps, strict=True):
            windows, linear = through(windows, block, step, maps, together)
            if linear is not None and not bool(linear.all()):
                kept = linear.nonzero()[:, 0]
                rows, windows = rows[kept], windows[kept]
        u, which = windows.differences.flatten(1), windows.which
        for (dense, norm), value in zip(self.network.dense, self.values, strict=True):
            u, linear = rectified(dense(u) * norm_slope(norm).to(u.dtype), value[which], together)
            if linear is not None:
                rows, u, which = rows[linear], u[linear], which[linear]
        return rows, F.linear(u, self.network.output.weight)


def _fits(block: nn.Module) -> bool:
    if isinstance(block, FrozenConvBlock):
        conv = block.conv
        same_size = (tuple(conv.weight.shape[2:]), conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        return block.relu and block.integer is None and conv.shift == 0 and same_size
    if type(block) is not DenseBlock or hasattr(block, "gradient"):
        return False
    dense, norm, activation = (block.get_submodule(name) for name in ("dense", "norm", "activation"))
    plain_norm = type(norm) is BatchNorm1d and norm.affine and norm.running_mean is not None
    return type(dense) is FrozenLinear and plain_norm and type(activation) is nn.ReLU
