// A read port between the core of Vitis HLS and memory: the core may be reset while words are under way, which AXI4 does not allow of a
// master. Reads that were asked for go on; their words are taken and dropped, and until the last one came the core is not heard.
//
// AR has a register; R passes through. Counters as in qlight_weight_reader: words that came, cycles with words outstanding, an error response.
module qlight_hls_port #(
    parameter int DATA_BITS = 64,
    parameter int ADDRESS_BITS = 40
) (
    input  logic                    clk,
    input  logic                    rst_n,
    input  logic                    core_rst_n,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [            63:0] core_araddr,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [             7:0] core_arlen,
    input  logic                    core_arvalid,
    output logic                    core_arready,
    output logic                    core_rvalid,
    input  logic                    core_rready,
    output logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output logic [             7:0] m_axi_arlen,
    output logic [             2:0] m_axi_arsize,
    output logic [             1:0] m_axi_arburst,
    output logic                    m_axi_arvalid,
    input  logic                    m_axi_arready,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [             1:0] m_axi_rresp,
    // verilator lint_on UNUSEDSIGNAL
    input  logic                    m_axi_rvalid,
    output logic                    m_axi_rready,
    input  logic                    clear,
    output logic [            47:0] words,
    output logic [            47:0] busy_cycles,
    output logic                    error
);
  if (DATA_BITS != 32 && DATA_BITS != 64 && DATA_BITS != 128) begin : gen_error_1
    $error("qlight_hls_port: DATA_BITS must be 32, 64 or 128.");
  end
  if (ADDRESS_BITS < 13 || ADDRESS_BITS > 64) begin : gen_error_2
    $error("qlight_hls_port: ADDRESS_BITS must be from 13 to 64.");
  end

  logic [15:0] outstanding;  // words, of the register at AR too
  logic dropping, ask, took;
  assign m_axi_arsize = 3'($clog2(DATA_BITS / 8));
  assign m_axi_arburst = 2'b01;
  assign core_arready = core_rst_n && !dropping && (!m_axi_arvalid || m_axi_arready) && outstanding < 16'h8000;
  assign core_rvalid = m_axi_rvalid && core_rst_n && !dropping;
  assign m_axi_rready = !core_rst_n || dropping || core_rready;
  assign ask = core_arvalid && core_arready;
  assign took = m_axi_rvalid && m_axi_rready;

  always_ff @(posedge clk) begin
    if (ask) begin
      m_axi_araddr <= core_araddr[ADDRESS_BITS-1:0];
      m_axi_arlen <= core_arlen;
    end
    if (!rst_n) begin
      m_axi_arvalid <= 1'b0;
      outstanding <= '0;
      dropping <= 1'b0;
    end else begin
      if (ask) m_axi_arvalid <= 1'b1;
      else if (m_axi_arready) m_axi_arvalid <= 1'b0;
      outstanding <= outstanding + (ask ? 16'(core_arlen) + 16'd1 : '0) - 16'(took);
      dropping <= (!core_rst_n || dropping) && outstanding != '0;
    end
    if (!rst_n || clear) begin
      words <= '0;
      busy_cycles <= '0;
      error <= 1'b0;
    end else begin
      if (took) words <= words + 1'b1;
      if (outstanding != '0) busy_cycles <= busy_cycles + 1'b1;
      if (took && m_axi_rresp[1]) error <= 1'b1;
    end
  end
endmodule
