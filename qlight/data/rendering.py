"""House-number-like digits, rendered from the fonts that matplotlib ships.

Image i of a split is a pure function of (seed, split, i): random numbers come from `qlight.data.counter`, and images are always rendered in
whole, aligned blocks, so that not even rounding depends on how many are asked for.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from qlight.data.counter import Stream, random_bits

SIZE = 32
BLOCK = 256
"""Images rendered together."""

GLYPH_HEIGHT = 32
CELL = 48
"""Glyphs are kept `GLYPH_HEIGHT` pixels high in the middle of a square of `CELL` pixels, which leaves room for slanted and wide ones."""

BLUR_REACH = 3
"""Pixels rendered beyond each border, and taps on each side of the blur."""

FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
"""Those of matplotlib's fonts that have upright figures of one height (cmmi10 has old-style figures, the rest symbols or none)."""


@lru_cache(maxsize=1)
def glyphs() -> tuple[Tensor, NDArray[np.float64]]:
    """Coverage of each digit of each font, float32, fonts x 10 x `CELL` x `CELL`, and the advance widths in the same pixels, fonts x 10."""
    # Late, because matplotlib is slow to import; its fonts need neither pyplot nor a backend.
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    masks = np.zeros((len(FONTS), 10, CELL, CELL), dtype=np.float32)
    advances = np.zeros((len(FONTS), 10))
    middle, baseline = CELL // 2, (CELL + GLYPH_HEIGHT) // 2
    for f, name in enumerate(FONTS):
        path = str(folder / f"{name}.ttf")
        _, top, _, bottom = ImageFont.truetype(path, 100).getbbox("0", anchor="ls")
        font = ImageFont.truetype(path, 100 * GLYPH_HEIGHT / (bottom - top))
        for digit in range(10):
            cell = Image.new("L", (CELL, CELL))
            ImageDraw.Draw(cell).text((middle, baseline), str(digit), font=font, fill=255, anchor="ms")
            masks[f, digit] = np.asarray(cell, dtype=np.float32) / 255
            advances[f, digit] = font.getlength(str(digit))
    return torch.from_numpy(masks), advances


