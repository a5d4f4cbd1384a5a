// One direction of qlight_dma: words of memory as a stream. An AXI3 master of 64 bits that reads `words` words of 32 bits from `address` on.
//
// INCR bursts of up to 16 beats end where an address is a multiple of 128 bytes, so none crosses 4 KiB. A burst is only asked for when the
// FIFO of DEPTH beats has room for all of it: the memory never waits for this side. An address in the upper half of a beat, and an end in
// the lower half, are read as whole beats, of which the other half is dropped.
//
// `busy` from the cycle after `start` to that of `done`. `done` tells how it ended: `error` 0, or the error response. After an error, and
// while `halt` is high, nothing more is asked for or sent, and what is outstanding is taken and dropped; a halt ends without `done`. A word that
// was offered vanishes then, against the stream's rules: reset what takes it.
module qlight_dma_read #(
    parameter int DEPTH = 64
) (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        start,
    input  logic [31:2] address,
    input  logic [23:0] words,         // at least 1
    input  logic        halt,
    output logic        busy,
    output logic        done,
    output logic [ 1:0] error,
    output logic [31:0] m_axi_araddr,
    output logic [ 3:0] m_axi_arlen,
    output logic        m_axi_arvalid,
    input  logic        m_axi_arready,
    input  logic [63:0] m_axi_rdata,
    input  logic [ 1:0] m_axi_rresp,
    input  logic        m_axi_rvalid,
    output logic        m_axi_rready,
    output logic [31:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready
);
  localparam int BURST = 16;
  if (DEPTH < BURST) begin : gen_error_1
    $error("qlight_dma_read: DEPTH must be at least 16.");
  end
  localparam int ROOM_BITS = $clog2(DEPTH + 1);

  logic stop, finished;
  assign stop = halt || error != '0;
  assign done = finished && !halt;

  // ---- Bursts: `next` and `beats` are what is still to be asked for.
  logic ask, took, gave;
  logic [31:3] next;
  logic [23:0] beats;
  logic [4:0] to_boundary, length;
  logic [ROOM_BITS-1:0] room, outstanding;
  assign to_boundary = 5'(BURST) - {1'b0, next[6:3]};
  assign length = beats < 24'(to_boundary) ? beats[4:0] : to_boundary;
  assign ask = busy && !stop && beats != '0 && (!m_axi_arvalid || m_axi_arready) && 32'(room) >= 32'(length);
  assign m_axi_rready = 1'b1;
  assign took = m_axi_rvalid;

  // ---- Words: `left` are still to be sent, `upper` is the half of the beat that the next one lies in.
  logic upper, take, in_fifo;
  logic [23:0] left;
  logic [63:0] beat;
  assign m_axis_tdata = upper ? beat[63:32] : beat[31:0];
  assign m_axis_tvalid = in_fifo && busy && !stop;
  assign take = m_axis_tvalid && m_axis_tready;
  assign gave = take && (upper || left == 24'd1);
  assign finished = busy && (stop ? outstanding == '0 : left == '0);

  always_ff @(posedge clk) begin
    if (ask) begin
      m_axi_araddr <= {next, 3'd0};
      m_axi_arlen <= 4'(length - 1'b1);
    end
    if (start) begin
      next <= address[31:3];
      beats <= 24'((25'(words) + 25'(address[2]) + 25'd1) >> 1);
      left <= words;
      upper <= address[2];
      room <= ROOM_BITS'(DEPTH);
    end else begin
      if (ask) begin
        next <= next + 29'(length);
        beats <= beats - 24'(length);
      end
      if (take) begin
        left <= left - 1'b1;
        upper <= !upper;
      end
      room <= room - (ask ? ROOM_BITS'(length) : '0) + ROOM_BITS'(gave);
    end
    if (!rst_n) begin
      busy <= 1'b0;
      error <= '0;
      m_axi_arvalid <= 1'b0;
      outstanding <= '0;
    end else begin
      if (start) busy <= 1'b1;
      else if (finished) busy <= 1'b0;
      if (finished) error <= '0;
      else if (took && m_axi_rresp[1] && !stop) error <= m_axi_rresp;
      if (ask) m_axi_arvalid <= 1'b1;
      else if (m_axi_arready) m_axi_arvalid <= 1'b0;
      outstanding <= outstanding + (ask ? ROOM_BITS'(length) : '0) - ROOM_BITS'(took);
    end
  end

  // verilator lint_off UNUSEDSIGNAL
  logic has_room;  // always: beats are asked for when there is room
  // verilator lint_on UNUSEDSIGNAL
  qlight_fifo #(
      .WIDTH(64),
      .DEPTH(DEPTH)
  ) u_fifo (
      .clk(clk),
      .rst_n(rst_n && busy && !stop),
      .s_axis_tdata(m_axi_rdata),
      .s_axis_tvalid(took),
      .s_axis_tready(has_room),
      .m_axis_tdata(beat),
      .m_axis_tvalid(in_fifo),
      .m_axis_tready(gave)
  );
endmodule
