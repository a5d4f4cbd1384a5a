"""Windows of feature maps: where a change of one value of an image can reach, and how its difference passes a convolution block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qlight.models.batch_norm import norm_slope
from qlight.models.frozen import FrozenConvBlock

_WORTH = 0.75  # share of a map up to which a window of it is computed by itself
_FAR = 1e15  # larger than any difference; finite, so that its product with a slope of 0 is 0


@dataclass(frozen=True)
class Step:
    """Where a convolution block computes.

    Attributes:
        height, width: of the window of its input, or of the whole map.
        whole: which of them.
        frame: how far a window of its values can reach beyond their map.
    """

    height: int
    width: int
    whole: bool
    frame: int


def steps(pools: Iterable[bool], height: int, width: int) -> list[Step]:
    """The steps of 3x3 convolution blocks, with or without a 2x2 pool, on an image of which one value changes.

    A window of side w makes one of w + 2 outputs in a row. These touch at most (w + 2) // 2 + 1 cells of a pool; the window is made as
    large as the inputs of so many whole cells, wherever it lies, so that all changes can be computed together. The last block computes the
    whole map: dense layers take it.

    >>> [step.height for step in steps([False, True] * 3, 32, 32)]
    [1, 4, 3, 6, 4, 8]
    >>> [step.whole for step in steps([False, True] * 3, 32, 32)]
    [False, False, False, False, False, True]
    """
    result: list[Step] = []
    window, first, lasts, whole = 1, 0, (height - 1, width - 1), False  # `first`, `lasts`: where the first and the last windows start
    blocks = list(pools)
    for position, pool in enumerate(blocks, 1):
        cells = (window + 2) // 2 + 1
        needed = 2 * cells - 2 if pool else window
        whole = whole or position == len(blocks) or (needed + 2) ** 2 > _WORTH * height * width
        sides = (height, width) if whole else (needed, needed)
        window, first, lasts = cells if pool else window + 2, _start(first, pool), (_start(lasts[0], pool), _start(lasts[1], pool))
        height, width = (height // 2, width // 2) if pool else (height, width)
        result.append(Step(*sides, whole, 0 if whole else max(-first, lasts[0] + window - height, lasts[1] + window - width)))
    return result


def _start(start: Any, pool: bool) -> Any:
    """Where the window of a block's values starts, given where that of its input does; an int, or a tensor of them."""
    return (start - 1) // 2 if pool else start - 1


@dataclass(frozen=True)
class Maps:
    """What a block computes at images, in rows n x H x W x C, with a frame around the map (that of `gap` is twice as wide).

    Attributes:
        value: what ReLU is given; -inf in the frame, where no difference passes.
        gap: how much less each output of the convolution is than the largest of its cell of the pool: <= 0; None without a pool.
    """

    value: Tensor
    gap: Tensor | None

    @classmethod
    def of(cls, block: FrozenConvBlock, step: Step, x: Tensor) -> tuple[Maps, Tensor]:
        """Those of ``block`` for its input ``x``, n x C x H x W, and its output."""
        z, gap = block.conv(x), None
        if block.pools:
            every, z = z, F.max_pool2d(z, 2)
            largest = z.repeat_interleave(2, 2).repeat_interleave(2, 3)
            gap = _framed(every[:, :, : largest.shape[2], : largest.shape[3]] - largest, 2 * step.frame, -_FAR)
        y = z if block.folds else block.norm(z)
        return cls(_framed(y, step.frame, -torch.inf), gap), y.relu()


def _framed(maps: Tensor, frame: int, value: float) -> Tensor:
    """Maps n x C x H x W in rows, n x H x W x C, with a frame of `value`."""
    return F.pad(maps.permute(0, 2, 3, 1), (0, 0, frame, frame, frame, frame), value=value).contiguous()


