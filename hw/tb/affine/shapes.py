"""Cases of qlight_affine: one lane and several, groups that repeat, narrow and wide accumulators and codes; and what it must compute."""

import random
from collections.abc import Sequence

import numpy as np

from hw.tb.common.cases import Case

M_BITS, B_BITS, LOW_BITS = 34, 38, 17


def _case(lanes: int, rows: int, group: int, repeat: int, acc: int, out: int, file: str = "", slow: bool = False) -> Case:
    parameters: dict[str, int | str] = {"LANES": lanes, "ROWS": rows, "GROUP": group, "REPEAT": repeat}
    parameters |= {"ACC_BITS": acc, "OUTPUT_BITS": out, "AFFINE_FILE": file}
    return Case("qlight_affine", parameters, lanes * acc, lanes * out, chain=True, slow=slow)


CASES = [
    _case(1, 6, 6, 1, 20, 8, "a0/"),
    _case(2, 1, 1, 1, 12, 8, "a1/"),
    _case(3, 4, 2, 5, 25, 8, "a2/"),
    _case(1, 3, 1, 4, 3, 5, "a3/"),
    _case(4, 5, 5, 1, 32, 6, "a4/"),
]
CASES += [
    _case(lanes, rows, group, repeat, acc, out, f"b{lanes}_{rows}_{acc}_{out}/", slow=True)
    for lanes, rows, group, repeat in ((1, 1, 1, 3), (1, 8, 2, 1), (5, 6, 3, 3), (2, 7, 7, 1))
    for acc, out in ((3, 1), (10, 5), (18, 8), (27, 7), (32, 8))
]


def shift_of(shape: Case) -> int:
    return shape["ACC_BITS"] + 22 - shape["OUTPUT_BITS"]


class Parameters:
    """M and B of every channel, as the files hold them (seed 0), or others.

    Most channels use a good part of their accumulators' range, with either sign; some are constant; some have the extreme words.
    """

    def __init__(self, shape: Case, seed: int = 0) -> None:
        self.shape = shape
        self.channels = shape["LANES"] * shape["ROWS"]
        rng = random.Random(f"{shape} {seed}")
        self.m, self.b = [], []
        shift, half = shift_of(shape), 2 ** (shape["ACC_BITS"] - 1)
        for _ in range(self.channels):
            kind = rng.randrange(8)
            span = half * 2.0 ** rng.uniform(-6, 1)  # accumulators from the first code to the last
            multiplier = int(2 ** (shift + shape["OUTPUT_BITS"]) / span) * rng.choice((-1, 1)) if kind > 1 else rng.getrandbits(M_BITS)
            multiplier = 0 if kind == 1 else _wrapped(multiplier, M_BITS)
            first = rng.uniform(-half / 2, half / 2)
            offset = _wrapped(rng.getrandbits(B_BITS) if kind == 0 else int(-multiplier * first) >> LOW_BITS, B_BITS)
            self.m.append(multiplier)
            self.b.append(offset)
        for index, (multiplier, offset) in enumerate(((-(2**33), 2**37 - 1), (2**33 - 1, -(2**37)))):
            if self.channels > index + 3:
                self.m[index + 2], self.b[index + 2] = multiplier, offset

    def code(self, channel: int, accumulator: int) -> int:
        """What the cell must give, with integers of any size."""
        value = (self.m[channel] * accumulator + (self.b[channel] << LOW_BITS)) >> shift_of(self.shape)
        return min(max(value, 0), 2 ** self.shape["OUTPUT_BITS"] - 1)

    def channel(self, beat: int, lane: int) -> int:
        """Whose accumulator comes in a lane of a beat, counted from reset."""
        group, repeat = self.shape["GROUP"], self.shape["REPEAT"]
        folds, place = divmod(beat, group * repeat)
        row = (folds * group + place % group) % self.shape["ROWS"]
        return row * self.shape["LANES"] + lane

    def rows(self) -> list[int]:
        """The word of every channel."""
        return [(m & 2**M_BITS - 1) | (b & 2**B_BITS - 1) << M_BITS for m, b in zip(self.m, self.b, strict=True)]

    def words(self) -> list[int]:
        """Of the parameter chain."""
        return [row >> 32 * index & 0xFFFFFFFF for row in self.rows() for index in range(3)]

    def traffic(self, frames: int, seed: int) -> tuple[list[int], list[int]]:
        """Beats in and out of so many times all rows: accumulators about both ends of the codes, and of the range, more than elsewhere."""
        shape, rng = self.shape, random.Random(seed)
        half, lanes, out = 2 ** (shape["ACC_BITS"] - 1), shape["LANES"], shape["OUTPUT_BITS"]
        sent, due = [], []
        for beat in range(frames * shape["ROWS"] * shape["REPEAT"]):
            values = [self._accumulator(self.channel(beat, lane), half, rng) for lane in range(lanes)]
            sent.append(sum((value & 2 * half - 1) << shape["ACC_BITS"] * lane for lane, value in enumerate(values)))
            due.append(sum(self.code(self.channel(beat, lane), value) << out * lane for lane, value in enumerate(values)))
        return sent, due

    def _accumulator(self, channel: int, half: int, rng: random.Random) -> int:
        kind = rng.randrange(6)
        if kind == 0:
            return rng.choice((-half, half - 1, -1, 0))
        if kind > 3 or not self.m[channel]:
            return rng.randrange(-half, half)
        level = rng.randrange(2 ** self.shape["OUTPUT_BITS"] + 1)  # the accumulator at which this code begins, or a neighbour
        edge = ((level << shift_of(self.shape)) - (self.b[channel] << LOW_BITS)) // self.m[channel]
        return int(np.clip(edge + rng.choice((-1, 0, 1)), -half, half - 1))


def _wrapped(value: int, bits: int) -> int:
    value &= 2**bits - 1
    return value - (value >> (bits - 1) << bits)


def memory_files(cases: Sequence[Case]) -> dict[str, str]:
    """The memory files of the cases: one a lane."""
    files: dict[str, str] = {}
    for case in cases:
        rows, lanes = Parameters(case).rows(), case["LANES"]
        for lane in range(lanes):
            files[f"{case.parameters['AFFINE_FILE']}{lane}.mem"] = "".join(f"{row:018x}\n" for row in rows[lane::lanes])
    return files
