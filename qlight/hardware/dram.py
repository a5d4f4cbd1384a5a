"""Weights in DRAM: how the rows of a streamed layer lie in memory, and how many words of a memory port they are.

The rows of PE * SIMD * bits bits, in the order in which the unit uses them (row nf * SF + sf), follow each other bit by bit, first bit
least significant. Zeros fill up the last word, so that every image's weights begin with a word; the unit drops them.
"""

from __future__ import annotations

#: widths of a memory port, in bits
PORT_BITS = (32, 64, 128)
#: of an address at a port: what the 64-bit Zynq has; a smaller system ignores the upper ones
ADDRESS_BITS = 40
#: words of a burst (AXI3, as the Zynq 7000 has it, takes no more), and of a reader's FIFO, which bounds what is outstanding
BURST, DEPTH = 16, 128


def stream_words(rows: int, row_bits: int, port_bits: int) -> int:
    """Words of ``port_bits`` bits an image.

    >>> stream_words(5, 24, 32), stream_words(16, 128, 64)
    (4, 32)
    """
    return -(-rows * row_bits // port_bits)
