"""The handoff file of the open flow: what pynq must know of qlight_zynq.sv, in the form that the vendor's tool writes.

No type claims to be the vendor's IP: the DMA is qlight_dma, whose parameters have the names that pynq's driver of AXI DMA reads. Of the
processing system, pynq looks at the name of its type only.
"""

from __future__ import annotations

from xml.etree.ElementTree import SubElement

from qlight.bitstream.bitfile import device_of
from qlight.bitstream.fabric_clock import fabric_clock
from qlight.bitstream.handoff import BLOCK_BYTES, address_map
from qlight.bitstream.ps7 import ZYNQ
from qlight.board.handoff_elements import AXI_MEMORY, accelerator, dma, file_of, interface, module, registers, system
from qlight.board.overlay import OPEN_DMA_TYPE
from qlight.hardware.boards import Board

_CLOCKS, _MASTER = 4, "M_AXI_GP0"


def zynq_handoff(board: Board, weights: int = 0) -> bytes:
    """The handoff file for a board of Zynq-7000.

    Args:
        weights: how many layers read their weights from DRAM, over memory ports of their own.
    """
    device, _, speed = board.part.partition("-")
    family = device_of(board.part)
    root, modules = system(
        "zynq", family.removeprefix("xc"), device.removeprefix(family), ZYNQ, "none: built by qlight's open flow", f"-{speed}"
    )
    first, second, mhz = fabric_clock(board.clock_mhz)
    clocks = {f"PCW_FPGA_FCLK{index}_ENABLE": str(int(index == 0)) for index in range(_CLOCKS)}
    for index in range(_CLOCKS):
        used = index == 0
        clocks |= {
            f"PCW_FCLK{index}_PERIPHERAL_DIVISOR0": str(first if used else 1),
            f"PCW_FCLK{index}_PERIPHERAL_DIVISOR1": str(second if used else 1),
            f"PCW_FCLK{index}_PERIPHERAL_CLKSRC": "IO PLL",
            f"PCW_FPGA{index}_PERIPHERAL_FREQMHZ": f"{mhz if used else 0:.6f}",
        }
    processing_system = module(modules, "processing_system7_0", "qlight:user:processing_system7:1.0", clocks)
    interface(processing_system, _MASTER, "MASTER", AXI_MEMORY)
    for port in range(1 + weights):
        interface(processing_system, f"S_AXI_HP{port}", "SLAVE", AXI_MEMORY)
    ranges = SubElement(processing_system, "MEMORYMAP")
    blocks = {"dma": dma(modules, f"{OPEN_DMA_TYPE}:1.0", "s_axi", "m_axis", "s_axis"), "accelerator": accelerator(modules)}
    for name, block in blocks.items():
        registers(ranges, block, "s_axi", _MASTER, address_map(board.family)[name], BLOCK_BYTES)
    return file_of(root)
