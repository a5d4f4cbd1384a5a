"""The AXI4-Lite registers of qlight_top: byte offsets, as hw/rtl/qlight_control.sv has them."""

from __future__ import annotations

ID, VERSION, CONTROL, LOADED = 0x00, 0x04, 0x08, 0x0C
#: eight words each, the first digits of the hash first
GRAPH_HASH = tuple(range(0x10, 0x30, 4))
GEOMETRY_HASH = tuple(range(0x30, 0x50, 4))
IMAGE_BYTES, CLASSES, PARAMETER_WORDS = 0x50, 0x54, 0x58
IMAGES, CYCLES_LOW, CYCLES_HIGH, STALL_IN, STALL_OUT, CLEAR, PACKET = 0x5C, 0x60, 0x64, 0x68, 0x6C, 0x70, 0x74

#: of the weight readers (qlight_weight_registers.sv), there where layers are streamed; from STREAM_BASE_LOW on those of the selected one
STREAMS, STREAM_SELECT, STREAM_GO, STREAM_BASE_LOW, STREAM_BASE_HIGH = 0x80, 0x84, 0x88, 0x8C, 0x90
STREAM_WORD_BYTES, STREAM_IMAGE_WORDS = 0x94, 0x98
#: low parts of counters of 48 bits; the high part is the register after it
STREAM_WORDS, STREAM_BUSY, STREAM_STARVED, STREAM_ERROR = 0x9C, 0xA4, 0xAC, 0xB4

#: what ID holds: "QLGT"
ID_VALUE = 0x514C4754
#: values of CONTROL
RUN, SOFT_RESET, LOAD_MODE = 0, 1, 2
