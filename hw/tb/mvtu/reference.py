"""qlight_mvtu in numpy: parameters, memory files, words of the chain, results."""

from __future__ import annotations

import dataclasses
import random

import numpy as np

from hw.tb.common.cases import Case
from qlight.hardware.packing import threshold_file


def acc_bits(mw: int, weight_bits: int, signed: int, activation_bits: int, bipolar: int) -> int:
    """Accumulator width by the integer graph's SPEC, section 3."""
    w = (-(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1) if signed else (1 - (1 << weight_bits), (1 << weight_bits) - 1)
    a = (-1, 1) if bipolar else (0, (1 << activation_bits) - 1)
    products = [x * y for x in w for y in a]
    low, high = mw * min(products), mw * max(products)
    bits = 1
    while not (-(1 << (bits - 1)) <= low - 1 and high + 1 <= (1 << (bits - 1)) - 1):
        bits += 1
    return bits


@dataclasses.dataclass
class Parameters:
    """`weights` are codes MH x MW as stored (two's complement as unsigned), `direction` MH (1: d = -1), `thresholds` MH x T in the order in
    which a growing code passes them."""

    shape: Case
    weights: np.ndarray
    thresholds: np.ndarray
    direction: np.ndarray

    @classmethod
    def random(cls, shape: Case, seed: int = 0) -> Parameters:
        """Weights that are extreme in one row, thresholds around what sums reach, some that always or never fire."""
        rng = np.random.default_rng([seed, *map(ord, str(shape))])
        mh, mw, bits = shape["MH"], shape["MW"], shape["WEIGHT_BITS"]
        weights = rng.integers(0, 1 << bits, (mh, mw))
        weights[0] = (1 << bits) - 1 if not shape["WEIGHT_SIGNED"] else 1 << (bits - 1)
        values = _weight_values(shape, weights)
        a_high = 1 if shape["BIPOLAR"] else (1 << shape["ACTIVATION_BITS"]) - 1
        low = mw * min(values.min() * a_high, values.min() * (-1 if shape["BIPOLAR"] else 0), -a_high)
        limit = (1 << (shape["ACC_BITS"] - 1)) - 1
        count = (1 << shape["OUTPUT_BITS"]) - 1
        spread = max(1, int(np.sqrt(mw) * np.abs(values).max() * a_high * 0.7))
        levels = np.sort(rng.integers(-spread, spread + 1, (mh, count)), axis=1)
        centre = (values.sum(1) * (0 if shape["BIPOLAR"] else a_high / 2)).astype(np.int64)
        levels = np.clip(levels + centre[:, None], max(low - 1, -limit - 1), min(-low + 1, limit))
        if count:
            levels[rng.integers(mh)] = limit  # never (d = +1)
            levels[rng.integers(mh)] = -limit - 1  # always (d = +1)
        direction = rng.integers(0, 2, mh)
        levels[direction == 1] = levels[direction == 1, ::-1]
        return cls(shape, weights, levels, direction)

    def accumulators(self, codes: np.ndarray) -> np.ndarray:
        """Activation codes (N, MW) -> sums (N, MH)."""
        a = 2 * codes - 1 if self.shape["BIPOLAR"] else codes
        return a.astype(np.int64) @ _weight_values(self.shape, self.weights).T

    def results(self, codes: np.ndarray) -> np.ndarray:
        """Activation codes (N, MW) -> output codes or accumulators (N, MH)."""
        acc = self.accumulators(codes)
        if not self.shape["OUTPUT_BITS"]:
            return acc
        up = acc[:, :, None] >= self.thresholds[None]
        down = acc[:, :, None] <= self.thresholds[None]
        return np.where(self.direction[None, :, None] == 1, down, up).sum(2)

    def rows(self) -> list[int]:
        """The weight memory, row nf * SF + sf."""
        pe, simd, bits = self.shape["PE"], self.shape["SIMD"], self.shape["WEIGHT_BITS"]
        rows = []
        for nf in range(self.shape["MH"] // pe):
            for sf in range(self.shape["MW"] // simd):
                block = self.weights[nf * pe : (nf + 1) * pe, sf * simd : (sf + 1) * simd].ravel()
                rows.append(sum(int(code) << (i * bits) for i, code in enumerate(block)))
        return rows

    def files(self) -> dict[str, str]:
        """Texts of WEIGHT_FILE and of the files that begin with THRESHOLD_FILE."""
        files = {str(self.shape.parameters["WEIGHT_FILE"]): "".join(f"{row:x}\n" for row in self.rows())}
        if self.shape["OUTPUT_BITS"]:
            pe, bits, prefix = self.shape["PE"], self.shape["OUTPUT_BITS"], str(self.shape.parameters["THRESHOLD_FILE"])
            files |= {threshold_file(prefix, p, s): self.memory(p, s) for p in range(pe) for s in range(bits)}
        return files

    def memory(self, pe: int, stage: int) -> str:
        """Text of the memory of a stage of the search in a PE: what it asks next, for every fold and all codes that it may have found."""
        width, bits = self.shape["ACC_BITS"] + 1, self.shape["OUTPUT_BITS"]
        lines = []
        for o in range(pe, self.shape["MH"], self.shape["PE"]):
            for found in range(1 << stage):
                least = found << (bits - stage)  # the code, if no further threshold fires
                level = int(self.thresholds[o, least + (1 << (bits - stage - 1)) - 1]) & ((1 << width) - 1)
                lines.append(f"{level | (int(self.direction[o]) << width if stage == 0 else 0):x}\n")
        return "".join(lines)

    def words(self) -> list[int]:
        """The words of the parameter chain."""
        row_words = (self.shape["PE"] * self.shape["SIMD"] * self.shape["WEIGHT_BITS"] + 31) // 32
        words = [row >> (32 * i) & 0xFFFFFFFF for row in self.rows() for i in range(row_words)]
        if self.shape["OUTPUT_BITS"]:
            for o in range(self.shape["MH"]):
                words += [int(level) & 0xFFFFFFFF for level in self.thresholds[o]] + [int(self.direction[o])]
        return words


def _weight_values(shape: Case, codes: np.ndarray) -> np.ndarray:
    bits = shape["WEIGHT_BITS"]
    if shape["WEIGHT_SIGNED"]:
        return np.where(codes >= 1 << (bits - 1), codes - (1 << bits), codes)
    return 2 * codes - ((1 << bits) - 1)


def vectors(shape: Case, count: int, seed: int) -> np.ndarray:
    """Activation codes (count, MW): random, with one vector of the largest code and one of zeros."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << shape["ACTIVATION_BITS"], (count, shape["MW"]))
    codes[random.Random(seed).randrange(count)] = (1 << shape["ACTIVATION_BITS"]) - 1
    codes[0] = 0
    return codes
