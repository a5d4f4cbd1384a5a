// A DMA between memory behind one AXI3 port of 64 bits (S_AXI_HP of Zynq-7000) and streams of 32 bits, with the registers of AXI DMA in
// direct register mode: qlight_dma_registers, qlight_dma_read (MM2S) and qlight_dma_write (S2MM).
//
// All bursts have one ID. AxSIZE has the 2 bits that these ports have.
module qlight_dma #(
    parameter int READ_DEPTH = 64,
    parameter int WRITE_DEPTH = 32
) (
    input  logic        clk,
    input  logic        rst_n,
    input  logic [ 7:0] s_axi_awaddr,
    input  logic        s_axi_awvalid,
    output logic        s_axi_awready,
    input  logic [31:0] s_axi_wdata,
    input  logic [ 3:0] s_axi_wstrb,
    input  logic        s_axi_wvalid,
    output logic        s_axi_wready,
    output logic [ 1:0] s_axi_bresp,
    output logic        s_axi_bvalid,
    input  logic        s_axi_bready,
    input  logic [ 7:0] s_axi_araddr,
    input  logic        s_axi_arvalid,
    output logic        s_axi_arready,
    output logic [31:0] s_axi_rdata,
    output logic [ 1:0] s_axi_rresp,
    output logic        s_axi_rvalid,
    input  logic        s_axi_rready,
    output logic [31:0] m_axi_araddr,
    output logic [ 3:0] m_axi_arlen,
    output logic [ 1:0] m_axi_arsize,
    output logic [ 1:0] m_axi_arburst,
    output logic        m_axi_arvalid,
    input  logic        m_axi_arready,
    input  logic [63:0] m_axi_rdata,
    input  logic [ 1:0] m_axi_rresp,
    input  logic        m_axi_rvalid,
    output logic        m_axi_rready,
    output logic [31:0] m_axi_awaddr,
    output logic [ 3:0] m_axi_awlen,
    output logic [ 1:0] m_axi_awsize,
    output logic [ 1:0] m_axi_awburst,
    output logic        m_axi_awvalid,
    input  logic        m_axi_awready,
    output logic [63:0] m_axi_wdata,
    output logic [ 7:0] m_axi_wstrb,
    output logic        m_axi_wlast,
    output logic        m_axi_wvalid,
    input  logic        m_axi_wready,
    input  logic [ 1:0] m_axi_bresp,
    input  logic        m_axi_bvalid,
    output logic        m_axi_bready,
    output logic [31:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready,
    input  logic [31:0] s_axis_tdata,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    input  logic        s_axis_tlast
);
  logic [1:0] start, halt, busy, done;
  logic [1:0][2:0] error;
  logic [1:0] read_error;
  logic [31:2] address;
  logic [23:0] words, taken;
  assign m_axi_arsize = 2'd3;
  assign m_axi_awsize = 2'd3;
  assign m_axi_arburst = 2'b01;
  assign m_axi_awburst = 2'b01;
  assign error[0] = {read_error == 2'b11, read_error == 2'b10, 1'b0};

  qlight_dma_registers u_registers (
      .clk(clk),
      .rst_n(rst_n),
      .s_axi_awaddr(s_axi_awaddr),
      .s_axi_awvalid(s_axi_awvalid),
      .s_axi_awready(s_axi_awready),
      .s_axi_wdata(s_axi_wdata),
      .s_axi_wstrb(s_axi_wstrb),
      .s_axi_wvalid(s_axi_wvalid),
      .s_axi_wready(s_axi_wready),
      .s_axi_bresp(s_axi_bresp),
      .s_axi_bvalid(s_axi_bvalid),
      .s_axi_bready(s_axi_bready),
      .s_axi_araddr(s_axi_araddr),
      .s_axi_arvalid(s_axi_arvalid),
      .s_axi_arready(s_axi_arready),
      .s_axi_rdata(s_axi_rdata),
      .s_axi_rresp(s_axi_rresp),
      .s_axi_rvalid(s_axi_rvalid),
      .s_axi_rready(s_axi_rready),
      .start(start),
      .address(address),
      .words(words),
      .halt(halt),
      .busy(busy),
      .done(done),
      .error(error),
      .taken(taken)
  );

  qlight_dma_read #(
      .DEPTH(READ_DEPTH)
  ) u_read (
      .clk(clk),
      .rst_n(rst_n),
      .start(start[0]),
      .address(address),
      .words(words),
      .halt(halt[0]),
      .busy(busy[0]),
      .done(done[0]),
      .error(read_error),
      .m_axi_araddr(m_axi_araddr),
      .m_axi_arlen(m_axi_arlen),
      .m_axi_arvalid(m_axi_arvalid),
      .m_axi_arready(m_axi_arready),
      .m_axi_rdata(m_axi_rdata),
      .m_axi_rresp(m_axi_rresp),
      .m_axi_rvalid(m_axi_rvalid),
      .m_axi_rready(m_axi_rready),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
  );

  qlight_dma_write #(
      .DEPTH(WRITE_DEPTH)
  ) u_write (
      .clk(clk),
      .rst_n(rst_n),
      .start(start[1]),
      .address(address),
      .words(words),
      .halt(halt[1]),
      .busy(busy[1]),
      .done(done[1]),
      .error(error[1]),
      .taken(taken),
      .m_axi_awaddr(m_axi_awaddr),
      .m_axi_awlen(m_axi_awlen),
      .m_axi_awvalid(m_axi_awvalid),
      .m_axi_awready(m_axi_awready),
      .m_axi_wdata(m_axi_wdata),
      .m_axi_wstrb(m_axi_wstrb),
      .m_axi_wlast(m_axi_wlast),
      .m_axi_wvalid(m_axi_wvalid),
      .m_axi_wready(m_axi_wready),
      .m_axi_bresp(m_axi_bresp),
      .m_axi_bvalid(m_axi_bvalid),
      .m_axi_bready(m_axi_bready),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .s_axis_tlast(s_axis_tlast)
  );
endmodule
