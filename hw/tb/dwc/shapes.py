"""Cases of qlight_dwc: every ratio of small lane counts, whole and not; frames that end within an input beat."""

from hw.tb.common.cases import Case


def _case(bits: int, lanes_in: int, lanes_out: int, frame: int = 0, slow: bool = False) -> Case:
    parameters: dict[str, int | str] = {"BITS": bits, "IN_LANES": lanes_in, "OUT_LANES": lanes_out, "FRAME": frame}
    return Case("qlight_dwc", parameters, bits * lanes_in, bits * lanes_out, slow=slow)


CASES = [_case(8, 4, 3), _case(1, 1, 8), _case(2, 16, 1), _case(3, 4, 4), _case(2, 6, 4), _case(1, 3, 5), _case(8, 2, 1)]
CASES += [_case(1, 32, 12, 5), _case(1, 8, 20, 3), _case(2, 4, 3, 4), _case(1, 16, 1, 7), _case(1, 5, 5, 2)]
CASES += [_case(2, a, b, slow=True) for a in range(1, 9) for b in range(1, 9)]
CASES += [_case(1, a, b, frame, slow=True) for a, b in ((4, 3), (3, 4), (8, 1), (6, 9), (9, 6)) for frame in (1, 2, 5, 6)]
CASES += [_case(1, 64, 3, slow=True), _case(8, 3, 32, slow=True), _case(20, 10, 1, slow=True), _case(1, 48, 32, slow=True)]
