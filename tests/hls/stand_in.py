"""A module with the ports that Vitis HLS gives the core, made of the RTL's cells, to try the adapter with."""

from __future__ import annotations

from qlight.hardware.hls_top import FUNCTION
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.top import control, top_level

_HEAD = f"""module {FUNCTION} (
    input  logic        ap_clk,
    input  logic        ap_rst_n,
    input  logic [31:0] s_axis_TDATA,
    input  logic        s_axis_TVALID,
    output logic        s_axis_TREADY,
    input  logic [39:0] cfg_TDATA,
    input  logic        cfg_TVALID,
    output logic        cfg_TREADY,
    output logic [31:0] m_axis_TDATA,
    output logic        m_axis_TVALID,
    input  logic        m_axis_TREADY
);
  logic clk, pipeline_rst_n, m_axis_tvalid, m_axis_tready;
  logic [31:0] m_axis_tdata;
  assign clk = ap_clk;
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
  assign c0_valid = cfg_TVALID && cfg_TREADY && !cfg_TDATA[32];
  assign c0_data = cfg_TDATA[31:0];
"""


def stand_in(pipeline: Pipeline) -> str:
    """SystemVerilog of the core: the generated top level of the RTL without qlight_control; memory files are named as there."""
    text = top_level(pipeline, "0" * 64, "0" * 64)
    body = text[text.index("  logic [31:0] s0_tdata;") :]
    before, after = body.split(control(pipeline))
    return f"{_HEAD}\n{before}{after}"
