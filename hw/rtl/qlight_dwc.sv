// Width converter (gearbox) between any two numbers of lanes: IN_LANES codes a beat in, OUT_LANES codes a beat out, in order.
//
// The narrower side moves a beat every cycle. Codes that do not fill an output beat wait for the next input beat, over
// frames too, so a frame must be a multiple of both sides; or it is FRAME output beats, and what is left of its last input
// beat is dropped. Both handshakes come from registers only.
module qlight_dwc #(
    parameter int BITS = 8,
    parameter int IN_LANES = 4,
    parameter int OUT_LANES = 3,
    parameter int FRAME = 0
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic [ IN_LANES*BITS-1:0] s_axis_tdata,
    input  logic                      s_axis_tvalid,
    output logic                      s_axis_tready,
    output logic [OUT_LANES*BITS-1:0] m_axis_tdata,
    output logic                      m_axis_tvalid,
    input  logic                      m_axis_tready
);
  if (BITS < 1) begin : gen_error_1
    $error("qlight_dwc: BITS must be at least 1.");
  end
  if (IN_LANES < 1 || OUT_LANES < 1) begin : gen_error_2
    $error("qlight_dwc: IN_LANES and OUT_LANES must be at least 1.");
  end

  if (FRAME < 0) begin : gen_error_3
    $error("qlight_dwc: FRAME must not be negative.");
  end

  function automatic int greatest_common_divisor(input int a, input int b);
    int x, y, rest;
    x = a;
    y = b;
    while (y > 0) begin
      rest = x % y;
      x = y;
      y = rest;
    end
    return x > 0 ? x : 1;
  endfunction

  // Everything moves in units of the greatest common divisor.
  localparam int UNIT_LANES = greatest_common_divisor(IN_LANES, OUT_LANES);
  localparam int UNIT_BITS = UNIT_LANES * BITS;
  localparam int IN = IN_LANES / UNIT_LANES;
  localparam int OUT = OUT_LANES / UNIT_LANES;
  // The smallest buffer with which neither a full nor an empty one ever stops the narrower side.
  localparam int CAPACITY = IN > OUT ? IN + 2 * OUT - 1 : OUT + 2 * IN - 1;
  localparam int COUNT_BITS = $clog2(CAPACITY + 1);

  logic [CAPACITY-1:0][UNIT_BITS-1:0] buffer, shifted, buffer_next;
  logic [IN-1:0][UNIT_BITS-1:0] in;
  logic [COUNT_BITS-1:0] count, kept;  // units held; units held after this cycle's output
  logic push, pop;

  // Units that count of an input beat: fewer in the last one of a frame. The next beat is written over the others.
  localparam int IN_BEATS = (FRAME * OUT + IN - 1) / IN;  // of a frame
  localparam int LAST_UNITS = FRAME * OUT - (IN_BEATS - 1) * IN;
  logic [COUNT_BITS-1:0] units;
  if (FRAME > 0 && LAST_UNITS < IN) begin : gen_frame
    localparam int BEAT_BITS = IN_BEATS > 1 ? $clog2(IN_BEATS) : 1;
    logic [BEAT_BITS-1:0] beat;
    logic last;
    assign last = beat == BEAT_BITS'(IN_BEATS - 1);
    assign units = last ? COUNT_BITS'(LAST_UNITS) : COUNT_BITS'(IN);
    always_ff @(posedge clk) begin
      if (!rst_n) beat <= '0;
      else if (push) beat <= last ? '0 : beat + 1'b1;
    end
  end else begin : gen_no_frame
    assign units = COUNT_BITS'(IN);
  end

  assign in = s_axis_tdata;
  assign s_axis_tready = count <= COUNT_BITS'(CAPACITY - IN);
  assign m_axis_tvalid = count >= COUNT_BITS'(OUT);
  assign m_axis_tdata = buffer[OUT-1:0];
  assign push = s_axis_tvalid && s_axis_tready;
  assign pop = m_axis_tvalid && m_axis_tready;
  assign kept = pop ? count - COUNT_BITS'(OUT) : count;
  assign shifted = pop ? buffer >> (OUT * UNIT_BITS) : buffer;

  // The input goes behind what is kept. Only places where a whole input beat fits exist.
  always_comb begin
    buffer_next = shifted;
    for (int place = 0; place <= CAPACITY - IN; place++) begin
      if (push && kept == COUNT_BITS'(place)) begin
        for (int i = 0; i < IN; i++) buffer_next[place+i] = in[i];
      end
    end
  end

  always_ff @(posedge clk) begin
    if (push || pop) buffer <= buffer_next;
    if (!rst_n) count <= '0;
    else count <= push ? kept + units : kept;
  end
endmodule