class _Draws:
    """Uniform random numbers for images `index`: each call is the next counter, so the order of the calls is part of the data set."""

    def __init__(self, seed: int, split: int, index: NDArray[np.int64]) -> None:
        self.key = (seed, Stream.DIGITS, split)
        self.index = index
        self.used = 0

    def bits(self, count: int) -> NDArray[np.uint64]:
        """N x `count`."""
        counters = np.arange(self.used, self.used + count)
        self.used += count
        return random_bits(*self.key, self.index[:, None], counters)

    def uniform(self, low: float, high: float, count: int = 1) -> NDArray[np.float64]:
        """N x `count`, in [low, high)."""
        return low + (high - low) * ((self.bits(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def integers(self, bound: int, count: int = 1) -> NDArray[np.int64]:
        """N x `count`, from 0 to `bound` - 1."""
        return self.uniform(0, bound, count).astype(np.int64)


def labels(seed: int, split: int, count: int) -> NDArray[np.int64]:
    """The labels of the first `count` images: every ten consecutive ones hold each digit once.

    >>> labels(0, 0, 12).tolist()
    [2, 1, 0, 9, 7, 8, 4, 3, 6, 5, 4, 5]
    """
    groups = -(-count // 10)
    keys = random_bits(seed, Stream.DIGITS, split, np.arange(groups)[:, None], 1 << 32, np.arange(10))
    return np.argsort(keys, axis=1, kind="stable").ravel()[:count]


def render(seed: int, split: int, count: int) -> NDArray[np.uint8]:
    """The first `count` images; uint8, count x 32 x 32 x 3."""
    images = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8)
    whole = -(-count // BLOCK) * BLOCK
    digits = labels(seed, split, whole)
    for start in range(0, count, BLOCK):
        block = _render_block(_Draws(seed, split, np.arange(start, start + BLOCK)), digits[start : start + BLOCK])
        stop = min(count, start + BLOCK)
        images[start:stop] = block[: stop - start]
    return images


def _render_block(draws: _Draws, digits: NDArray[np.int64]) -> NDArray[np.uint8]:
    coverage = _blur(_coverage(draws, digits), draws.uniform(0.3, 1.3))
    background, foreground = _colours(draws)
    image = background + coverage[:, None] * (foreground - background)
    return _with_noise(draws, image)


def _coverage(draws: _Draws, digits: NDArray[np.int64]) -> Tensor:
    """How much of each pixel the number covers; float32, N x S x S with S = 32 + 2 `BLUR_REACH`."""
    masks, advances = glyphs()
    count = len(digits)
    font = draws.integers(len(FONTS))
    # Left neighbour, the digit, right neighbour.
    drawn = np.concatenate([draws.integers(10), digits[:, None], draws.integers(10)], axis=1)
    shown = np.concatenate([draws.uniform(0, 1) < 0.7, np.ones((count, 1), bool), draws.uniform(0, 1) < 0.7], axis=1)
    advance = advances[font, drawn]
    spacing = draws.uniform(-0.5, 4.5)
    offset = np.zeros((count, 3))
    offset[:, 0:1] = -(advance[:, 0:1] + advance[:, 1:2]) / 2 - spacing
    offset[:, 2:3] = (advance[:, 1:2] + advance[:, 2:3]) / 2 + spacing

    # From pixels of the image to pixels of the glyph: shift, rotate, stretch and shear, scale; then the shift of each of the three.
    height, stretch = draws.uniform(14, 28), draws.uniform(0.75, 1.2)
    angle, shear = np.deg2rad(draws.uniform(-20, 20)), draws.uniform(-0.3, 0.3)
    shift = np.concatenate([draws.uniform(-3, 3), draws.uniform(-3, 3)], axis=1)[:, :, None]
    turn = np.stack([np.concatenate([np.cos(angle), np.sin(angle)], 1), np.concatenate([-np.sin(angle), np.cos(angle)], 1)], axis=1)
    slant = np.stack([np.concatenate([1 / stretch, shear], 1), np.broadcast_to([0.0, 1.0], (count, 2))], axis=1)
    linear = slant @ turn * (GLYPH_HEIGHT / height)[:, :, None]
    side = SIZE + 2 * BLUR_REACH
    centred = np.arange(side) - (side - 1) / 2
    # grid_sample wants x, y in [-1, 1]. Each is a sum of a row and a column, which is much quicker than affine_grid.
    from_x, from_y = (torch.from_numpy((linear[:, :, k, None] * centred / (CELL / 2)).astype(np.float32)) for k in (0, 1))
    start = np.repeat(-(linear @ shift)[:, None, :, 0], 3, axis=1) / (CELL / 2)
    start[:, :, 0] -= offset / (CELL / 2)
    along_x = from_x[:, None] + torch.from_numpy(start.astype(np.float32))[..., None]
    grid = (along_x[:, :, :, None, :] + from_y[:, None, :, :, None]).reshape(3 * count, 2, side, side).permute(0, 2, 3, 1)

    cells = masks[torch.from_numpy(font), torch.from_numpy(drawn)] * torch.from_numpy(shown.astype(np.float32))[:, :, None, None]
    sampled = functional.grid_sample(cells.reshape(-1, 1, CELL, CELL), grid, align_corners=False, padding_mode="zeros")
    return sampled.reshape(count, 3, side, side).amax(dim=1)


def _blur(coverage: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """Gaussian of `sigma` pixels (N x 1) without the borders: N x (S - 2 `BLUR_REACH`) x (S - 2 `BLUR_REACH`)."""
    taps = np.exp(-0.5 * (np.arange(-BLUR_REACH, BLUR_REACH + 1) / sigma) ** 2)
    kernel = torch.from_numpy((taps / taps.sum(axis=1, keepdims=True)).astype(np.float32))[:, :, None, None]
    inner = coverage.shape[-1] - 2 * BLUR_REACH
    rows = sum((kernel[:, k] * coverage[:, k : k + inner] for k in range(2 * BLUR_REACH + 1)), start=torch.zeros(()))
    return sum((kernel[:, k] * rows[:, :, k : k + inner] for k in range(2 * BLUR_REACH + 1)), start=torch.zeros(()))


def _colours(draws: _Draws) -> tuple[Tensor, Tensor]:
    """Background and foreground, float32, N x 3 x 32 x 32: of either polarity, with gradients, an edge in the wall, and texture."""
    count = len(draws.index)
    luminance = draws.uniform(0.08, 0.92)
    contrast = draws.uniform(0.13, 0.5) * np.where(draws.uniform(0, 1) < 0.5, -1, 1)
    outside = (luminance + contrast < 0.02) | (luminance + contrast > 0.98)
    other = np.clip(luminance + np.where(outside, -contrast, contrast), 0, 1)
    tint = draws.uniform(-0.14, 0.14, 6)
    base = torch.from_numpy(np.stack([luminance + tint[:, :3], other + tint[:, 3:]], axis=1).astype(np.float32))[..., None, None]

    axis = torch.linspace(-1, 1, SIZE)
    y, x = axis[:, None], axis[None, :]
    slope = torch.from_numpy(draws.uniform(-0.1, 0.1, 12).reshape(count, 2, 3, 2, 1, 1).astype(np.float32))
    surfaces = base + slope[:, :, :, 0] * x + slope[:, :, :, 1] * y

    # A straight edge, as of a plate, a door frame or a row of bricks; outside the picture in about half of the images.
    angle, distance = draws.uniform(0, 2 * np.pi), draws.uniform(0.35, 2.0)
    normal = torch.from_numpy(np.concatenate([np.cos(angle), np.sin(angle), distance], axis=1).astype(np.float32))[:, :, None, None]
    beyond = ((normal[:, 0] * x + normal[:, 1] * y - normal[:, 2]) * 12).clamp(0, 1)
    step = torch.from_numpy((draws.uniform(-0.25, 0.25) + draws.uniform(-0.08, 0.08, 3)).astype(np.float32))[:, :, None, None]
    coarse = torch.from_numpy(draws.uniform(-0.08, 0.08, 3 * 25).reshape(count, 3, 5, 5).astype(np.float32))
    # Linear interpolation of 5 values to 32, as a matrix: each row holds the weights of the two neighbours.
    smooth = (1 - (torch.linspace(0, 4, SIZE)[:, None] - torch.arange(5)).abs()).clamp(min=0)
    texture = smooth @ coarse @ smooth.T
    return surfaces[:, 0] + beyond[:, None] * step + texture, surfaces[:, 1] + texture


def _with_noise(draws: _Draws, image: Tensor) -> NDArray[np.uint8]:
    """Add pixel noise and store as 8 bits: N x 3 x 32 x 32 in [0, 1] -> uint8, N x 32 x 32 x 3."""
    level = torch.from_numpy(draws.uniform(0.0, 0.09).astype(np.float32))[:, :, None, None]
    # The sum of two uniform bytes: triangular, with a standard deviation of 255 / sqrt(6).
    pair = draws.bits(2 * image[0].numel() // 8).view(np.uint8).reshape(len(image), 2, *image.shape[1:])
    noise = torch.from_numpy(pair[:, 0].astype(np.float32) + pair[:, 1].astype(np.float32)).sub_(255).mul_(6**0.5 / 255)
    codes = image.add(noise.mul_(level)).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    return codes.permute(0, 2, 3, 1).contiguous().numpy()
