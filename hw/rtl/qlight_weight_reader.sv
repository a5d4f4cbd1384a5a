// Weight reader: an AXI4 master that reads WORDS words of DATA_BITS bits from `base` on, again for every image, as a stream.
//
// INCR bursts of up to BURST words end where an address is a multiple of BURST words, so none crosses 4 KiB. A burst is only asked for
// when the FIFO of DEPTH words has room for all of it: the memory never waits for this side, and DEPTH bounds what is outstanding.
// Reading goes ahead, into the next image, as far as the FIFO allows.
//
// `run` starts at `base`; when it falls, what was read is dropped, and what is still outstanding is taken and dropped before the next
// start. `base` counts when the first burst of an image is asked for. `rst_n` must be the reset of the memory's side as well.
module qlight_weight_reader #(
    parameter int DATA_BITS = 64,
    parameter int ADDRESS_BITS = 40,
    parameter int WORDS = 4,
    parameter int BURST = 16,
    parameter int DEPTH = 64
) (
    input  logic                    clk,
    input  logic                    rst_n,
    input  logic                    run,
    input  logic [ADDRESS_BITS-1:0] base,  // a multiple of DATA_BITS / 8
    output logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output logic [             7:0] m_axi_arlen,
    output logic [             2:0] m_axi_arsize,
    output logic [             1:0] m_axi_arburst,
    output logic                    m_axi_arvalid,
    input  logic                    m_axi_arready,
    input  logic [   DATA_BITS-1:0] m_axi_rdata,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [             1:0] m_axi_rresp,  // the upper bit is an error
    input  logic                    m_axi_rlast,  // words are counted instead
    // verilator lint_on UNUSEDSIGNAL
    input  logic                    m_axi_rvalid,
    output logic                    m_axi_rready,
    output logic [   DATA_BITS-1:0] m_axis_tdata,
    output logic                    m_axis_tvalid,
    input  logic                    m_axis_tready,
    // Counters since reset or `clear`: words that came, cycles with words outstanding, cycles of `starved`; `error`: a word came with
    // an error response.
    input  logic                    clear,
    input  logic                    starved,
    output logic [            47:0] words,
    output logic [            47:0] busy_cycles,
    output logic [            47:0] starved_cycles,
    output logic                    error
);
  localparam int BYTES = DATA_BITS / 8;
  if (DATA_BITS != 32 && DATA_BITS != 64 && DATA_BITS != 128) begin : gen_error_1
    $error("qlight_weight_reader: DATA_BITS must be 32, 64 or 128.");
  end
  if (BURST < 1 || BURST > 256 || (BURST & (BURST - 1)) != 0 || BURST * BYTES > 4096) begin : gen_error_2
    $error("qlight_weight_reader: BURST must be a power of two from 1 to 256, and at most 4 KiB.");
  end
  if (DEPTH < BURST || DEPTH < 2) begin : gen_error_3
    $error("qlight_weight_reader: DEPTH must be at least BURST, and 2.");
  end
  if (WORDS < 1) begin : gen_error_4
    $error("qlight_weight_reader: WORDS must be at least 1.");
  end
  if (ADDRESS_BITS < 13 || ADDRESS_BITS > 64) begin : gen_error_5
    $error("qlight_weight_reader: ADDRESS_BITS must be from 13 to 64.");
  end

  localparam int WORD_BITS = $clog2(WORDS + 1);
  localparam int ROOM_BITS = $clog2(DEPTH + 1);
  localparam int LENGTH_BITS = $clog2(BURST + 1);
  localparam int BYTE_BITS = $clog2(BYTES);
  localparam int OFFSET_BITS = BURST > 1 ? $clog2(BURST) : 1;

  // ---- Addresses: `address` and `remaining` are those of the next burst.
  logic active, ask, first, last;
  logic [ADDRESS_BITS-1:0] address, from;
  logic [WORD_BITS-1:0] remaining;
  logic [LENGTH_BITS-1:0] to_boundary, length;
  logic [ROOM_BITS-1:0] room, outstanding;

  assign first = remaining == WORD_BITS'(WORDS);
  assign from = first ? base : address;
  if (BURST > 1) begin : gen_boundary
    assign to_boundary = LENGTH_BITS'(BURST) - LENGTH_BITS'(from[BYTE_BITS+:OFFSET_BITS]);
  end else begin : gen_no_boundary
    assign to_boundary = 1'b1;
  end
  assign last = 32'(remaining) <= 32'(to_boundary);
  assign length = last ? LENGTH_BITS'(remaining) : to_boundary;
  assign ask = active && run && (!m_axi_arvalid || m_axi_arready) && 32'(room) >= 32'(length);

  assign m_axi_arsize = 3'(BYTE_BITS);
  assign m_axi_arburst = 2'b01;
  assign m_axi_rready = 1'b1;

  logic took, gave;
  assign took = m_axi_rvalid;
  assign gave = m_axis_tvalid && m_axis_tready;

  always_ff @(posedge clk) begin
    if (ask) begin
      m_axi_araddr <= {from[ADDRESS_BITS-1:BYTE_BITS], {BYTE_BITS{1'b0}}};
      m_axi_arlen <= 8'(length - 1'b1);
      address <= from + (ADDRESS_BITS'(length) << BYTE_BITS);
    end
    if (!rst_n) begin
      m_axi_arvalid <= 1'b0;
      outstanding <= '0;
      active <= 1'b0;
    end else begin
      if (ask) m_axi_arvalid <= 1'b1;
      else if (m_axi_arready) m_axi_arvalid <= 1'b0;
      outstanding <= outstanding + (ask ? ROOM_BITS'(length) : '0) - ROOM_BITS'(took);
      active <= run && (active || outstanding == '0);
    end
    if (!rst_n || !active || !run) begin
      remaining <= WORD_BITS'(WORDS);
      room <= ROOM_BITS'(DEPTH);
    end else begin
      if (ask) remaining <= last ? WORD_BITS'(WORDS) : remaining - WORD_BITS'(length);
      room <= room - (ask ? ROOM_BITS'(length) : '0) + ROOM_BITS'(gave);
    end
  end

  // ---- Words. They have room, so the FIFO is ready.
  // verilator lint_off UNUSEDSIGNAL
  logic has_room;
  // verilator lint_on UNUSEDSIGNAL
  qlight_fifo #(
      .WIDTH(DATA_BITS),
      .DEPTH(DEPTH)
  ) u_fifo (
      .clk(clk),
      .rst_n(rst_n && active && run),
      .s_axis_tdata(m_axi_rdata),
      .s_axis_tvalid(took),
      .s_axis_tready(has_room),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
  );

  // ---- Counters.
  always_ff @(posedge clk) begin
    if (!rst_n || clear) begin
      words <= '0;
      busy_cycles <= '0;
      starved_cycles <= '0;
      error <= 1'b0;
    end else begin
      if (took) words <= words + 1'b1;
      if (outstanding != '0) busy_cycles <= busy_cycles + 1'b1;
      if (starved) starved_cycles <= starved_cycles + 1'b1;
      if (took && m_axi_rresp[1]) error <= 1'b1;
    end
  end
endmodule
