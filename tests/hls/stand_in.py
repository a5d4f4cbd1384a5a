"""A module with the ports that Vitis HLS gives the core, made of the RTL's cells, to try the adapter with."""

from __future__ import annotations

from collections.abc import Iterator

from qlight.hardware.dram import ADDRESS_BITS
from qlight.hardware.hls_adapter import offset_bits
from qlight.hardware.hls_streamed import base_offset
from qlight.hardware.hls_top import FUNCTION
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.top import control, top_level
from qlight.hardware.top_streamed import AXI

_STREAMS = """    input  logic        ap_clk,
    input  logic        ap_rst_n,
    input  logic [31:0] s_axis_TDATA,
    input  logic        s_axis_TVALID,
    output logic        s_axis_TREADY,
    input  logic [39:0] cfg_TDATA,
    input  logic        cfg_TVALID,
    output logic        cfg_TREADY,
    output logic [31:0] m_axis_TDATA,
    output logic        m_axis_TVALID,
    input  logic        m_axis_TREADY"""

_BODY = """
  logic clk, rst_n, pipeline_rst_n, m_axis_tvalid, m_axis_tready;
  logic [31:0] m_axis_tdata;
  assign clk = ap_clk;
  assign rst_n = ap_rst_n;
  assign pipeline_rst_n = ap_rst_n;
  assign s0_tdata = s_axis_TDATA;
  assign s0_tvalid = s_axis_TVALID;
  assign s_axis_TREADY = s0_tready;
  assign m_axis_TDATA = m_axis_tdata;
  assign m_axis_TVALID = m_axis_tvalid;
  assign m_axis_tready = m_axis_TREADY;

  // Parameter words are taken in two of seven cycles only.
  logic [2:0] turn;
  always_ff @(posedge clk) turn <= !pipeline_rst_n || turn == 3'd6 ? 3'd0 : turn + 3'd1;
  assign cfg_TREADY = turn == 3'd2 || turn == 3'd5;
  assign c0_start = cfg_TVALID && cfg_TREADY && cfg_TDATA[32];
  assign c0_valid = cfg_TVALID && cfg_TREADY && !cfg_TDATA[32] && !cfg_TDATA[33];
  assign c0_data = cfg_TDATA[31:0];
"""

# Of m_axi ports whose channels of writes are never used, and of s_axi_control those of reads.
_INPUTS = (("AWREADY", 1), ("WREADY", 1), ("BVALID", 1), ("BID", 1), ("BUSER", 1), ("BRESP", 2), ("RID", 1), ("RUSER", 1))
_CONTROL = (
    *(("input", "AWADDR", 0), ("input", "AWVALID", 1), ("output", "AWREADY", 1), ("input", "WDATA", 32), ("input", "WSTRB", 4)),
    *(("input", "WVALID", 1), ("output", "WREADY", 1), ("output", "BVALID", 1), ("input", "BREADY", 1)),
    *(("input", "ARADDR", 0), ("input", "ARVALID", 1), ("input", "RREADY", 1)),
)

# As Vitis HLS' register files: an address, then its data, then the response.
_REGISTERS = """
  logic [{last}:0][{high}:0] weights_base;
  logic [{last}:0][47:0] weights_words, weights_busy_cycles, weights_starved_cycles;
  logic [{last}:0] weights_error;
  logic weights_run, clear;
  logic [1:0] state;
  logic [{offset}:0] address;
  assign clear = 1'b0;
  assign s_axi_control_AWREADY = state == 2'd0;
  assign s_axi_control_WREADY = state == 2'd1;
  assign s_axi_control_BVALID = state == 2'd2;
  always_ff @(posedge clk) begin
    if (s_axi_control_AWVALID && s_axi_control_AWREADY) begin
      state <= 2'd1;
      address <= s_axi_control_AWADDR;
    end
    if (s_axi_control_WVALID && s_axi_control_WREADY) begin
      state <= 2'd2;
{writes}
    end
    if (s_axi_control_BREADY && s_axi_control_BVALID) state <= 2'd0;
    if (cfg_TVALID && cfg_TREADY && cfg_TDATA[33]) weights_run <= cfg_TDATA[0];
    if (c0_start) weights_run <= 1'b0;
    if (!ap_rst_n) begin
      weights_run <= 1'b0;
      weights_base <= '0;
      state <= 2'd0;
    end
  end
"""


def stand_in(pipeline: Pipeline) -> str:
    """SystemVerilog of the core: the generated top level of the RTL without qlight_control; memory files are named as there."""
    text = top_level(pipeline, "0" * 64, "0" * 64)
    body = text[text.index("  logic [31:0] s0_tdata;") :]
    before, after = body.split(control(pipeline))
    ports = ",\n".join([_STREAMS, *_memory_ports(pipeline)])
    nets = "\n".join(_memory_nets(pipeline))
    return f"module {FUNCTION} (\n{ports}\n);\n{_BODY}\n{before}{nets}{after}"


def _memory_ports(pipeline: Pipeline) -> Iterator[str]:
    for port, unit in enumerate(pipeline.streamed):
        for direction, name, bits in AXI:
            if name == "araddr":
                bits = 64
            yield f"    {direction} logic [{(bits or unit.port_bits) - 1}:0] m_axi_w{port}_{name.upper()}"
        for name, bits in _INPUTS:
            yield f"    input logic [{bits - 1}:0] m_axi_w{port}_{name}"
    for direction, name, bits in _CONTROL if pipeline.streamed else ():
        yield f"    {direction} logic [{(bits or offset_bits(len(pipeline.streamed))) - 1}:0] s_axi_control_{name}"


def _memory_nets(pipeline: Pipeline) -> Iterator[str]:
    """The RTL's names for the ports, and the registers of the bases."""
    for port, unit in enumerate(pipeline.streamed):
        for direction, name, bits in AXI:
            ours, theirs = f"m_axi_w{port}_{name}", f"m_axi_w{port}_{name.upper()}"
            yield f"  logic [{(bits or unit.port_bits) - 1}:0] {ours};"
            yield (
                f"  assign {theirs} = {'64' if name == 'araddr' else ''}{chr(39) if name == 'araddr' else ''}({ours});"
                if (direction == "output")
                else f"  assign {ours} = {theirs};"
            )
    count = len(pipeline.streamed)
    if not count:
        return
    writes = []
    for port in range(count):
        for half, bits in enumerate(
            (f"[{port}][31:0] <= s_axi_control_WDATA", f"[{port}][{ADDRESS_BITS - 1}:32] <= {ADDRESS_BITS - 32}'(s_axi_control_WDATA)")
        ):
            writes.append(f"      if (address == {base_offset(port) + 4 * half}) weights_base{bits};")
    yield _REGISTERS.format(last=count - 1, high=ADDRESS_BITS - 1, offset=offset_bits(count) - 1, writes="\n".join(writes))
