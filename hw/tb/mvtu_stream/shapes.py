"""Cases of qlight_mvtu_stream: one vector and more, foldings down to one fold, all implementations, with thresholds and raw."""

import itertools
from collections.abc import Sequence

from hw.tb.common.cases import Case
from hw.tb.mvtu.reference import Parameters, acc_bits
from qlight.hardware.packing import threshold_file

_NUMBER = itertools.count()


def _case(
    impl: int,
    fold: tuple[int, int],
    size: tuple[int, int, int],
    weights: tuple[int, int],
    activations: tuple[int, int],
    out: int,
    slow: bool = False,
) -> Case:
    """`fold` PE, SIMD; `size` MW, MH, VECTORS; `weights` bits, signed; `activations` bits, bipolar; `out` bits."""
    width = acc_bits(size[0], *weights, *activations)
    parameters: dict[str, int | str] = {"PE": fold[0], "SIMD": fold[1], "MW": size[0], "MH": size[1], "VECTORS": size[2]}
    parameters |= {"WEIGHT_BITS": weights[0], "WEIGHT_SIGNED": weights[1], "ACTIVATION_BITS": activations[0], "BIPOLAR": activations[1]}
    parameters |= {"OUTPUT_BITS": out, "ACC_BITS": width, "IMPL": impl, "THRESHOLD_FILE": f"t{next(_NUMBER)}/" if out else ""}
    row_bits = fold[0] * fold[1] * weights[0]
    extra = (("input", "weights_rst_n", 1), ("input", "w_axis_tdata", row_bits), ("input", "w_axis_tvalid", 1))
    extra += (("output", "w_axis_tready", 1), ("output", "starved", 1))
    in_bits, out_bits = fold[1] * activations[0], fold[0] * (out or width)
    return Case("qlight_mvtu_stream", parameters, in_bits, out_bits, chain=True, slow=slow, extra=extra)


CASES = [
    _case(1, (4, 8), (24, 12, 1), (1, 0), (1, 1), 1),
    _case(2, (2, 6), (18, 6, 5), (2, 0), (2, 0), 2),
    _case(0, (3, 1), (5, 6, 4), (2, 0), (1, 1), 1),
    _case(3, (3, 4), (8, 9, 2), (4, 0), (4, 0), 4),
    _case(2, (4, 5), (5, 4, 3), (3, 1), (4, 0), 3),
    _case(0, (2, 4), (8, 6, 1), (8, 1), (8, 0), 0),
    _case(1, (1, 9), (9, 3, 6), (1, 0), (1, 1), 0),
    _case(1, (6, 4), (8, 6, 1), (1, 0), (1, 1), 1),
    _case(4, (5, 3), (9, 10, 3), (4, 0), (4, 0), 2),
]
CASES += [
    _case(impl, fold, (*size, vectors), weights, activations, out, slow=True)
    for impl, weights, activations in (
        *((1, (1, 0), (1, 1)), (2, (2, 0), (2, 0)), (3, (4, 0), (4, 0)), (0, (2, 1), (8, 0))),
        *((4, (4, 0), (4, 0)), (4, (4, 1), (3, 0))),
    )
    for fold, size, vectors, out in (((1, 1), (3, 4), 7, 1), ((4, 6), (12, 8), 1, 0), ((6, 12), (12, 6), 3, 3), ((2, 9), (9, 8), 2, 2))
]


def memory_files(cases: Sequence[Case]) -> dict[str, str]:
    """The thresholds of the cases."""
    files: dict[str, str] = {}
    for case in cases:
        parameters, prefix = Parameters.random(case), str(case.parameters["THRESHOLD_FILE"])
        for pe, stage in itertools.product(range(case["PE"]), range(case["OUTPUT_BITS"])):
            files[threshold_file(prefix, pe, stage)] = parameters.memory(pe, stage)
    return files
