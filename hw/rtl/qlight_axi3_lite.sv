// From an AXI3 master with IDs (M_AXI_GP of Zynq-7000) to PORTS blocks of registers behind AXI4-Lite: port p has the 2^BLOCK_BITS bytes
// from BASE + p 2^BLOCK_BITS on.
//
// One write and one read at a time, beat by beat: a burst of n is n accesses, at rising addresses or at the same one (AxBURST 1, 0). The
// response of a write is the worst of its beats. What no port has is answered with a decode error; a wrapping burst, which no device
// memory sees, with a slave error and no access. Narrow reads get the whole word.
module qlight_axi3_lite #(
    parameter int PORTS = 2,
    parameter int BLOCK_BITS = 16,
    parameter int ID_BITS = 12,
    parameter logic [31:0] BASE = 32'h4000_0000
) (
    input  logic                             clk,
    input  logic                             rst_n,
    input  logic [   ID_BITS-1:0]            s_axi_awid,
    input  logic [          31:0]            s_axi_awaddr,
    input  logic [           3:0]            s_axi_awlen,
    input  logic [           1:0]            s_axi_awsize,
    input  logic [           1:0]            s_axi_awburst,
    input  logic                             s_axi_awvalid,
    output logic                             s_axi_awready,
    input  logic [          31:0]            s_axi_wdata,
    input  logic [           3:0]            s_axi_wstrb,
    input  logic                             s_axi_wvalid,
    output logic                             s_axi_wready,
    output logic [   ID_BITS-1:0]            s_axi_bid,
    output logic [           1:0]            s_axi_bresp,
    output logic                             s_axi_bvalid,
    input  logic                             s_axi_bready,
    input  logic [   ID_BITS-1:0]            s_axi_arid,
    input  logic [          31:0]            s_axi_araddr,
    input  logic [           3:0]            s_axi_arlen,
    input  logic [           1:0]            s_axi_arsize,
    input  logic [           1:0]            s_axi_arburst,
    input  logic                             s_axi_arvalid,
    output logic                             s_axi_arready,
    output logic [   ID_BITS-1:0]            s_axi_rid,
    output logic [          31:0]            s_axi_rdata,
    output logic [           1:0]            s_axi_rresp,
    output logic                             s_axi_rlast,
    output logic                             s_axi_rvalid,
    input  logic                             s_axi_rready,
    // Address and data are those of all ports.
    output logic [BLOCK_BITS-1:0]            m_axi_awaddr,
    output logic [     PORTS-1:0]            m_axi_awvalid,
    input  logic [     PORTS-1:0]            m_axi_awready,
    output logic [          31:0]            m_axi_wdata,
    output logic [           3:0]            m_axi_wstrb,
    output logic [     PORTS-1:0]            m_axi_wvalid,
    input  logic [     PORTS-1:0]            m_axi_wready,
    input  logic [     PORTS-1:0][ 1:0]      m_axi_bresp,
    input  logic [     PORTS-1:0]            m_axi_bvalid,
    output logic [     PORTS-1:0]            m_axi_bready,
    output logic [BLOCK_BITS-1:0]            m_axi_araddr,
    output logic [     PORTS-1:0]            m_axi_arvalid,
    input  logic [     PORTS-1:0]            m_axi_arready,
    input  logic [     PORTS-1:0][31:0]      m_axi_rdata,
    input  logic [     PORTS-1:0][ 1:0]      m_axi_rresp,
    input  logic [     PORTS-1:0]            m_axi_rvalid,
    output logic [     PORTS-1:0]            m_axi_rready
);
  if (PORTS < 1 || PORTS > 16) begin : gen_error_1
    $error("qlight_axi3_lite: PORTS must be from 1 to 16.");
  end
  if (BLOCK_BITS < 4 || BLOCK_BITS > 24 || (BASE & ((32'd1 << BLOCK_BITS) - 1)) != '0) begin : gen_error_2
    $error("qlight_axi3_lite: BLOCK_BITS must be from 4 to 24, and BASE a multiple of a block.");
  end
  localparam logic [1:0] OKAY = 2'b00, SLAVE_ERROR = 2'b10, DECODE_ERROR = 2'b11, INCREMENT = 2'b01, WRAP = 2'b10;
  typedef enum logic [1:0] {
    REST,
    GO,
    WAIT,
    ANSWER
  } state_t;
  typedef struct packed {
    logic [31:0] address;
    logic [3:0]  left;     // beats behind this one
    logic [1:0]  size;
    logic [1:0]  burst;
  } beat_t;

  function automatic logic [PORTS-1:0] port_of(input logic [31:BLOCK_BITS] block, input logic [1:0] burst);
    for (int p = 0; p < PORTS; p++) port_of[p] = burst != WRAP && block == BASE[31:BLOCK_BITS] + (32 - BLOCK_BITS)'(p);
  endfunction

  function automatic beat_t behind(input beat_t beat);
    behind = beat;
    behind.left = beat.left - 1'b1;
    if (beat.burst == INCREMENT) behind.address = beat.address + (32'd1 << beat.size);
  endfunction

  // ---- Writes. `write_port` is one-hot, or nothing.
  state_t write_state;
  beat_t write_beat;
  logic [PORTS-1:0] write_port;
  logic aw_taken, w_taken, both, write_answered;
  logic [1:0] write_missed, response, found;
  assign write_port = port_of(write_beat.address[31:BLOCK_BITS], write_beat.burst);
  assign write_missed = write_beat.burst == WRAP ? SLAVE_ERROR : DECODE_ERROR;
  assign s_axi_awready = write_state == REST;
  assign m_axi_awaddr = write_beat.address[BLOCK_BITS-1:0];
  assign m_axi_wdata = s_axi_wdata;
  assign m_axi_wstrb = s_axi_wstrb;
  assign m_axi_awvalid = write_port & {PORTS{write_state == GO && s_axi_wvalid && !aw_taken}};
  assign m_axi_wvalid = write_port & {PORTS{write_state == GO && s_axi_wvalid && !w_taken}};
  assign both = (aw_taken || |(m_axi_awvalid & m_axi_awready)) && (w_taken || |(m_axi_wvalid & m_axi_wready));
  assign s_axi_wready = write_state == GO && (both || write_port == '0);
  assign m_axi_bready = write_port & {PORTS{write_state == WAIT}};
  assign write_answered = |(m_axi_bready & m_axi_bvalid);
  assign s_axi_bvalid = write_state == ANSWER;
  assign s_axi_bresp = response;
  always_comb begin
    found = write_state == GO ? write_missed : OKAY;
    for (int p = 0; p < PORTS; p++) if (m_axi_bready[p]) found = m_axi_bresp[p];
  end

  always_ff @(posedge clk) begin
    if (s_axi_awvalid && s_axi_awready) begin
      s_axi_bid <= s_axi_awid;
      write_beat <= '{s_axi_awaddr, s_axi_awlen, s_axi_awsize, s_axi_awburst};
      response <= OKAY;
    end
    if (write_answered || (s_axi_wvalid && s_axi_wready && write_port == '0)) begin
      write_beat <= behind(write_beat);
      if (found > response) response <= found;
    end
    if (!rst_n) begin
      write_state <= REST;
      aw_taken <= 1'b0;
      w_taken <= 1'b0;
    end else begin
      aw_taken <= write_state == GO && !both && (aw_taken || |(m_axi_awvalid & m_axi_awready));
      w_taken <= write_state == GO && !both && (w_taken || |(m_axi_wvalid & m_axi_wready));
      case (write_state)
        REST: if (s_axi_awvalid) write_state <= GO;
        GO:
        if (s_axi_wvalid && s_axi_wready) begin
          if (write_port != '0) write_state <= WAIT;
          else if (write_beat.left == '0) write_state <= ANSWER;
        end
        WAIT: if (write_answered) write_state <= write_beat.left == '0 ? ANSWER : GO;
        ANSWER: if (s_axi_bready) write_state <= REST;
      endcase
    end
  end

  // ---- Reads.
  state_t read_state;
  beat_t read_beat;
  logic [PORTS-1:0] read_port;
  logic read_done;
  assign read_port = port_of(read_beat.address[31:BLOCK_BITS], read_beat.burst);
  assign s_axi_arready = read_state == REST;
  assign m_axi_araddr = read_beat.address[BLOCK_BITS-1:0];
  assign m_axi_arvalid = read_port & {PORTS{read_state == GO}};
  assign m_axi_rready = read_port & {PORTS{read_state == WAIT && s_axi_rready}};
  assign s_axi_rlast = read_beat.left == '0;
  assign read_done = s_axi_rvalid && s_axi_rready;
  always_comb begin
    s_axi_rvalid = read_state == ANSWER;
    s_axi_rresp = read_beat.burst == WRAP ? SLAVE_ERROR : DECODE_ERROR;
    s_axi_rdata = '0;
    for (int p = 0; p < PORTS; p++)
      if (read_state == WAIT && read_port[p]) begin
        s_axi_rvalid = m_axi_rvalid[p];
        s_axi_rresp = m_axi_rresp[p];
        s_axi_rdata = m_axi_rdata[p];
      end
  end

  always_ff @(posedge clk) begin
    if (s_axi_arvalid && s_axi_arready) begin
      s_axi_rid <= s_axi_arid;
      read_beat <= '{s_axi_araddr, s_axi_arlen, s_axi_arsize, s_axi_arburst};
    end else if (read_done) read_beat <= behind(read_beat);
    if (!rst_n) read_state <= REST;
    else
      case (read_state)
        REST: if (s_axi_arvalid) read_state <= GO;
        GO: if (read_port == '0) read_state <= ANSWER; else if (|(m_axi_arvalid & m_axi_arready)) read_state <= WAIT;
        WAIT, ANSWER: if (read_done) read_state <= s_axi_rlast ? REST : GO;
      endcase
  end
endmodule
