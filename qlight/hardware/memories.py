"""What a memory with one write and one read port takes: LUTs, block RAM or UltraRAM, as Yosys maps it.

The rules are those of Yosys' library of Xilinx memories: banks of one primitive side by side and above each other, a multiplexer behind
banks that are above each other, and of several possible primitives the cheapest by the library's cost. `benchmarks/resource_fit.py`
compares them with Yosys.
"""

from __future__ import annotations

from functools import cache

from qlight.errors import InputError
from qlight.hardware.boards import Resources

AUTO, BLOCK, DISTRIBUTED, ULTRA = "auto", "block", "distributed", "ultra"
STYLES = (AUTO, BLOCK, DISTRIBUTED, ULTRA)
#: (log2 of the depth, bits, LUTs) of a distributed primitive with one write and one read port
_LUT_RAMS = {"xc7": ((5, 6, 4), (6, 3, 4)), "xcup": ((5, 14, 8), (6, 7, 8))}
#: library costs: of a LUT of distributed memory, of half a block RAM and a whole one; half a one a bit and bank that a multiplexer chooses
_LUT_COST, _HALF_COST, _WHOLE_COST = 2, 129, 257
_URAM_DEPTH, _URAM_BITS = 4096, 72
#: a memory of so many words or fewer becomes flip-flops
_REGISTERS = 1


@cache
def memory(depth: int, width: int, style: str = AUTO, family: str = "xc7") -> Resources:
    """The memory alone, with its output register where it is made of LUTs.

    Args:
        depth, width: words, and bits of a word.
        style: "auto", "block", "distributed" or "ultra" (UltraScale+ only).
        family: "xc7" or "xcup".

    >>> memory(288, 2048, "block")
    Resources(lut=0, ff=0, bram18=57, uram=0, dsp=0)
    >>> memory(64, 6, "distributed")
    Resources(lut=8, ff=6, bram18=0, uram=0, dsp=0)
    """
    if style not in STYLES or (style == ULTRA and family != "xcup"):
        raise InputError(f"Expected `style` to be one of {', '.join(STYLES)} (ultra with xcup only), but got {style!r} for {family}.")
    if style == ULTRA:
        banks = -(-depth // _URAM_DEPTH)
        return Resources(lut=_multiplexer(banks) * width, uram=banks * -(-width // _URAM_BITS))
    if depth <= _REGISTERS:
        return Resources(ff=2 * width * depth)
    distributed, distributed_cost = _distributed(depth, width, family)
    if style == DISTRIBUTED:
        return distributed
    block, block_cost = _block(depth, width)
    return block if style == BLOCK or block_cost <= distributed_cost else distributed


def packing(depth: int, width: int, made: Resources) -> float:
    """Bits stored over bits of the block RAM and UltraRAM that hold them; 1 is full.

    >>> round(packing(1024, 36, Resources(bram18=2)), 2)
    1.0
    """
    capacity = made.bram18 * 18432 + made.uram * _URAM_DEPTH * _URAM_BITS
    return depth * width / capacity if capacity else 0.0


def best_style(depth: int, width: int) -> str:
    """RAM_STYLE of a memory by its shape: block RAM where at least half of it is used, and little memories in LUTs.

    A wide and shallow memory must be told, or a tool may make it of LUTs or flip-flops by its own rules.

    >>> best_style(288, 2048), best_style(16, 512), best_style(64, 8)
    ('block', 'distributed', 'distributed')
    """
    block, _ = _block(depth, width)
    distributed, _ = _distributed(depth, width, "xc7")
    # 80 LUTs of memory are about as much of a Zynq as half a block RAM is: 53,200 LUTs, 280 halves, a quarter of the LUTs being memory
    return BLOCK if distributed.lut > 80 * block.bram18 else DISTRIBUTED


def _distributed(depth: int, width: int, family: str) -> tuple[Resources, int]:
    found = []
    for log, bits, luts in _LUT_RAMS[family]:
        banks = -(-depth // 2**log)
        memory_luts = banks * -(-width // bits) * luts
        found.append((memory_luts * _LUT_COST + (banks - 1) * width // 2, memory_luts + _multiplexer(banks) * width))
    cost, luts = min(found)
    return Resources(lut=luts, ff=width), cost


def _block(depth: int, width: int) -> tuple[Resources, int]:
    found = []
    for cost, halves, bits in ((_HALF_COST, 1, 36), (_WHOLE_COST, 2, 72)):
        log = 9
        while bits:
            banks = -(-depth // 2**log)
            count = banks * -(-width // bits)
            found.append((count * cost, count * halves, _multiplexer(banks) * width))
            bits, log = {72: 36, 36: 18, 18: 9, 9: 4, 4: 2, 2: 1, 1: 0}[bits], log + 1
    cost, halves, luts = min(found)
    return Resources(lut=luts, bram18=halves), cost


def _multiplexer(banks: int) -> int:
    """LUTs a bit that choose one of so many banks: a LUT takes four with two address bits."""
    luts = 0
    while banks > 1:
        whole, rest = divmod(banks, 4)
        luts += whole + (rest > 1)
        banks = whole + (rest > 0)
    return luts
