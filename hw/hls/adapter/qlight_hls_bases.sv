// Tells the core of Vitis HLS where its weights lie and whether to fetch them: when `run` comes, the bases are written to its AXI4-Lite
// registers, port after port, lower word first; then, and when `run` goes, a word of its parameter chain says so.
module qlight_hls_bases #(
    parameter int STREAMS = 1,
    parameter int ADDRESS_BITS = 40,
    parameter int FIRST = 16,  // byte offset of the first base
    parameter int STEP = 12,   // to the next one
    parameter int OFFSET_BITS = 8
) (
    input  logic                                 clk,
    input  logic                                 rst_n,
    input  logic                                 run,
    input  logic [STREAMS-1:0][ADDRESS_BITS-1:0] base,
    output logic [             OFFSET_BITS-1:0]  m_axi_awaddr,
    output logic                                 m_axi_awvalid,
    input  logic                                 m_axi_awready,
    output logic [                         31:0] m_axi_wdata,
    output logic                                 m_axi_wvalid,
    input  logic                                 m_axi_wready,
    input  logic                                 m_axi_bvalid,
    output logic                                 m_axi_bready,
    output logic                                 tell,
    output logic                                 tell_run,
    input  logic                                 told
);
  if (STREAMS < 1) begin : gen_error_1
    $error("qlight_hls_bases: STREAMS must be at least 1.");
  end
  if (ADDRESS_BITS < 33 || ADDRESS_BITS > 64) begin : gen_error_2
    $error("qlight_hls_bases: ADDRESS_BITS must be from 33 to 64.");
  end

  localparam int PORT_BITS = STREAMS > 1 ? $clog2(STREAMS) : 1;
  logic running;  // as the core was told last
  logic writing;
  logic upper, last;
  logic [PORT_BITS-1:0] port;
  assign last = upper && port == PORT_BITS'(STREAMS - 1);
  assign m_axi_bready = 1'b1;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      writing <= 1'b0;
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
      tell <= 1'b0;
      upper <= 1'b0;
      port <= '0;
    end else begin
      if (m_axi_awready) m_axi_awvalid <= 1'b0;
      if (m_axi_wready) m_axi_wvalid <= 1'b0;
      if (tell) begin
        if (told) begin
          tell <= 1'b0;
          running <= tell_run;
        end
      end else if (writing) begin
        if (m_axi_bvalid) begin
          writing <= 1'b0;
          upper <= !upper;
          if (upper) port <= last ? '0 : port + 1'b1;
          tell <= last;
        end
      end else if (run && !running) begin
        writing <= 1'b1;
        m_axi_awvalid <= 1'b1;
        m_axi_wvalid <= 1'b1;
      end else if (!run) begin
        upper <= 1'b0;
        port <= '0;
        if (running) tell <= 1'b1;
      end
    end
    if (!tell && !writing) begin
      tell_run <= !running;
      m_axi_awaddr <= OFFSET_BITS'(FIRST + STEP * int'(port) + (upper ? 4 : 0));
      m_axi_wdata <= upper ? 32'(base[port][ADDRESS_BITS-1:32]) : base[port][31:0];
    end
  end
endmodule
