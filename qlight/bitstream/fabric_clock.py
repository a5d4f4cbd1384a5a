"""The clock of the open flow's designs: FCLK_CLK0 of Zynq-7000's processing system."""

from __future__ import annotations

from qlight.errors import InputError

#: MHz of the IO PLL that PYNQ's boot loader sets (50 MHz x 20), of which the fabric's clocks are made
IO_PLL_MHZ = 1000.0
#: the largest divisor, of which a clock has two (AMD UG585, FPGA0_CLK_CTRL)
_MOST = 63


def fabric_clock(mhz: float) -> tuple[int, int, float]:
    """Divisors of FCLK_CLK0 and its frequency: the highest one that is not above ``mhz``.

    Raises:
        InputError: there is none.

    >>> fabric_clock(100), fabric_clock(130)
    ((10, 1, 100.0), (8, 1, 125.0))
    """
    pairs = [(first, second) for first in range(1, _MOST + 1) for second in range(1, _MOST + 1) if IO_PLL_MHZ / (first * second) <= mhz]
    if not pairs:
        raise InputError(f"Expected `clock.mhz` of the board to be at least {IO_PLL_MHZ / _MOST**2:.2f}, but got {mhz:g}; raise it.")
    first, second = min(pairs, key=lambda pair: (pair[0] * pair[1], pair[1]))
    return first, second, IO_PLL_MHZ / (first * second)
