"""Cases of qlight_pool: folds, rests at the edges, kernels 1 to 3, signed accumulators, directions."""

import random
from collections.abc import Sequence

from hw.tb.common.cases import Case


def _case(
    bits: int, lanes: int, channels: int, size: tuple[int, int], kernel: int = 2, signed: int = 0, directions: str = "", slow: bool = False
) -> Case:
    parameters: dict[str, int | str] = {"BITS": bits, "LANES": lanes, "CHANNELS": channels, "HEIGHT": size[0], "WIDTH": size[1]}
    parameters |= {"KERNEL": kernel, "SIGNED": signed, "DIRECTION_FILE": directions}
    return Case("qlight_pool", parameters, bits * lanes, bits * lanes, chain=True, slow=slow)


CASES = [
    _case(2, 1, 4, (4, 6), directions="p0.mem"),
    _case(1, 8, 40, (4, 4), directions="p1.mem"),
    _case(9, 2, 2, (5, 7), signed=1),
    _case(3, 2, 6, (7, 8), 3, directions="p2.mem"),
    _case(4, 1, 1, (2, 2), directions="p3.mem"),
    _case(4, 2, 4, (3, 2), 1),
]
CASES += [
    _case(bits, lanes, channels, size, kernel, signed, f"q{i}.mem" if i % 2 else "", slow=True)
    for i, (bits, lanes, channels, size, kernel, signed) in enumerate(
        (bits, lanes, channels, size, kernel, signed)
        for bits, signed in ((1, 0), (2, 0), (8, 0), (12, 1))
        for lanes, channels in ((1, 3), (16, 64), (32, 32))
        for size, kernel in (((4, 4), 2), ((5, 6), 2), ((3, 8), 3), ((2, 9), 2))
    )
]


def directions(shape: Case, seed: int = 0) -> list[int]:
    """Direction of every channel, as the file holds them (seed 0)."""
    rng = random.Random(f"{shape} {seed}")
    return [rng.getrandbits(1) if shape.parameters["DIRECTION_FILE"] else 0 for _ in range(shape["CHANNELS"])]


def memory_files(cases: Sequence[Case]) -> dict[str, str]:
    """The direction files of the cases."""
    files = {}
    for case in cases:
        name = str(case.parameters["DIRECTION_FILE"])
        if name:
            files[name] = f"{sum(bit << c for c, bit in enumerate(directions(case))):x}\n"
    return files
