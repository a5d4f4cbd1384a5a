"""A board without a board: AXI DMA, memory and AXI4-Lite registers in Python, the packed engine or the verilated RTL behind them, and the
services of a PYNQ.remote daemon in front, so that the unmodified pynq package works with it. It can be told to fail.

Nothing here is a bitstream, or pretends to be one: an emulated overlay is a text that names the design.
"""
