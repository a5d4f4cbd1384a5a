"""Cases of qlight_replay: frames of one beat and more, of powers of two and others, replayed once and more."""

from hw.tb.common.cases import Case


def _case(width: int, frame: int, times: int, slow: bool = False) -> Case:
    return Case("qlight_replay", {"WIDTH": width, "FRAME": frame, "TIMES": times}, width, width, slow=slow)


CASES = [_case(8, 6, 3), _case(5, 1, 4), _case(16, 4, 1), _case(3, 7, 2)]
CASES += [_case(9, frame, times, slow=True) for frame in (1, 2, 3, 8, 13, 32) for times in (1, 2, 5)]
