"""Cases of qlight_mvtu: all implementations, encodings, foldings down to one fold, with thresholds and raw."""

import itertools
from collections.abc import Sequence

from hw.tb.common.cases import Case
from hw.tb.mvtu.reference import Parameters, acc_bits

_NUMBER = itertools.count()


def _case(
    impl: int,
    fold: tuple[int, int],
    size: tuple[int, int],
    weights: tuple[int, int],
    activations: tuple[int, int],
    out: int,
    slow: bool = False,
) -> Case:
    """`fold` PE, SIMD; `size` MW, MH; `weights` bits, signed; `activations` bits, bipolar; `out` bits."""
    width = acc_bits(size[0], *weights, *activations)
    number = next(_NUMBER)
    parameters: dict[str, int | str] = {"PE": fold[0], "SIMD": fold[1], "MW": size[0], "MH": size[1]}
    parameters |= {"WEIGHT_BITS": weights[0], "WEIGHT_SIGNED": weights[1], "ACTIVATION_BITS": activations[0], "BIPOLAR": activations[1]}
    parameters |= {"OUTPUT_BITS": out, "ACC_BITS": width, "IMPL": impl}
    parameters |= {"WEIGHT_FILE": f"w{number}.mem", "THRESHOLD_FILE": f"t{number}/" if out else ""}
    return Case("qlight_mvtu", parameters, fold[1] * activations[0], fold[0] * (out or width), chain=True, slow=slow)


CASES = [
    _case(0, (2, 3), (12, 8), (8, 1), (8, 0), 2),
    _case(0, (3, 1), (5, 6), (2, 0), (1, 1), 1),
    _case(0, (2, 2), (6, 4), (4, 1), (1, 1), 2),
    _case(1, (4, 8), (24, 12), (1, 0), (1, 1), 1),
    _case(1, (5, 36), (72, 5), (1, 0), (1, 1), 0),
    _case(2, (2, 6), (18, 6), (2, 0), (2, 0), 2),
    _case(2, (1, 4), (4, 3), (1, 0), (2, 0), 4),
    _case(2, (4, 5), (5, 4), (3, 1), (4, 0), 3),
    _case(2, (2, 4), (8, 4), (2, 0), (1, 1), 2),
    _case(3, (3, 4), (8, 9), (4, 0), (4, 0), 4),
    _case(3, (4, 2), (6, 8), (3, 1), (3, 0), 0),
    _case(4, (6, 3), (9, 6), (4, 0), (4, 0), 2),
]
CASES += [
    _case(impl, fold, size, weights, activations, out, slow=True)
    for impl, kinds in (
        (0, (((1, 0), (1, 1)), ((8, 1), (8, 0)), ((4, 0), (8, 0)), ((2, 1), (1, 1)))),
        (1, (((1, 0), (1, 1)),)),
        (2, (((1, 0), (2, 0)), ((2, 0), (2, 0)), ((3, 0), (3, 0)), ((2, 1), (2, 0)), ((4, 0), (1, 1)), ((8, 1), (8, 0)))),
        (3, (((4, 0), (4, 0)), ((3, 0), (3, 0)), ((4, 1), (4, 0)), ((4, 0), (8, 0)))),
        (4, (((4, 0), (4, 0)), ((3, 0), (3, 0)), ((4, 1), (4, 0)), ((5, 0), (3, 0)), ((2, 0), (6, 0)), ((7, 1), (1, 0)))),
    )
    for weights, activations in kinds
    for fold, size, out in (((1, 1), (3, 4), 1), ((4, 6), (12, 8), 0), ((6, 12), (12, 6), 3), ((2, 9), (9, 8), 2), ((5, 4), (8, 5), 5))
]

CASES += [_case(0, (1, 4), (8, 3), (8, 1), (8, 0), 8, slow=True), _case(2, (2, 2), (6, 4), (2, 0), (8, 0), 8, slow=True)]
CASES += [_case(1, (4, 12), (12, 8), (1, 0), (1, 1), 1, slow=True), _case(2, (6, 4), (12, 6), (2, 0), (2, 0), 2, slow=True)]


def memory_files(cases: Sequence[Case]) -> dict[str, str]:
    """The memory files of the cases."""
    files: dict[str, str] = {}
    for case in cases:
        files |= Parameters.random(case).files()
    return files
