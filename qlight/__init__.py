"""qlight: train low-bit-width neural networks, attack them, and put the same networks on an FPGA."""

__version__ = "0.1.0"
