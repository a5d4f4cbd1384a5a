"""qlight_swg in numpy, and its timing as hw/rtl/README.md states it."""

import numpy as np

from hw.tb.common.cases import Case


def windows(shape: Case, image: np.ndarray) -> np.ndarray:
    """Codes (H, W, C) -> windows (OH * OW * KH * KW * C,), in the order in which they leave."""
    pads = ((shape["PAD_TOP"], shape["PAD_BOTTOM"]), (shape["PAD_LEFT"], shape["PAD_RIGHT"]), (0, 0))
    padded = np.pad(image, pads, constant_values=shape["PAD_CODE"])
    kh, kw = shape["KERNEL_H"], shape["KERNEL_W"]
    rows, columns = padded.shape[0] - kh + 1, padded.shape[1] - kw + 1
    return np.concatenate([padded[y : y + kh, x : x + kw].ravel() for y in range(rows) for x in range(columns)])


def beats(codes: np.ndarray, lanes: int, bits: int) -> list[int]:
    """Codes -> beats of `lanes` codes, lane 0 the earliest."""
    return [sum(int(code) << (bits * i) for i, code in enumerate(beat)) for beat in codes.reshape(-1, lanes)]


def cycles_a_frame(shape: Case) -> int:
    """Beats out of a frame: one a cycle."""
    out_h = shape["HEIGHT"] + shape["PAD_TOP"] + shape["PAD_BOTTOM"] - shape["KERNEL_H"] + 1
    out_w = shape["WIDTH"] + shape["PAD_LEFT"] + shape["PAD_RIGHT"] - shape["KERNEL_W"] + 1
    return out_h * out_w * shape["KERNEL_H"] * shape["KERNEL_W"] * shape["CHANNELS"] // shape["LANES"]


def first_frame(shape: Case) -> list[int]:
    """Cycle of every beat of the first frame out, where input beat n is taken in cycle n."""
    folds = shape["CHANNELS"] // shape["LANES"]
    number = np.arange(shape["HEIGHT"] * shape["WIDTH"] * folds).reshape(shape["HEIGHT"], shape["WIDTH"], folds)
    pads = ((shape["PAD_TOP"], shape["PAD_BOTTOM"]), (shape["PAD_LEFT"], shape["PAD_RIGHT"]), (0, 0))
    padded = np.pad(number, pads, constant_values=0)  # padding waits for beat 0
    kh, kw = shape["KERNEL_H"], shape["KERNEL_W"]
    rows, columns = padded.shape[0] - kh + 1, padded.shape[1] - kw + 1
    needs = np.concatenate([padded[y : y + kh, x : x + kw].ravel() for y in range(rows) for x in range(columns)])
    out, previous = [], -1
    for need in needs:
        previous = max(previous + 1, int(need) + 2)
        out.append(previous)
    return out
