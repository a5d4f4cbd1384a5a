"""Cases of qlight_swg: kernels 1 to 5, paddings on each side alone, folds, maps smaller than the kernel."""

from hw.tb.common.cases import Case


def _case(
    bits: int,
    lanes: int,
    channels: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    padding: tuple[int, int, int, int],
    code: int = 0,
    slow: bool = False,
) -> Case:
    names = ("PAD_TOP", "PAD_BOTTOM", "PAD_LEFT", "PAD_RIGHT")
    parameters: dict[str, int | str] = {"BITS": bits, "LANES": lanes, "CHANNELS": channels, "HEIGHT": size[0], "WIDTH": size[1]}
    parameters |= {"KERNEL_H": kernel[0], "KERNEL_W": kernel[1], **dict(zip(names, padding, strict=True)), "PAD_CODE": code}
    return Case("qlight_swg", parameters, bits * lanes, bits * lanes, slow=slow)


CASES = [
    _case(1, 4, 8, (6, 5), (3, 3), (1, 1, 1, 1)),
    _case(8, 3, 3, (5, 6), (3, 3), (1, 1, 1, 1), 200),
    _case(2, 2, 4, (5, 9), (3, 3), (0, 0, 0, 0)),
    _case(4, 1, 2, (4, 7), (2, 5), (1, 0, 2, 4), 9),
    _case(3, 2, 2, (3, 3), (1, 1), (0, 0, 0, 0)),
    _case(2, 1, 1, (1, 1), (3, 3), (1, 1, 1, 1), 1),
    _case(2, 1, 3, (3, 4), (3, 4), (0, 0, 0, 0)),
]
CASES += [
    _case(2, lanes, 4, size, kernel, padding, 3, slow=True)
    for lanes, size, kernel, padding in (
        (4, (8, 8), (3, 3), (1, 1, 1, 1)),
        (1, (8, 8), (3, 3), (1, 1, 1, 1)),
        (2, (7, 5), (3, 3), (2, 2, 2, 2)),
        (4, (7, 5), (3, 3), (2, 0, 0, 2)),
        (4, (7, 5), (3, 3), (0, 2, 2, 0)),
        (4, (5, 9), (5, 5), (2, 2, 2, 2)),
        (2, (6, 6), (5, 3), (0, 0, 0, 0)),
        (2, (9, 2), (4, 2), (3, 3, 1, 1)),
        (4, (1, 9), (1, 4), (0, 0, 0, 3)),
        (4, (9, 1), (4, 1), (1, 2, 0, 0)),
        (4, (4, 4), (4, 4), (0, 0, 0, 0)),
        (4, (2, 2), (4, 4), (1, 1, 2, 2)),
        (1, (5, 5), (2, 2), (0, 0, 0, 0)),
        (4, (5, 5), (1, 1), (0, 0, 0, 0)),
        (4, (16, 16), (3, 3), (1, 1, 1, 1)),
        (2, (4, 12), (3, 3), (0, 1, 1, 0)),
    )
]
