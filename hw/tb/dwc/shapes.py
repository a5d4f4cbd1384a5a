"""Cases of qlight_dwc: every ratio of small lane counts, whole and not."""

from hw.tb.common.cases import Case


def _case(bits: int, lanes_in: int, lanes_out: int, slow: bool = False) -> Case:
    return Case("qlight_dwc", {"BITS": bits, "IN_LANES": lanes_in, "OUT_LANES": lanes_out}, bits * lanes_in, bits * lanes_out, slow=slow)


CASES = [_case(8, 4, 3), _case(1, 1, 8), _case(2, 16, 1), _case(3, 4, 4), _case(2, 6, 4), _case(1, 3, 5), _case(8, 2, 1)]
CASES += [_case(2, a, b, slow=True) for a in range(1, 9) for b in range(1, 9)]
CASES += [_case(1, 64, 3, slow=True), _case(8, 3, 32, slow=True), _case(20, 10, 1, slow=True), _case(1, 48, 32, slow=True)]
