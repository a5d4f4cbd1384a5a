"""Cases of qlight_fifo: word widths, and depths around powers of two."""

from hw.tb.common.cases import Case


def _case(width: int, depth: int, slow: bool = False) -> Case:
    return Case("qlight_fifo", {"WIDTH": width, "DEPTH": depth}, width, width, slow=slow)


CASES = [_case(8, 2), _case(1, 3), _case(40, 4), _case(16, 5), _case(7, 17)]
CASES += [_case(width, depth, slow=True) for width, depth in ((1, 2), (3, 6), (32, 7), (33, 8), (64, 9), (8, 33), (8, 64), (8, 100))]
