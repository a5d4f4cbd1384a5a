"""Cases of qlight_reorder: square and long frames, one group, groups of one beat."""

from hw.tb.common.cases import Case


def _case(width: int, outer: int, inner: int, slow: bool = False) -> Case:
    return Case("qlight_reorder", {"WIDTH": width, "OUTER": outer, "INNER": inner}, width, width, slow=slow)


CASES = [_case(9, 3, 5), _case(8, 4, 4), _case(7, 1, 3), _case(6, 5, 1), _case(8, 2, 9)]
CASES += [_case(10, outer, inner, slow=True) for outer in (1, 2, 7, 8) for inner in (1, 2, 6, 16)]
