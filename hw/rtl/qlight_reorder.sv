// Reorder: a frame comes as OUTER groups of INNER beats and leaves as INNER groups of OUTER beats.
//
// Beat o * INNER + i of a frame leaves as its beat i * OUTER + o. Behind a streamed MVTU, which makes PE channels of all pixels before the
// next PE channels, that gives back the order of a feature map: pixel by pixel. Two frames fit: one is written while the other is read.
module qlight_reorder #(
    parameter int WIDTH = 8,
    parameter int OUTER = 2,
    parameter int INNER = 2
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic [WIDTH-1:0] s_axis_tdata,
    input  logic             s_axis_tvalid,
    output logic             s_axis_tready,
    output logic [WIDTH-1:0] m_axis_tdata,
    output logic             m_axis_tvalid,
    input  logic             m_axis_tready
);
  if (WIDTH < 1 || OUTER < 1 || INNER < 1) begin : gen_error_1
    $error("qlight_reorder: WIDTH, OUTER and INNER must be at least 1.");
  end

  localparam int FRAME = OUTER * INNER;
  localparam int WORDS = 2 * FRAME;
  localparam int ADDRESS_BITS = FRAME > 0 ? $clog2(WORDS) : 1;
  localparam int COUNT_BITS = $clog2(WORDS + 1);
  localparam int OUTER_BITS = OUTER > 1 ? $clog2(OUTER) : 1;
  localparam int INNER_BITS = INNER > 1 ? $clog2(INNER) : 1;
  localparam logic [ADDRESS_BITS-1:0] LAST = ADDRESS_BITS'(WORDS - 1);

  logic [WIDTH-1:0] memory[WORDS];
  logic [ADDRESS_BITS-1:0] write_address, read_address;
  logic [COUNT_BITS-1:0] room;  // places free
  logic [COUNT_BITS-1:0] written;  // beats of the frame that is read, and of the next
  logic [ADDRESS_BITS-1:0] place;  // in the frame, of the beat to be read
  logic [OUTER_BITS-1:0] outer;
  logic [INNER_BITS-1:0] inner;
  logic second;  // the frame that is read is in the upper half
  logic write, enable, present, read, last_outer, last_inner, done;

  assign s_axis_tready = room != '0;
  assign write = s_axis_tvalid && s_axis_tready;
  assign enable = !m_axis_tvalid || m_axis_tready;
  assign present = written > COUNT_BITS'(place);
  assign read = enable && present;
  assign last_outer = outer == OUTER_BITS'(OUTER - 1);
  assign last_inner = inner == INNER_BITS'(INNER - 1);
  assign done = read && last_outer && last_inner;
  assign read_address = second ? place + ADDRESS_BITS'(FRAME) : place;

  always_ff @(posedge clk) begin
    if (write) memory[write_address] <= s_axis_tdata;
    if (read) m_axis_tdata <= memory[read_address];
    if (!rst_n) begin
      write_address <= '0;
      room <= COUNT_BITS'(WORDS);
      written <= '0;
      place <= '0;
      outer <= '0;
      inner <= '0;
      second <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (enable) m_axis_tvalid <= present;
      if (write) write_address <= write_address == LAST ? '0 : write_address + 1'b1;
      room <= room - COUNT_BITS'(write) + (done ? COUNT_BITS'(FRAME) : '0);
      written <= written + COUNT_BITS'(write) - (done ? COUNT_BITS'(FRAME) : '0);
      if (read) begin
        outer <= last_outer ? '0 : outer + 1'b1;
        place <= place + ADDRESS_BITS'(INNER);
        if (last_outer) begin
          inner <= last_inner ? '0 : inner + 1'b1;
          place <= last_inner ? '0 : ADDRESS_BITS'(inner) + 1'b1;
        end
        if (done) second <= !second;
      end
    end
  end
endmodule