@dataclass(frozen=True)
class Windows:
    """Differences from maps of images, 0 outside a window.

    Attributes:
        differences: m x C x h x w, channels_last.
        which: int64, m: of which image.
        row, column: int64, m: where the window starts; it may reach beyond the map.
    """

    differences: Tensor
    which: Tensor
    row: Tensor
    column: Tensor

    def __getitem__(self, kept: Tensor) -> Windows:
        differences = self.differences.permute(0, 2, 3, 1).index_select(0, kept).permute(0, 3, 1, 2)
        return Windows(differences, *(values.index_select(0, kept) for values in (self.which, self.row, self.column)))

    def moved(self, row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
        """The differences in windows that start elsewhere: m x C x height x width."""
        count, channels, high, wide = self.differences.shape
        r, c = _range(row - self.row, height), _range(column - self.column, width)
        inside = ((r >= 0) & (r < high))[:, :, None] & ((c >= 0) & (c < wide))[:, None]
        image = torch.arange(count, device=r.device)[:, None]
        index = ((image * high + r) * wide)[:, :, None] + c[:, None]
        # a row of zeros lies behind the others
        values = F.pad(self.differences.permute(0, 2, 3, 1).reshape(-1, channels), (0, 0, 0, 1))
        taken = values.index_select(0, torch.where(inside, index, len(values) - 1).flatten())
        return taken.view(count, height, width, channels).permute(0, 3, 1, 2)

    def of(self, maps: Tensor, frame: int, scale: int, size: Sequence[int]) -> Tensor:
        """Windows of that size of maps in rows with that frame, ``scale`` times as fine: m x C x size."""
        (_, height, width, channels), (high, wide) = maps.shape, size
        r, c = _range(scale * self.row + frame, high), _range(scale * self.column + frame, wide)
        index = ((self.which[:, None] * height + r) * width)[:, :, None] + c[:, None]
        taken = maps.flatten(0, 2).index_select(0, index.flatten())
        return taken.view(len(r), high, wide, channels).permute(0, 3, 1, 2)


def _range(start: Tensor, count: int) -> Tensor:
    """start, start + 1, ...: m x count."""
    return start[:, None] + torch.arange(count, device=start.device)


def through(windows: Windows, block: FrozenConvBlock, step: Step, maps: Maps, together: bool) -> tuple[Windows, Tensor | None]:
    """The differences of the block's output, and with ``together`` which of the m are linear; see `Differences`."""
    row, column = _start(windows.row, block.pools), _start(windows.column, block.pools)
    u = windows.differences
    if step.whole:
        row = column = torch.zeros_like(row)
        u = windows.moved(row, column, step.height, step.width)
    elif block.pools:
        u = windows.moved(2 * row + 1, 2 * column + 1, step.height, step.width)
    u, linear = F.conv2d(u, block.conv.weight, None, 1, 1 if step.whole else 2), None
    place = Windows(u, windows.which, row, column)
    if block.pools:
        assert maps.gap is not None
        u = u[:, :, : u.shape[2] // 2 * 2, : u.shape[3] // 2 * 2]
        u, linear = pooled(u, place.of(maps.gap, 2 * step.frame, 2, u.shape[2:]), together)
    if not block.folds:
        u = u * norm_slope(block.norm).to(u.dtype)[:, None, None]
    u, still = rectified(u, place.of(maps.value, step.frame, 1, u.shape[2:]), together)
    linear = still if linear is None or still is None else linear & still
    return replace(place, differences=u), linear


def pooled(u: Tensor, gap: Tensor, together: bool) -> tuple[Tensor, Tensor | None]:
    """The difference of a 2x2 pool's output, given that of its input and how much less the input is than its cell's largest.

    Args:
        u, gap: m x C x H x W.
        together: also say for which of the m it is linear between -u and u: max(gap + u) = -max(gap - u) everywhere.
    """
    ahead = F.max_pool2d(gap + u, 2)
    return ahead, _nowhere_positive(F.max_pool2d(gap - u, 2) + ahead) if together else None


def rectified(u: Tensor, y: Tensor, together: bool) -> tuple[Tensor, Tensor | None]:
    """The difference of ReLU's output, given that of its input and the input ``y``.

    Args:
        u, y: m x ...
        together: also say for which of the m it is linear between -u and u: |u| <= |y| everywhere; where it is not, the difference is
            another one.
    """
    if together:
        return torch.ops.aten.threshold_backward(u, y, 0), _nowhere_positive(u.abs().sub_(y.abs()))
    return torch.maximum(u + y.clamp(max=0), y.clamp(min=0).neg_()), None


def _nowhere_positive(values: Tensor) -> Tensor:
    """Of which of the m, in m x ..., no value is above 0."""
    rows = values.movedim(1, -1) if values.dim() == 4 else values  # as they lie in memory
    return rows.flatten(1).amax(1) <= 0
