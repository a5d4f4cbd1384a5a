// The other direction of qlight_dma: a stream into memory. An AXI3 master of 64 bits that writes words of 32 bits from `address` on, up to
// the one with TLAST; there is room for `words`.
//
// INCR bursts of up to 16 beats end where an address is a multiple of 128 bytes, so none crosses 4 KiB. A burst begins when all its beats
// are in the FIFO, so the memory never waits for the stream, and one that has begun always ends. Halves of beats that are not of the
// transfer have no strobes.
//
// `busy` from the cycle after `start` to that of `done`, when memory has answered every burst. `taken` counts the words. `done` tells how it
// ended: `error` {decode, slave, internal}; internal: after `words` words without TLAST another one came (it is not taken). After an error,
// and while `halt` is high, no word is taken and no burst begun; a halt ends without `done`.
module qlight_dma_write #(
    parameter int DEPTH = 32
) (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        start,
    input  logic [31:2] address,
    input  logic [23:0] words,          // at least 1
    input  logic        halt,
    output logic        busy,
    output logic        done,
    output logic [ 2:0] error,
    output logic [23:0] taken,
    output logic [31:0] m_axi_awaddr,
    output logic [ 3:0] m_axi_awlen,
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
    input  logic [31:0] s_axis_tdata,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    input  logic        s_axis_tlast
);
  localparam int BURST = 16;
  localparam int UNANSWERED = 8;  // the most bursts
  if (DEPTH < BURST) begin : gen_error_1
    $error("qlight_dma_write: DEPTH must be at least 16.");
  end
  localparam int HELD_BITS = $clog2(DEPTH + 1);

  logic stop, finished;
  assign stop = halt || error != '0;
  assign done = finished && !halt;

  // ---- Words into beats. `ended`: that with TLAST was taken.
  logic upper, lower_held, ended, full, take, push, has_room, overflow;
  logic [23:0] room;
  logic [31:0] lower;
  assign full = taken == room;
  assign s_axis_tready = busy && !stop && !ended && !full && has_room;
  assign take = s_axis_tvalid && s_axis_tready;
  assign push = take && (upper || s_axis_tlast || taken + 1'b1 == room);
  assign overflow = busy && !stop && !ended && full && s_axis_tvalid;

  // ---- Bursts of the beats that are held.
  typedef enum logic [1:0] {
    REST,
    ASK,
    SEND
  } state_t;
  state_t state;
  logic begin_burst, sent, answered;
  logic [31:3] next;
  logic [3:0] left, unanswered;  // `left`: beats behind the one that is being sent
  logic [4:0] to_boundary, length;
  logic [HELD_BITS-1:0] held;
  assign to_boundary = 5'(BURST) - {1'b0, next[6:3]};
  assign length = 32'(held) < 32'(to_boundary) ? 5'(held) : to_boundary;
  assign begin_burst = busy && !stop && state == REST && 32'(unanswered) < UNANSWERED &&
      (32'(held) >= 32'(to_boundary) || ((ended || full) && held != '0));
  assign m_axi_awvalid = state == ASK;
  assign m_axi_wlast = left == '0;
  assign sent = m_axi_wvalid && m_axi_wready;
  assign m_axi_bready = 1'b1;
  assign answered = m_axi_bvalid;
  assign finished = busy && state == REST && unanswered == '0 && (stop || (ended && held == '0));

  always_ff @(posedge clk) begin
    if (begin_burst) begin
      m_axi_awaddr <= {next, 3'd0};
      m_axi_awlen <= 4'(length - 1'b1);
      left <= 4'(length - 1'b1);
      next <= next + 29'(length);
    end else if (sent) left <= left - 1'b1;
    if (take) begin
      lower <= s_axis_tdata;
      lower_held <= !upper;
      upper <= !upper;
      taken <= taken + 1'b1;
    end
    if (start) begin
      next <= address[31:3];
      room <= words;
      upper <= address[2];
      lower_held <= 1'b0;
      taken <= '0;
      ended <= 1'b0;
      held <= '0;
    end else begin
      if (take && s_axis_tlast) ended <= 1'b1;
      held <= held + HELD_BITS'(push) - HELD_BITS'(sent);
    end
    if (!rst_n) begin
      busy <= 1'b0;
      error <= '0;
      state <= REST;
      unanswered <= '0;
    end else begin
      if (start) busy <= 1'b1;
      else if (finished) busy <= 1'b0;
      if (finished) error <= '0;
      else if (!stop && answered && m_axi_bresp[1]) error <= {m_axi_bresp[0], !m_axi_bresp[0], 1'b0};
      else if (overflow) error <= 3'b001;
      if (begin_burst) state <= ASK;
      else if (state == ASK && m_axi_awready) state <= SEND;
      else if (sent && m_axi_wlast) state <= REST;
      unanswered <= unanswered + 4'(begin_burst) - 4'(answered);
    end
  end

  logic in_fifo;
  logic [65:0] beat;  // strobes of the upper and the lower half, data
  assign m_axi_wvalid = state == SEND && in_fifo;
  assign m_axi_wdata = beat[63:0];
  assign m_axi_wstrb = {{4{beat[65]}}, {4{beat[64]}}};
  qlight_fifo #(
      .WIDTH(66),
      .DEPTH(DEPTH)
  ) u_fifo (
      .clk(clk),
      .rst_n(rst_n && busy),
      .s_axis_tdata(upper ? {1'b1, lower_held, s_axis_tdata, lower} : {2'b01, 32'd0, s_axis_tdata}),
      .s_axis_tvalid(push),
      .s_axis_tready(has_room),
      .m_axis_tdata(beat),
      .m_axis_tvalid(in_fifo),
      .m_axis_tready(sent)
  );
endmodule
